"""What a model sets of its parts while it trains goes along with checkpoints."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import compare
from tests.helpers.workloads import small_workload


class Phases(nn.Module):
    """Does something else from its eighth training pass on, which is counted in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.out, self.passes = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), 0
        self.activation = torch.tanh

    def forward(self, x):
        if self.training:
            self.passes += 1
            if self.passes == 8:
                self.enter()
        return self.out(self.activation(self.norm(self.inner(x))))


class FreezesWeights(Phases):
    def enter(self):
        self.inner.requires_grad_(False)


class FreezesStatistics(Phases):
    def enter(self):
        self.norm.eval()


class ReplacesAFunction(Phases):
    def enter(self):
        self.activation = torch.relu


MODELS = [FreezesWeights, FreezesStatistics, ReplacesAFunction]
QUESTION = {"strategies": "mini:6", "optimizers": "adam:lr=0.01", "seeds": 2, "trainer": "loop"}


@pytest.mark.parametrize("model", MODELS)
def test_a_resumed_trial_ends_as_one_in_one_go(tmp_path, model):
    workload = small_workload(n=24, model=model)
    whole = compare(workload, **QUESTION, epochs=5)
    compare(workload, **QUESTION, epochs=3, out=tmp_path / "run")
    resumed = compare(workload, **QUESTION, epochs=5, resume=tmp_path / "run")
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_with_jobs_it_ends_as_in_one_process(monkeypatch, model):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    workload = small_workload(n=24, model=model)
    apart, here = (compare(workload, **QUESTION, epochs=5, jobs=jobs) for jobs in (2, 1))
    assert apart.trials["final_sha256"].tolist() == here.trials["final_sha256"].tolist()
