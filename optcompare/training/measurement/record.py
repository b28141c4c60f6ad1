"""The table rows of a trial: a record for each measurement, and an outcome at its end."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

from ...core.columns import GOAL_COLUMNS
from ...core.comparison import Comparison, Trial
from .counters import Progress
from .evaluation import last_evaluation

Record = dict[str, Any]
Outcome = dict[str, Any]
_GOAL_NOT_REACHED = dict.fromkeys(GOAL_COLUMNS, math.nan)
ClockKind = Literal["measured", "estimated", "shared"]


def record_of(
    comparison: Comparison,
    trial: Trial,
    progress: Progress,
    n: int,
    values: Mapping[str, float],
    clock: ClockKind,
) -> Record:
    """Return a record, with the columns of :data:`.RECORDS_SCHEMA`.

    Args:
        comparison: The comparison.
        trial: The trial.
        progress: The counters of the trial.
        n: The number of training samples.
        values: The measured values, by column.
        clock: ``measured``, or ``estimated`` from the pace of updates.
    """
    arm = trial.arm
    return {
        "workload": comparison.workload.label,
        "phase": trial.phase,
        "arm": arm.label,
        "strategy": arm.strategy.label,
        "optimizer": arm.optimizer.label,
        "lr": arm.lr,
        "seed": trial.seed,
        **_split_of(comparison, trial),
        **_repeat(trial),
        "mark": last_evaluation(progress.samples, n, comparison.measure),
        "update": progress.updates,
        "epoch": progress.samples / n,
        "samples": progress.samples,
        "batch_size": progress.batch_size,
        "seconds": progress.train_seconds,
        "clock": clock,
        **values,
    }


def outcome_of(
    trial: Trial, progress: Progress, comparison: Comparison, trainer: str, fallback: str = ""
) -> Outcome:
    """Return the row of a trial that has ended, with the columns of :data:`.TRIALS_SCHEMA`.

    Args:
        trial: The trial.
        progress: The counters of the trial.
        comparison: The comparison; its budget is recorded, since a later run may raise it.
        trainer: The trainer, such as ``lanes+loop``.
        fallback: Why the trial ran in the loop instead of lanes; empty if it did not.
    """
    return {
        "workload": comparison.workload.label,
        "phase": trial.phase,
        "arm": trial.arm.label,
        "lr": trial.arm.lr,
        "seed": trial.seed,
        **_split_of(comparison, trial),
        **_repeat(trial),
        "status": progress.status,
        "reason": progress.reason,
        "weights_sha256": progress.weights_sha256,
        "order_sha256": hashlib.sha256("".join(progress.orders).encode()).hexdigest(),
        "batches_sha256": progress.batches,
        "final_sha256": progress.final_sha256,
        "trainer": trainer,
        **({"masks": comparison.masks} if comparison.masks == "counter" else {}),
        "updates": progress.updates,
        "samples": progress.samples,
        "train_seconds": progress.train_seconds,
        "measure_seconds": progress.measure_seconds,
        "budget": float(comparison.budget.amount),
        "fallback": fallback,
        "engine": "+".join(progress.engines),
        "epochs": progress.epoch,
        "epochs_begun": len(progress.orders),
        "epochs_checked": progress.checked,
        "rearranged": progress.rearranged,
        **(
            _GOAL_NOT_REACHED | progress.goal_found
            if comparison.stop_at_goal and comparison.goal_window
            else {}
        ),
    }


def _split_of(comparison: Comparison, trial: Trial) -> dict[str, int]:
    """Return the column of comparisons over several splits of the data."""
    return {"split": comparison.split_of(trial.seed)} if comparison.split_seeds > 1 else {}


def _repeat(trial: Trial) -> Mapping[str, int]:
    """Return the column of the tuning repeat, where there are several."""
    return {"repeat": trial.repeat} if trial.repeat else {}
