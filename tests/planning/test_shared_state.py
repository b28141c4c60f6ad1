"""State that a loss, a model, a Dataset or an optimizer keeps in places of every kind: right numbers, or it
is said.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, WorkloadError, compare
from optcompare.planning.precision import precision_notes
from optcompare.training.own_loss import with_own_loss
from tests.helpers.workloads import small_workload

QUESTION = {"strategies": "mini:6", "optimizers": "sgd:lr=0.05", "seeds": 3, "epochs": 6, "trainer": "loop"}


class CountingLoss(nn.Module):
    """Another loss from its twentieth training pass on."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, output, y):
        self.passes += 1
        return nn.functional.mse_loss(output, y) * (1.0 if self.passes < 20 else 3.0)


class CallableLoss:
    def __init__(self):
        self.kept = {"passes": 0}

    def __call__(self, output, y):
        self.kept["passes"] += 1
        return nn.functional.mse_loss(output, y) * (1.0 if self.kept["passes"] < 20 else 3.0)


def in_a_closure():
    passes = [0]

    def loss(output, y):
        passes[0] += 1
        return nn.functional.mse_loss(output, y) * (1.0 if passes[0] < 20 else 3.0)

    return loss


def ends(loss, **changes):
    return compare(small_workload(n=24, loss=loss), **{**QUESTION, **changes}).trials["final_sha256"].tolist()


@pytest.mark.slow
def test_a_loss_module_that_counts_is_each_trials_own():
    together = ends(CountingLoss())
    alone = [ends(CountingLoss(), seeds=[seed])[0] for seed in range(3)]
    assert together == alone


def test_lanes_leave_a_loss_that_counts_to_the_loop():
    result = compare(
        small_workload(n=24, loss=CountingLoss()), **{**QUESTION, "trainer": "lanes", "seeds": 8}
    )
    assert set(result.trials["trainer"]) == {"loop"}
    assert any("the loss changes passes while it trains" in note for note in result.notes)


@pytest.mark.parametrize("make", [in_a_closure, CallableLoss])
def test_a_loss_that_all_trials_share_and_that_changes_is_said(make):
    result = compare(small_workload(n=24, loss=make()), **QUESTION)
    said = [*result.notes, result.certificate[0].detail]
    assert any("loss." in each for each in said)


class HoldsData:
    """An objective that holds a large tensor beside what it counts."""

    def __init__(self):
        self.graph, self.passes = torch.zeros(2**19), 0

    def __call__(self, output, y):
        self.passes += 1
        return nn.functional.mse_loss(output, y) + self.graph[0]


def test_large_tensors_of_a_loss_are_not_copied_for_each_trial():
    loss = HoldsData()
    own = with_own_loss(small_workload(loss=loss), torch.device("cpu"), torch.float32).loss
    assert own is not loss
    assert own.graph is loss.graph


class Keeps(nn.Module):
    """Counts passes, also in eval mode, in a place of its own choice."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.begin()

    def forward(self, x):
        return self.out(x) * (1.0 if self.count() < 12 else 0.5)


class InNestedDicts(Keeps):
    def begin(self):
        self.kept = {"a": {"passes": 0}}

    def count(self):
        self.kept["a"]["passes"] += 1
        return self.kept["a"]["passes"]


class InATensorOfAList(Keeps):
    def begin(self):
        self.kept = [torch.zeros(1)]

    def count(self):
        self.kept[0] += 1
        return float(self.kept[0])


class InAnArray(Keeps):
    def begin(self):
        self.kept = np.zeros(1)

    def count(self):
        self.kept[0] += 1
        return self.kept[0]


class Box:
    pass


class InAnObjectOfAnObject(Keeps):
    def begin(self):
        self.box = Box()
        self.box.inner = Box()
        self.box.inner.passes = 0

    def count(self):
        self.box.inner.passes += 1
        return self.box.inner.passes


PLACES = [InNestedDicts, InATensorOfAList, InAnArray, InAnObjectOfAnObject]


@pytest.mark.parametrize("model", PLACES)
def test_measuring_leaves_what_a_model_keeps_as_it_was(model):
    often, once = (
        compare(small_workload(n=24, model=model), **QUESTION, measure=measure)
        .trials["final_sha256"]
        .tolist()
        for measure in (4, 0)
    )
    assert often == once


@pytest.mark.parametrize("model", [InNestedDicts, InATensorOfAList])
def test_what_is_counted_once_a_chunk_is_refused(model):
    with pytest.raises(ComparisonError, match=r"in chunks of 5, and the attribute kept.* differs"):
        compare(small_workload(n=24, model=model), **{**QUESTION, "strategies": "full"}, chunk=5)


def test_a_hook_that_keeps_something_when_it_is_measured_is_said():
    def hooked():
        model, seen = nn.Sequential(nn.Linear(3, 1)), [0]

        def count(module, inputs, output):
            seen[0] += 1

        model.register_forward_hook(count)
        return model

    detail = compare(small_workload(n=24, model=hooked), **QUESTION).certificate[0].detail
    assert "measuring changes model._forward_hooks[0].seen[0] too" in detail


def test_modules_that_share_a_part_with_statistics_are_refused():
    backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    with pytest.raises(WorkloadError, match=r"modules that share 0\.1, a BatchNorm1d, at two calls"):
        compare(small_workload(n=24, model=lambda: nn.Sequential(backbone, nn.Linear(4, 1))), **QUESTION)


def test_a_mask_of_the_models_on_its_gradients_is_no_fault_of_the_optimizer():
    def masked():
        model = nn.Linear(3, 1)
        model.weight.register_hook(lambda gradient: gradient * torch.tensor([1.0, 0.0, 1.0]))
        return model

    result = compare(small_workload(n=24, model=masked), **{**QUESTION, "seeds": 1})
    torch.manual_seed(0)
    started = nn.Linear(3, 1).weight[0, 1].item()
    assert result.model(result.trials["arm"][0], 0).weight[0, 1].item() == started


def test_a_partial_of_cross_entropy_weighs_as_the_module_does():
    weights = torch.tensor([1.0, 4.0, 2.0])
    data = torch.randn(24, 3, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3
    settings = {"model": lambda: nn.Linear(3, 3), "train": data, "batch_size": 6}
    losses = [nn.CrossEntropyLoss(weights), functools.partial(nn.functional.cross_entropy, weight=weights)]
    found = [
        compare(small_workload(**settings, loss=loss), **{**QUESTION, "strategies": "full"}, chunk=5).records
        for loss in losses
    ]
    assert found[0]["train_loss"].tolist() == found[1]["train_loss"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resumed", "refused"), [(nn.functional.l1_loss, True), (nn.functional.mse_loss, False)]
)
def test_another_loss_does_not_go_on_in_a_run_of_the_first(tmp_path, resumed, refused):
    compare(small_workload(n=24), **QUESTION, out=tmp_path / "run")
    question = {**QUESTION, "epochs": 8, "resume": tmp_path / "run"}
    if not refused:
        assert compare(small_workload(n=24, loss=resumed), **question).status == "finished"
        return
    with pytest.raises(
        ComparisonError, match="the code of the workload's model, loss or metrics changed; give force=True"
    ):
        compare(small_workload(n=24, loss=resumed), **question)


@pytest.mark.slow
def test_another_activation_does_not_go_on_either(tmp_path):
    def model(activation):
        return lambda: nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 1))

    compare(small_workload(n=24, model=model(nn.Tanh)), **QUESTION, out=tmp_path / "run")
    with pytest.raises(ComparisonError, match="the code of the workload's model"):
        compare(
            small_workload(n=24, model=model(nn.ReLU)), **{**QUESTION, "epochs": 8}, resume=tmp_path / "run"
        )


def test_what_float32_cannot_hold_is_said():
    seconds = 1.7e9 + torch.arange(24, dtype=torch.float64)[:, None]
    (note,) = precision_notes(small_workload(train=(seconds, torch.zeros(24, 1))), torch.float32)
    assert note.startswith("train: float32 rounds column 0 of part 0, with values such as 1700000000, by ")
    assert precision_notes(small_workload(train=(seconds, torch.zeros(24, 1))), torch.float64) == []
    assert precision_notes(small_workload(train=(seconds - 1.7e9, torch.zeros(24, 1))), torch.float32) == []
