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
