"""The pace of a trial from short runs, and what its budget then takes; nothing is timed."""

from __future__ import annotations

import pytest

from optcompare.core.comparison import Budget
from optcompare.planning import estimates
from optcompare.planning.estimates import Pace, TimedRun, estimate_trial, measure_pace, pace_of
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import held_out


def run(updates, training, start=0.5):
    return TimedRun(updates, training, start)


FIRST = run(2, 500.0, 50.0)


def test_planning_an_epoch_is_not_counted_for_every_update():
    """Half a second of planning, a hundredth for an update."""
    assert pace_of([FIRST, run(2, 0.52), run(100, 1.5)]) == Pace(pytest.approx(0.01), pytest.approx(0.5), 0.5)


def test_the_medians_count_without_the_first_run():
    others = [run(2, 0.52), run(100, 1.5), run(2, 0.52), run(100, 1.5), run(2, 9.0, 9.0)]
    assert pace_of([FIRST, *others]) == pace_of([FIRST, *others[:2]])
    assert pace_of([FIRST]) == Pace(250.0, 0.0, 50.0)


def test_an_epoch_of_one_update_counts_as_a_whole():
    assert pace_of([FIRST, run(1, 0.4), run(1, 0.4)]) == Pace(0.4, 0.0, 0.5)


def test_an_epoch_of_few_updates_has_a_short_and_a_long_run():
    assert pace_of([FIRST, run(1, 0.6), run(2, 0.7)]) == Pace(pytest.approx(0.1), pytest.approx(0.5), 0.5)


def test_noise_gives_no_negative_pace():
    found = pace_of([FIRST, run(2, 1.0), run(100, 0.9)])
    assert found.update == pytest.approx(0.5 / 1000)
    assert found.epoch == pytest.approx(1.0, rel=0.01)


def test_a_trial_that_made_no_update_has_only_been_measured():
    assert pace_of([run(0, 0.0)]) == Pace(0.0, 0.0, 0.5)


def test_slow_trials_are_not_repeated_and_others_within_their_first_epoch(monkeypatch):
    made = []

    def timed(trainer, trial, updates):
        made.append(updates)
        return None, run(updates, 0.01 * updates)

    monkeypatch.setattr(estimates, "time_first_updates", timed)
    measure_pace(None, None, run(2, 3.0), 100)
    assert made == []
    measure_pace(None, None, run(2, 0.0, start=60.0), 6)
    assert made == [6]
    made.clear()
    monkeypatch.setattr(estimates, "_TIMED_SECONDS", 100.0)
    measure_pace(None, None, run(2, 0.0), 200)
    assert made == [16, 2, 128, 2, 200, 2, 200, 2]


def test_planning_a_long_epoch_does_not_count_for_each_update(monkeypatch):
    """Planning takes 3 s and an update 1 ms, so that 2 updates alone would seem to take 1.5 s each."""
    monkeypatch.setattr(
        estimates,
        "time_first_updates",
        lambda trainer, trial, updates: (None, run(updates, 3 + updates / 1000)),
    )
    found = measure_pace(None, None, run(2, 3.002), 200_000)
    assert (found.update, found.epoch) == (pytest.approx(0.001), pytest.approx(3.0))


@pytest.mark.parametrize(
    ("budget", "updates", "epochs"),
    [
        (Budget("epochs", 3), 18, 3),
        (Budget("updates", 9), 9, 1.5),
        (Budget("samples", 48), 12, 2),
    ],
)
def test_a_trial_takes_its_start_updates_epochs_and_measurements(registry, budget, updates, epochs):
    workload = held_out()
    trainer = make_trainer(registry, workload, ["mini:4"], budget=budget)
    n, arm = workload.size, trainer.setup.comparison.arms[0]
    sizes = [n // 6] * 6
    found = estimate_trial(trainer, arm, 6, sizes, Pace(1.0, 5.0, 7.0), measurement=0.32)
    assert (found.updates, found.epochs) == (
        updates * n // 24 if budget.unit == "samples" else updates,
        epochs,
    )
    training = found.expected_updates * 1.0 + found.epochs * 5.0
    assert found.seconds == pytest.approx(7.0 + training + found.measurements * 32 * 0.01)


def test_a_budget_of_seconds_counts_planning(registry):
    trainer = make_trainer(registry, held_out(), ["mini:4"], budget=Budget("seconds", 11.0))
    arm = trainer.setup.comparison.arms[0]
    found = estimate_trial(trainer, arm, 6, [4] * 6, Pace(1.0, 5.0, 0.0), measurement=0.0)
    assert found.seconds == pytest.approx(11.0)
    assert found.updates is None
