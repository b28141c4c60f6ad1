"""The noise scale of a study against gradients of single samples by hand."""

from __future__ import annotations

import pytest
import torch

from optcompare.core.comparison import Budget, Trial
from optcompare.execution.noise_scale import noise_along
from optcompare.training.device import torch_settings
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload


def along(registry, n, updates=20):
    trainer = make_trainer(
        registry, small_workload(n), ["mini:4"], budget=Budget("epochs", 20), dtype="float64", measure=16
    )
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    with torch_settings(1):
        return trainer, noise_along(trainer, trial, updates, lambda: False)


def by_hand(trainer, rows):
    """trΣ̂ and |G|²̂ at the shared start, from the gradients 2(w·x + b - y)·(x, 1) of some rows."""
    x, y = (part.double()[rows] for part in trainer.setup.workload.train)
    model = trainer.start(0).model().double()
    gradients = (2 * (model(x) - y) * torch.cat([x, torch.ones(len(x), 1)], 1)).detach()
    trace = float(gradients.var(0, correction=1).sum())
    return trace, float(gradients.mean(0).square().sum()) - trace / len(rows)


@pytest.mark.parametrize(("n", "blocks"), [(20, 8), (64, 8), (5, 5), (3, 3)])
def test_the_estimates_without_a_block_are_those_of_the_other_rows(registry, n, blocks):
    trainer, points = along(registry, n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    first = points[0]
    assert (first["trace"], first["squared"]) == pytest.approx(by_hand(trainer, order))
    assert len(first["traces"]) == len(first["squares"]) == blocks
    parts = order.tensor_split(blocks)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for j, both in enumerate(zip(first["traces"], first["squares"], strict=True)):
        others = torch.cat([part for place, part in enumerate(parts) if place != j])
        assert both == pytest.approx(by_hand(trainer, others), rel=1e-9)


def test_two_rows_are_too_few_to_leave_one_out(registry):
    _, points = along(registry, 2)
    assert all(point["traces"] == point["squares"] == [] for point in points)
    assert all(point["trace"] > 0 for point in points)


def test_points_say_how_many_rows_they_looked_at(registry):
    _, points = along(registry, 600)
    assert {point["rows"] for point in points} == {512}
    assert points[0]["update"] == 0
    assert points[-1]["update"] >= 20
