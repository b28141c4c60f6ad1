"""Estimate the time of the trials of an arm from its first updates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.columns import Record
from ..core.comparison import Arm, Budget, Trial
from ..training.loop.trainer import LoopTrainer
from ..training.state import TrialState

Outcome = tuple[list[Record], TrialState]
"""The records of a trial and its state."""

_TIMED_UPDATES, _TIMED_RUNS, _TIMED_SECONDS = 16, 4, 0.05
"""Updates in a timed run, runs at most, and seconds after which a run is not repeated."""


@dataclass(frozen=True)
class Estimate:
    """Hold the estimated cost of one trial of an arm in the loop.

    Args:
        arm: The arm.
        updates: The number of updates; None: it is only known after training.
        measurements: The number of measurements.
        seconds: The seconds of updates and measurements together.
        draws: Whether its first updates drew random numbers.
        update_seconds: The seconds of one update alone.
        batch_size: The mean samples of an update, of the first one where more are not known ahead.
    """

    arm: Arm
    updates: int | None
    measurements: float
    seconds: float
    draws: bool = False
    update_seconds: float = 0.0
    batch_size: float = 1.0


@dataclass(frozen=True)
class Pace:
    """Hold the seconds of one update and of one measurement, each without the other."""

    update: float
    measurement: float


def make_first_updates(trainer: LoopTrainer, trial: Trial, updates: int) -> Outcome:
    """Make the first updates of a trial, none of them after its first epoch, with the trainer itself.

    Args:
        trainer: The loop trainer of the comparison.
        trial: The trial, which begins at its shared start.
        updates: The number of updates to make; fewer if the budget ends before.

    Returns:
        Its records and its final state.
    """
    comparison, budget = trainer.setup.comparison, Budget("updates", updates)
    if comparison.budget.unit == "updates" and comparison.budget.amount < updates:
        budget = comparison.budget
    short = trainer.for_comparison(dataclasses.replace(comparison, budget=budget, measure=0))
    return short.advance([trial], None, lambda: False)


def measure_pace(
    trainer: LoopTrainer,
    trial: Trial,
    first: Outcome,
    most: int,
    test_share: float,
) -> Pace:
    """Time short runs of a trial, and take the fastest: the first ones and interrupted ones are far slower.

    Args:
        trainer: The loop trainer, which makes the updates.
        trial: The trial, which begins at its shared start in each run.
        first: Records and state of its first updates; slow ones are not repeated.
        most: Updates of its first epoch, which no run exceeds.
        test_share: How many measurements the test set counts for at the end.

    Returns:
        The seconds.
    """
    runs = [_pace_of(*first, test_share)]
    while len(runs) <= _TIMED_RUNS and runs[-1].update + runs[-1].measurement < _TIMED_SECONDS:
        updates = max(1, min(most, _TIMED_UPDATES, int(_TIMED_SECONDS / max(runs[-1].update, 1e-9))))
        records, state = make_first_updates(trainer, trial, updates)
        if state["progress"]["updates"] == 0:
            break
        runs.append(_pace_of(records, state, test_share))
    return Pace(min(run.update for run in runs), min(run.measurement for run in runs))


def estimate_trial(
    trainer: LoopTrainer, arm: Arm, planned: int | None, sizes: list[int], pace: Pace
) -> Estimate:
    """Estimate what one trial of an arm takes under its budget, without the test set.

    Args:
        trainer: The loop trainer of the comparison.
        arm: The arm.
        planned: Updates of an epoch; None where they are not known ahead.
        sizes: Samples of the batches of an epoch, or of the first alone where the rest is not known.
        pace: Seconds of an update and of a measurement.

    Returns:
        The estimate.
    """
    comparison, n = trainer.setup.comparison, trainer.setup.workload.size
    per_epoch = len(sizes) if planned else n / sizes[0] if sizes[0] > n else math.ceil(n / sizes[0])
    unit, amount = comparison.budget.unit, comparison.budget.amount
    total = {"epochs": amount * per_epoch, "updates": amount, "samples": amount * per_epoch / n}.get(unit)
    updates = amount / max(pace.update, 1e-9) if total is None else total
    epochs = updates / per_epoch
    early = math.log2(n) * (comparison.measure > 0)
    measurements = min(updates, epochs * comparison.measure + early) + 2
    known = int(updates) if total is not None and (planned or unit == "updates") else None
    seconds = updates * pace.update + measurements * pace.measurement
    return Estimate(
        arm,
        known,
        measurements,
        seconds,
        update_seconds=pace.update,
        batch_size=sum(sizes) / len(sizes),
    )


def _pace_of(records: list[Record], state: Mapping[str, Any], test_share: float) -> Pace:
    """Return the pace of one run."""
    progress = state["progress"]
    measured = max(1, len(records)) + test_share
    return Pace(
        progress["train_seconds"] / max(1, progress["updates"]), progress["measure_seconds"] / measured
    )
