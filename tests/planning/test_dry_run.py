"""What a dry run expects a trial to take."""

from __future__ import annotations

import pytest

from optcompare.core.comparison import Budget
from optcompare.planning import dry_run, estimates
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import held_out


@pytest.mark.parametrize(("test", "share"), [(None, 0.0), (held_out().test, 0.25)])
def test_the_test_set_is_measured_once_in_each_trial(registry, monkeypatch, test, share):
    """Its 8 rows take a quarter of a second where 24 and 8 of the others take one; updates take none."""
    progress = {
        "status": "finished",
        "epoch": 0,
        "updates": 2,
        "train_seconds": 0.0,
        "measure_seconds": 2 + share,
    }
    performed = [{"train_loss": 1.0}] * 2, {"progress": progress, "optimizer": {}, "rng": {}}
    monkeypatch.setattr(estimates, "make_first_updates", lambda *_, **__: performed)
    monkeypatch.setattr(estimates, "perf_counter", lambda: 0.0)
    trainer = make_trainer(registry, held_out(test=test), ["single"], budget=Budget("updates", 4))
    (estimate,) = dry_run.dry_run(trainer)
    assert estimate.seconds == pytest.approx(estimate.measurements + share)


def test_batches_that_grow_take_fewer_updates_later(registry):
    """Epochs 1, 3, 5 and 7 of 8 are planned: 24 samples in batches of 2, of 8 from the fourth epoch on."""
    strategies, budget = ["growth:2:factor=4:at=(4,)", "mini:2"], Budget("epochs", 8)
    growth, mini = dry_run.dry_run(make_trainer(registry, held_out(), strategies, budget=budget))
    assert growth.updates == mini.updates == mini.expected_updates == 8 * 12
    assert growth.expected_updates == 8 * (12 + 12 + 3 + 3) / 4
