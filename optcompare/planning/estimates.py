"""Estimate the time of the trials of an arm from its first updates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from ..core.columns import Record
from ..core.comparison import Arm, Budget, Trial
from ..training.loop.trainer import LoopTrainer
from ..training.state import TrialState

Outcome = tuple[list[Record], TrialState]
"""The records of a trial and its state."""

_FEW, _MANY, _TIMED_SECONDS = 2, (16, 128, 256, 256), 0.2
"""The updates of the shorter and of the longer runs of each pair, and the seconds after which none begins."""
_LONG_EPOCH = 1000
"""Updates of an epoch from which on planning it may take longer than the timed updates do."""
_FEW_ROWS = 1024
"""The rows of each set that a short run measures, however large the data are."""
_STEEPEST = 1000
"""The most that the first update, with the planning of its epoch, takes longer than others."""


@dataclass(frozen=True)
class Estimate:
    """Hold the estimated cost of one trial of an arm in the loop.

    Args:
        arm: The arm.
        updates: The number of updates; None: it is only known after training.
        measurements: The number of measurements.
        expected_updates: The number of updates, or what is expected of it where it is not known.
        epochs: The number of epochs.
        draws: Whether its first updates drew random numbers.
        update_seconds: The seconds of one update alone.
        batch_size: The mean samples of an update, of the first one where more are not known ahead.
        epoch_seconds: The seconds of planning one epoch.
        measurement_seconds: The seconds of a measurement of all rows.
        measured_share: The rows of a mean measurement, as a share of all rows.
        further_seconds: The seconds of each measurement for diagnostics and running averages.
        start_seconds: The seconds before the first update, without a measurement.
        end_seconds: The seconds of measuring the test set.
    """

    arm: Arm
    updates: int | None
    measurements: float
    expected_updates: float = 0.0
    epochs: float = 0.0
    draws: bool = False
    update_seconds: float = 0.0
    batch_size: float = 1.0
    epoch_seconds: float = 0.0
    measurement_seconds: float = 0.0
    measured_share: float = 1.0
    further_seconds: float = 0.0
    start_seconds: float = 0.0
    end_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Return the seconds of the whole trial."""
        training = self.expected_updates * self.update_seconds + self.epochs * self.epoch_seconds
        of_rows = self.measurement_seconds * self.measured_share
        measuring = self.measurements * (of_rows + self.further_seconds) + self.end_seconds
        return self.start_seconds + training + measuring

    def on_sample(self, rows: int | None, sizes: Sequence[int]) -> Estimate:
        """Return the estimate with measurements over a sample of rows, but for the first and the last.

        Args:
            rows: The rows of each set; None: all.
            sizes: All rows of each set.
        """
        if rows is None:
            return self
        share = sum(min(rows, size) for size in sizes) / sum(sizes)
        between = max(0.0, self.measurements - 2)
        mean = (min(2.0, self.measurements) + between * share) / self.measurements
        return dataclasses.replace(self, measured_share=mean)


@dataclass(frozen=True)
class Pace:
    """Hold the seconds of the parts of a trial, each without the others.

    Args:
        update: The seconds of one update.
        epoch: The seconds of planning one epoch.
        start: The seconds before the first update.
    """

    update: float
    epoch: float = 0.0
    start: float = 0.0


@dataclass(frozen=True)
class TimedRun:
    """Hold the seconds of a short run of a trial.

    Args:
        updates: The number of updates.
        training: The seconds of training.
        start: The seconds before the first update, without a measurement.
    """

    updates: int
    training: float
    start: float


def make_first_updates(trainer: LoopTrainer, trial: Trial, updates: int) -> Outcome:
    """Make the first updates of a trial, none of them after its first epoch, with the trainer itself.

    It measures a few rows of each set, so that more data take no longer; all, where the loss needs them at
    once.

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
    rows = _FEW_ROWS if trainer.setup.workload.in_parts else None
    short = trainer.in_brief(dataclasses.replace(comparison, budget=budget, measure=0, measure_rows=rows))
    return short.advance([trial], None, lambda: False)


def measure_pace(trainer: LoopTrainer, trial: Trial, first: TimedRun, most: int) -> Pace:
    """Time pairs of short runs of a trial, one of few updates and one of more.

    Planning an epoch and the first update are slow, and a run of few updates consists of little else. The
    difference of a pair is the time of the other updates alone. An epoch of many updates takes long to plan,
    so that one pair is timed however slow the first run was.

    Args:
        trainer: The loop trainer, which makes the updates.
        trial: The trial, which begins at its shared start in each run.
        first: The first run of the trial; slow ones are not repeated.
        most: Updates of its first epoch, which no run exceeds.

    Returns:
        The pace.
    """
    runs, spent = [first], first.training  # The start of the first run may import much.
    for number, many in enumerate(_MANY):
        planned = number == 0 and most >= _LONG_EPOCH
        for updates in dict.fromkeys([min(many, most), min(_FEW, most)]):
            if (spent > _TIMED_SECONDS and not planned) or first.updates == 0:
                break
            runs.append(time_first_updates(trainer, trial, updates)[1])
            spent += runs[-1].start + runs[-1].training
    return pace_of(runs)


def time_first_updates(trainer: LoopTrainer, trial: Trial, updates: int) -> tuple[Outcome, TimedRun]:
    """Make the first updates of a trial, and time them; see :func:`make_first_updates`.

    Args:
        trainer: The loop trainer of the comparison.
        trial: The trial, which begins at its shared start.
        updates: The number of updates to make.

    Returns:
        Its records and its final state, and the seconds.
    """
    began = perf_counter()
    records, state = make_first_updates(trainer, trial, updates)
    whole, progress = perf_counter() - began, state["progress"]
    training = progress["train_seconds"]
    start = max(0.0, whole - training - progress["measure_seconds"])
    return (records, state), TimedRun(progress["updates"], training, start)


def pace_of(runs: Sequence[TimedRun]) -> Pace:
    """Return the pace that short runs of a trial show, by medians.

    Args:
        runs: The runs; those without an update count for the start only. The first is slower than others,
            and does not count if there are others.
    """
    runs = runs[1:] or runs
    start = median(run.start for run in runs)
    trained = [run for run in runs if run.updates > 0]
    if not trained:
        return Pace(0.0, 0.0, start)
    few, many = min(run.updates for run in trained), max(run.updates for run in trained)
    short = median(run.training for run in trained if run.updates == few)
    long = [run for run in trained if run.updates >= many / 2]
    if many < 2 * few:
        return Pace(median(run.training / run.updates for run in long), 0.0, start)
    slope = median((run.training - short) / (run.updates - few) for run in long if run.updates > few)
    update = slope if slope > 0 else short / few / _STEEPEST
    return Pace(update, max(0.0, short - few * update), start)


def estimate_trial(
    trainer: LoopTrainer, arm: Arm, planned: int | None, sizes: list[int], pace: Pace, measurement: float
) -> Estimate:
    """Estimate what one trial of an arm takes under its budget, without the test set.

    Args:
        trainer: The loop trainer of the comparison.
        arm: The arm.
        planned: Updates of an epoch; None where they are not known ahead.
        sizes: Samples of the batches of an epoch, or of the first alone where the rest is not known.
        pace: The seconds of the parts of a trial.
        measurement: The seconds of a measurement of all rows.

    Returns:
        The estimate.
    """
    comparison, n = trainer.setup.comparison, trainer.setup.workload.size
    per_epoch = len(sizes) if planned else n / sizes[0] if sizes[0] > n else math.ceil(n / sizes[0])
    unit, amount = comparison.budget.unit, comparison.budget.amount
    total = {"epochs": amount * per_epoch, "updates": amount, "samples": amount * per_epoch / n}.get(unit)
    updates = amount / max(pace.update + pace.epoch / per_epoch, 1e-9) if total is None else total
    epochs = updates / per_epoch
    early = math.log2(n) * (comparison.measure > 0)
    measurements = min(updates, epochs * comparison.measure + early) + 2
    known = int(updates) if total is not None and (planned or unit == "updates") else None
    return Estimate(
        arm,
        known,
        measurements,
        updates,
        epochs,
        update_seconds=pace.update,
        batch_size=sum(sizes) / len(sizes),
        epoch_seconds=pace.epoch,
        measurement_seconds=measurement,
        start_seconds=pace.start,
    )
