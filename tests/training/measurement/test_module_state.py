"""What a module keeps of its own: measuring leaves it as it was, and a checkpoint brings it back."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import compare
from optcompare.training.measurement.module_state import (
    changed_state,
    load_attributes,
    preserved_state,
    saved_state,
)
from tests.helpers.workloads import small_workload


class Keeps(nn.Module):
    """Changes all that it keeps in every forward pass, in eval mode too, and computes with it."""

    def __init__(self, kind):
        super().__init__()
        self.out, self.kind = nn.Linear(3, 1), kind
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("total", torch.zeros(()), persistent=False)
        self.calls, self.history, self.latest = 0, [], {"scale": 1.0}
        self.recent = deque([1.0], maxlen=2)
        self.torch_draws = torch.Generator().manual_seed(1)
        self.numpy_draws, self.old_draws, self.draws = (
            np.random.default_rng(1),
            np.random.RandomState(1),
            random.Random(1),
        )

    def forward(self, x):
        if self.kind == "buffer":
            self.seen += 1
            self.total = self.total + 1
            scale = self.seen + self.total
        elif self.kind == "number":
            self.calls += 1
            scale = self.calls
        elif self.kind == "list":
            self.history.append(1.0)
            scale = len(self.history)
        elif self.kind == "dictionary":
            self.latest["scale"] += 1.0
            scale = self.latest["scale"]
        elif self.kind == "deque":
            self.recent.append(self.recent[-1] + 1)
            scale = self.recent[-1]
        else:
            scale = {
                "torch": lambda: torch.rand((), generator=self.torch_draws),
                "numpy": self.numpy_draws.random,
                "old numpy": self.old_draws.rand,
                "python": self.draws.random,
            }[self.kind]()
        return self.out(x) * (1 + 0.1 * float(scale) / (1 + float(scale)))


KINDS = ["buffer", "number", "list", "dictionary", "deque", "torch", "numpy", "old numpy", "python"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_how_often_it_is_measured_changes_nothing(kind):
    workload = small_workload(model=lambda: Keeps(kind))
    question = {
        "strategies": "mini:5",
        "optimizers": "sgd:lr=0.05",
        "seeds": 1,
        "epochs": 2,
        "trainer": "loop",
    }
    ends = {compare(workload, **question, measure=often).trials["final_sha256"][0] for often in (0, 1, 4)}
    assert len(ends) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_trial_goes_on_with_it(kind, tmp_path):
    workload = small_workload(model=lambda: Keeps(kind))
    question = {"strategies": "mini:5", "optimizers": "sgd:lr=0.05", "seeds": 1, "trainer": "loop"}
    compare(workload, **question, epochs=2, out=tmp_path / "run")
    resumed = compare(workload, **question, epochs=4, resume=tmp_path / "run")
    whole = compare(workload, **question, epochs=4)
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_put_back(kind):
    module = Keeps(kind)
    x = torch.ones(2, 3)
    with preserved_state(module):
        first = module(x)
        second = module(x)
    assert not torch.equal(first, second)
    assert torch.equal(module(x), first)
    assert torch.equal(module(x), second)


def test_only_what_changed_is_saved_and_weights_in_a_list_are_not():
    module = nn.ModuleDict({"keeps": Keeps("number"), "cells": nn.GRU(1, 2)})
    start = saved_state(module)
    assert not any("flat_weights" in name and "names" not in name for name in start)
    module["keeps"](torch.ones(1, 3))
    assert changed_state(module, start) == {"keeps.calls": 1}
    other = nn.ModuleDict({"keeps": Keeps("number"), "cells": nn.GRU(1, 2)})
    load_attributes(other, {"keeps.calls": 1, "keeps.made_later": 3.0})
    assert (other["keeps"].calls, other["keeps"].made_later) == (1, 3.0)
