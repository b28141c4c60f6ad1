"""Rows of one forward pass of evaluation, by the size of intermediate results."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import compare
from optcompare.planning.eval_chunk import MOST_BYTES, choose_eval_chunk
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload

WIDE = 2**12
"""Results of 16 KiB a row, 256 of which fill 4 MiB."""


class Outer(nn.Linear):
    """Makes its wide results within its own forward pass, where no layer shows them."""

    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x[:, :1].repeat(1, WIDE)
        return super().forward(x) + wide.exp().mean(1, keepdim=True)


class Repeats(nn.Linear):
    """Shows the same wide view of few values, which takes no memory."""

    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.expand(WIDE, *x.shape)[0])


class Unsteady(nn.Linear):
    """Needs other operations for more rows."""

    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum((super(Unsteady, self).forward(x) for _ in x), torch.zeros(len(x), 1)) / len(x)


class Indexed(nn.Linear):
    """Has a sparse result beside the wide one."""

    def __init__(self) -> None:
        super().__init__(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sparse = x[:, :1].to_sparse()
        return super().forward(x) + sparse.to_dense() * x[:, :1].repeat(1, WIDE).mean(1, keepdim=True)


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, WIDE), nn.BatchNorm1d(WIDE), nn.Linear(WIDE, 1))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(3, WIDE), nn.ReLU(), nn.Linear(WIDE, 1))


def large_weights() -> nn.Module:
    """Weights of 16 MiB, that are no result of a row."""
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2**20, bias=False), nn.Linear(2**20, 1))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: nn.Linear(3, 1), 16384),
        (wide, MOST_BYTES // (4 * WIDE)),
        (Outer, MOST_BYTES // (4 * WIDE)),
        (Indexed, MOST_BYTES // (4 * WIDE)),
        (normalised, 16384),
        (Repeats, 16384),
        (Unsteady, 16384),
        (large_weights, 32),
    ],
    ids=["narrow", "wide", "wide inside", "sparse", "BatchNorm", "views", "unsteady", "fewest"],
)
def test_the_largest_result_of_a_pass_fills_4_mebibytes(registry, model, expected):
    workload = small_workload(10, model=model)
    assert choose_eval_chunk(make_trainer(registry, workload, ["mini:4"])) == expected


def test_rows_of_a_pass_that_are_given_stay(registry):
    given = compare(small_workload(10, model=wide), "mini:4", seeds=1, epochs=1, eval_chunk=1000)
    assert given.comparison.eval_chunk == 1000
    chosen = compare(small_workload(10, model=wide), "mini:4", seeds=1, epochs=1)
    assert chosen.comparison.eval_chunk == 256


def test_a_run_that_goes_on_keeps_the_rows_of_a_pass_that_it_had(tmp_path):
    """As one of an earlier version, which had more rows."""
    question = {"workload": small_workload(10, model=wide), "strategies": "mini:4", "epochs": 1}
    compare(**question, seeds=1, eval_chunk=1000, out=tmp_path / "run")
    more = compare(**question, seeds=2, resume=tmp_path / "run")
    assert (more.comparison.eval_chunk, len(more.comparison.seeds)) == (1000, 2)


def test_an_objective_and_few_rows_keep_their_passes(registry):
    def objective(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return (model(batch[0]) - batch[1]).square().mean()

    whole = small_workload(500, model=wide, loss=None, objective=objective)
    trainer = make_trainer(registry, whole, ["mini:4"])
    assert choose_eval_chunk(trainer) == trainer.setup.comparison.eval_chunk >= 500
    few = small_workload(5, model=wide)
    assert choose_eval_chunk(make_trainer(registry, few, ["full"])) == 16384
