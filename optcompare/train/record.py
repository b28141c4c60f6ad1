"""A record: one measurement of one trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..comparison import Comparison, Trial
from .measure import last_mark
from .progress import Progress

Record = dict[str, Any]
ClockKind = Literal["measured", "estimated"]


def record_of(
    comparison: Comparison, trial: Trial, progress: Progress, n: int, values: Mapping[str, float], clock: ClockKind
) -> Record:
    """The row; ``n``: training samples, ``clock``: whether the seconds were measured, or estimated from updates."""
    arm = trial.arm
    return {
        "workload": comparison.workload.label,
        "phase": trial.phase,
        "arm": arm.label,
        "strategy": arm.strategy.label,
        "optimizer": arm.optimizer.label,
        "lr": arm.lr,
        "seed": trial.seed,
        "mark": last_mark(progress.samples, n, comparison.measure),
        "update": progress.updates,
        "epoch": progress.samples / n,
        "samples": progress.samples,
        "batch_size": progress.batch_size,
        "seconds": progress.train_seconds,
        "clock": clock,
        **values,
    }
