"""Optimizers that evaluate loss and gradient several times in an update, on mini-batches too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, compare
from optcompare.core.comparison import Budget
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.verification.verify import verify
from tests.helpers.workloads import small_workload


class Sharpness(torch.optim.Optimizer):
    """Moves along the gradient by rho, evaluates there, moves back and descends: the gradient is there, the
    closure again.
    """

    def __init__(self, params, lr=0.05, rho=0.05):
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure=None):
        assert closure is not None, "a closure is needed"
        weights = [weight for group in self.param_groups for weight in group["params"]]
        group = self.param_groups[0]
        norm = torch.stack([weight.grad.norm() for weight in weights]).norm() + 1e-12
        moves = [group["rho"] * weight.grad / norm for weight in weights]
        for weight, move in zip(weights, moves, strict=True):
            weight.add_(move)
        with torch.enable_grad():
            closure()
        for weight, move in zip(weights, moves, strict=True):
            weight.sub_(move).sub_(group["lr"] * weight.grad)


class Midpoint(torch.optim.Optimizer):
    """Evaluates twice by itself: the gradient half a step ahead is the one that is used."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            closure()
        weights = [weight for group in self.param_groups for weight in group["params"]]
        lr = self.param_groups[0]["lr"]
        before = [weight.clone() for weight in weights]
        for weight in weights:
            weight.sub_(0.5 * lr * weight.grad)
        with torch.enable_grad():
            closure()
        for weight, value in zip(weights, before, strict=True):
            weight.copy_(value - lr * weight.grad)


class Undecided(Midpoint):
    """Evaluates once more in every other update."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, lr)
        self.made = 0

    def step(self, closure):
        self.made += 1
        if self.made % 2 == 0:
            with torch.enable_grad():
                closure()
        super().step(closure)


class OptionalMidpoint(Midpoint):
    """Wants a closure by its assertion alone, and no gradient before it."""

    def step(self, closure=None):
        assert closure is not None
        super().step(closure)


def test_no_gradient_is_computed_for_one_that_does_not_look_at_it():
    found = [
        compare(small_workload(n=24), "mini:6", kind, **QUESTION, epochs=4)
        for kind in (Midpoint, OptionalMidpoint)
    ]
    assert found[0].trials["final_sha256"].tolist() == found[1].trials["final_sha256"].tolist()
    assert found[0].trials["samples"].tolist() == found[1].trials["samples"].tolist()


def order(seed, epoch, n):
    return np.arange(n)


def by_hand(kind, batches, epochs):
    """The final weights of a plain loop over these slices."""
    workload = small_workload(n=24)
    x, y = workload.train
    torch.manual_seed(0)
    model = workload.model()
    optimizer = kind(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for rows in batches:

            def closure(rows=rows):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(x[rows]), y[rows])
                loss.backward()
                return loss

            if kind is Sharpness:
                closure()
            optimizer.step(closure)
    return model.weight.detach()


MINI, FULL = [slice(first, first + 6) for first in range(0, 24, 6)], [slice(0, 24)]
QUESTION = {"lr": 0.05, "seeds": 1, "order": order, "trainer": "loop"}


@pytest.mark.parametrize("kind", [Sharpness, Midpoint])
@pytest.mark.parametrize(("strategy", "batches"), [("mini:6", MINI), ("full", FULL)])
@pytest.mark.parametrize("chunk", [None, 4])
def test_they_train_as_in_a_plain_loop(kind, strategy, batches, chunk):
    result = compare(small_workload(n=24), strategy, kind, **QUESTION, epochs=6, chunk=chunk)
    found = result.model(result.trials["arm"][0], 0).weight.detach()
    torch.testing.assert_close(found, by_hand(kind, batches, 3), rtol=1e-5, atol=1e-7)
    (trial,) = result.trials.to_dict("records")
    assert (trial["updates"], trial["samples"], trial["epochs"]) == (3 * len(batches), 6 * 24, 6)


@pytest.mark.parametrize(
    ("budget", "updates"), [({"epochs": 1}, 2), ({"samples": 60}, 5), ({"updates": 3}, 3)]
)
def test_evaluations_count_against_the_budget(budget, updates):
    result = compare(small_workload(n=24), "mini:6", Sharpness, **QUESTION, **budget)
    (trial,) = result.trials.to_dict("records")
    assert (trial["updates"], trial["samples"], trial["status"]) == (updates, 12 * updates, "finished")
    assert all(check.held for check in result.certificate)


def test_the_updates_that_are_expected_are_those_that_are_made(registry):
    prepared = prepare(
        registry,
        Question(
            workload=small_workload(n=24),
            strategies=["mini:6"],
            optimizers=[Sharpness],
            lr=0.05,
            seeds=(0,),
            device="cpu",
            budget=Budget("epochs", 6),
        ),
    )
    assert prepared.estimates[0].updates == 12


@pytest.mark.slow
def test_a_run_is_resumed_and_verified(tmp_path):
    question = {**QUESTION, "order": None, "seeds": 2}
    whole = compare(small_workload(n=24), "mini:6", Sharpness, **question, epochs=8)
    compare(small_workload(n=24), "mini:6", Sharpness, **question, epochs=4, out=tmp_path / "run")
    resumed = compare(
        small_workload(n=24), "mini:6", Sharpness, **question, epochs=8, resume=tmp_path / "run"
    )
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()
    assert [finding.detail for finding in verify(tmp_path / "run") if finding.held is False] == []


def test_one_that_evaluates_now_more_now_less_is_told_to_take_all_samples():
    with pytest.raises(
        ComparisonError, match=r"evaluated loss and gradient 3 times in update 2, and 2 times in its first"
    ):
        compare(small_workload(n=24), "mini:6", Undecided, **QUESTION, epochs=4)
    assert compare(small_workload(n=24), "full", Undecided, **QUESTION, epochs=5).status == "finished"


def test_lbfgs_still_takes_all_samples():
    with pytest.raises(ComparisonError, match="so that each update must take all 24 samples"):
        compare(small_workload(n=24), "mini:6", "lbfgs", **QUESTION, epochs=30)
