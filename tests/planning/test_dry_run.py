"""What a dry run expects a trial to take."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, WorkloadError
from optcompare.core.comparison import Budget
from optcompare.planning import dry_run, estimates
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import Pairs, held_out, small_workload

ROWS, ARMS = 20_000, ["mini:4", "mini:16", "mini:64", "single"]


class Evaluated(nn.Linear):
    """Counts the rows that it is given in evaluation."""

    rows = 0

    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            Evaluated.rows += len(x)
        return super().forward(x)


def points(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(number, 3), torch.ones(number, 1)


class Broken(Pairs):
    """Points of which one cannot be read."""

    def __init__(self, broken: int) -> None:
        super().__init__(*points(3000))
        self.broken = broken

    def __getitem__(self, index):
        if index == self.broken:
            raise ValueError("the file is empty")
        return super().__getitem__(index)


@pytest.mark.parametrize(("test", "share"), [(None, 0.0), (held_out().test, 0.25)])
def test_the_test_set_is_measured_once_in_each_trial(registry, monkeypatch, test, share):
    """Its 8 rows take a quarter of a second where 24 and 8 of the others take one; updates take none."""
    progress = {
        "status": "finished",
        "epoch": 0,
        "updates": 2,
        "train_seconds": 0.0,
        "measure_seconds": 0.0,
    }
    performed = (
        [{"train_loss": 1.0}] * 2,
        {"progress": progress, "optimizer": {}, "rng": {}},
    )
    monkeypatch.setattr(estimates, "make_first_updates", lambda *_, **__: performed)
    monkeypatch.setattr(estimates, "perf_counter", lambda: 0.0)
    measuring = {"train": 0.75, "valid": 0.25, "test": share}
    monkeypatch.setattr(dry_run, "check_workload", lambda *_: measuring)
    trainer = make_trainer(registry, held_out(test=test), ["single"], budget=Budget("updates", 4))
    (estimate,) = dry_run.dry_run(trainer)
    assert estimate.seconds == pytest.approx(estimate.measurements + share)


@pytest.mark.parametrize("goal", [None, "train_loss=1e6"])
def test_a_dry_run_measures_all_rows_once_and_then_few(registry, monkeypatch, goal):
    """Its runs time two or more updates of each arm, measured twice; all rows again if it is short."""
    monkeypatch.setattr(Evaluated, "rows", 0)
    workload = small_workload(model=Evaluated, train=points(ROWS), valid=points(ROWS // 4))
    estimates_of_arms = dry_run.dry_run(make_trainer(registry, workload, ARMS, goal=goal, eval_chunk=1000))
    assert len(estimates_of_arms) == len(ARMS)
    assert Evaluated.rows >= ROWS + ROWS // 4
    runs_of_an_arm = 1 + 2 * 4
    once_or_twice = 2 * (ROWS + ROWS // 4)
    assert Evaluated.rows <= once_or_twice + (2 * 1024) * (2 * runs_of_an_arm * len(ARMS) + 2)


@pytest.mark.parametrize("name", ["train", "valid"])
@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        (3, "the first 5 rows of {} cannot be read: ValueError: the file is empty"),
        (2000, "{} cannot be measured in passes of 3000 rows: ValueError: the file is empty"),
        (2999, "the first 5 rows of {} pass, and other parts of it do not: ValueError: the file is empty"),
    ],
)
def test_a_late_row_that_cannot_be_read_is_refused_before_training(registry, name, row, refusal):
    workload = small_workload(**{"train": points(3000), "valid": points(3000), name: Broken(row)})
    with pytest.raises(WorkloadError, match=refusal.format(name)):
        dry_run.dry_run(make_trainer(registry, workload, ["mini:4"]))


def area(output: torch.Tensor, y: torch.Tensor) -> float:
    """Fails on a part of the rows, as an area under a curve does without a positive one."""
    if len(y) < ROWS:
        raise ValueError("no positive row")
    return 1.0


def test_a_metric_that_needs_all_rows_is_not_computed_on_few(registry):
    workload = small_workload(train=points(ROWS), metrics={"area": area})
    assert dry_run.dry_run(make_trainer(registry, workload, ["mini:4"]))


def test_an_optimizer_that_spoils_weights_is_named(registry):
    class Spoils(torch.optim.SGD):
        def __init__(self, weights, lr):
            super().__init__(weights, lr)
            self.param_groups[0]["params"][0].data.fill_(torch.nan)

    trainer = make_trainer(registry, small_workload(), ["mini:4"], optimizers=[Spoils])
    with pytest.raises(ComparisonError, match="before the first update is nan, and finite without the arm's"):
        dry_run.dry_run(trainer)
