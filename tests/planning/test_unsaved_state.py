"""What training changes where no checkpoint finds it is named, and such trials begin again instead of going
on.
"""

from __future__ import annotations

import copy
import importlib
import itertools
import re
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import compare
from optcompare.planning.unsaved_state import changed_unseen, values_within
from tests.helpers.workloads import small_workload

CALLS = 0
SEEN: list[float] = []


def in_a_closure():
    """A module whose forward pass counts in a closure, and is another function from its tenth pass on."""
    model, passes = nn.Sequential(nn.Linear(3, 1)), 0

    def scaled(module, inputs, output):
        nonlocal passes
        passes += module.training
        return output * (1.0 if passes < 10 else 0.5)

    model.register_forward_hook(scaled)
    return model


class Iterates(nn.Module):
    """Counts with an iterator, which no checkpoint can hold."""

    def __init__(self):
        super().__init__()
        self.out, self.passes = nn.Linear(3, 1), itertools.count()

    def forward(self, x):
        passes = next(self.passes) if self.training else 0
        return self.out(x) * (1.0 if passes < 10 else 0.5)


class SlowWeights(torch.optim.SGD):
    """Pulls the weights back to slow ones every fifth step, which stand in a list outside its state."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.slow = [weight.detach().clone() for group in self.param_groups for weight in group["params"]]
        self.made = 0

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        self.made += 1
        if self.made % 5 == 0:
            weights = [weight for group in self.param_groups for weight in group["params"]]
            for slow, weight in zip(self.slow, weights, strict=True):
                slow.lerp_(weight, 0.5)
                weight.copy_(slow)


CASES = {
    "closure": ({"model": in_a_closure}, "sgd:lr=0.05", r"model\._forward_hooks.*\.passes"),
    "iterator": ({"model": Iterates}, "sgd:lr=0.05", r"model\.passes"),
    "optimizer": ({}, SlowWeights, r"optimizer\.made"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_trial_that_keeps_something_elsewhere_begins_again_when_it_is_resumed(tmp_path, case):
    changes, optimizer, name = CASES[case]
    workload = small_workload(n=24, **changes)
    question = {"strategies": "mini:5", "optimizers": optimizer, "seeds": 2, "trainer": "loop", "lr": 0.05}
    question = question if case == "optimizer" else {**question, "lr": None}
    whole = compare(workload, **question, epochs=4)
    (note,) = whole.notes
    assert note.startswith("mini:5: training changes ")
    assert note.endswith("when the run is resumed, a trial that was under way begins again")
    assert re.search(name, note)
    compare(workload, **question, epochs=1, out=tmp_path / "run")
    resumed = compare(workload, **question, epochs=4, resume=tmp_path / "run")
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()
    assert resumed.certificate[0].held


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_with_jobs_it_is_trained_in_one_go(monkeypatch, case):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    changes, optimizer, _ = CASES[case]
    workload = small_workload(n=24, **changes)
    question = {
        "strategies": "mini:5",
        "optimizers": optimizer,
        "lr": 0.05,
        "seeds": 3,
        "trainer": "loop",
        "epochs": 4,
    }
    question = question if case == "optimizer" else {**question, "lr": None}
    apart, here = (compare(workload, **question, jobs=jobs) for jobs in (2, 1))
    assert apart.trials["final_sha256"].tolist() == here.trials["final_sha256"].tolist()


def test_lanes_leave_it_to_the_loop():
    result = compare(small_workload(n=24, model=in_a_closure), "mini:5", seeds=8, epochs=4, trainer="lanes")
    assert set(result.trials["trainer"]) == {"loop"}


def test_what_all_trials_have_in_common_is_said():
    def loss(output, y):
        global CALLS
        CALLS += 1
        return (output - y).square().mean()

    result = compare(small_workload(loss=loss), "full", seeds=1, epochs=2, trainer="loop")
    (note,) = result.notes
    assert (
        "full: training changes global CALLS, which no checkpoint holds and all trials have in common" in note
    )


@pytest.mark.slow
def test_ordinary_models_and_optimizers_keep_everything_where_a_checkpoint_finds_it():
    model = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.1), nn.Linear(4, 1)
    )
    for optimizer in ("sgd:momentum=0.9", "adam", "adagrad", "nadam", "lbfgs"):
        strategy = "full" if optimizer == "lbfgs" else "mini:5"
        result = compare(small_workload(n=24, model=model), strategy, optimizer, lr=0.01, seeds=1, epochs=8)
        assert [note for note in result.notes if "no checkpoint" in note] == []


class Holder:
    kept: ClassVar[list[int]] = [1, 2]

    def __init__(self):
        self.tensor, self.drawn = torch.zeros(2), np.random.default_rng(0)

    def used(self):
        return SEEN


def generator():
    yield from range(5)


def test_values_are_found_wherever_they_are():
    holder, running = Holder(), generator()
    next(running)
    before = values_within(thing=holder, running=running, bound=holder.used)
    holder.tensor += 1
    holder.drawn.random()
    Holder.kept.append(3)
    SEEN.append(1.0)
    next(running)
    after = values_within(thing=holder, running=running, bound=holder.used)
    Holder.kept.pop()
    SEEN.pop()
    found = {"thing.tensor", "thing.drawn", "running", "global SEEN[0]", "global Holder.kept[2]"}
    assert found <= set(changed_unseen(before, after, before))


def test_what_a_checkpoint_brings_back_is_not_named():
    before, after = {"a": 1, "b": 1, "global c": 1}, {"a": 2, "b": 2, "global c": 2}
    assert changed_unseen(before, after, {"a": 2, "b": 1, "global c": 2}) == ["b", "global c"]


class Wraps(torch.optim.Optimizer):
    """Steps by another optimizer, whose momentum its own state_dict() does not hold."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, {"lr": lr})
        self.inner = torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)

    def step(self, closure=None):
        self.inner.step()


class Teaches(nn.Module):
    """Keeps a moving average of its weights in a module that no state_dict holds, and is drawn to it."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.hidden = [copy.deepcopy(self.out)]

    def forward(self, x):
        output = self.out(x)
        if not self.training:
            return output
        with torch.no_grad():
            for mine, theirs in zip(self.out.parameters(), self.hidden[0].parameters(), strict=True):
                theirs.lerp_(mine, 0.1)
        return output + 0.1 * (output - self.hidden[0](x).detach())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "optimizer", "name"),
    [({}, Wraps, "optimizer.inner.state"), ({"model": Teaches}, torch.optim.SGD, "model.hidden[0].weight")],
)
def test_what_other_optimizers_and_modules_hold_is_looked_at(tmp_path, changes, optimizer, name):
    question = {"strategies": "mini:5", "optimizers": optimizer, "lr": 0.05, "seeds": 1, "trainer": "loop"}
    whole = compare(small_workload(n=24, **changes), **question, epochs=4)
    assert any(name in note for note in whole.notes)
    compare(small_workload(n=24, **changes), **question, epochs=2, out=tmp_path / "run")
    resumed = compare(small_workload(n=24, **changes), **question, epochs=4, resume=tmp_path / "run")
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()


@pytest.mark.parametrize(
    ("folder", "seen"), [("lib/site-packages", False), ("dist-packages", False), ("project", True)]
)
def test_globals_of_packages_are_not_looked_at_in_whatever_environment_they_are_installed(
    tmp_path, monkeypatch, folder, seen
):
    """As the system's packages are in an environment that is made with --system-site-packages."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    name = f"counting_in_{place.name.partition('-')[0]}"
    (place / f"{name}.py").write_text("COUNT = 0\ndef step():\n    return COUNT\n")
    monkeypatch.syspath_prepend(str(place))
    module = importlib.import_module(name)
    assert ("global COUNT" in values_within(step=module.step)) == seen


class CountsInADefault(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)

    def forward(self, x, kept=[0]):  # noqa: B006
        kept[0] += self.training
        return self.out(x)


def test_a_default_argument_that_all_calls_share_is_named_once():
    result = compare(small_workload(model=CountsInADefault), "full", seeds=1, epochs=1, trainer="loop")
    assert any(
        "changes global CountsInADefault.forward (default 0)[0], which" in note for note in result.notes
    )
