"""Train a trial epoch by epoch, with the kind of epoch that its strategy and optimizer need."""

from __future__ import annotations

from collections.abc import Callable

from .adaptive_epoch import AdaptiveEpoch
from .closure_epoch import closure_epoch
from .planned_epoch import PlannedEpoch
from .trial import TrialRun


def _evaluates_all(run: TrialRun) -> bool:
    """Return whether each evaluation of an update takes all samples, and so counts as an epoch."""
    if run.minimises:
        return True
    return not run.wants_gradient and run.planner.sizes == [run.source.n]


def train(run: TrialRun, until: Callable[[], bool], stop: Callable[[], bool]) -> None:
    """Train a trial until it has ended or a function stops it.

    Args:
        run: The trial.
        until: Called after each update, or after each epoch of an adaptive strategy; True ends the task.
        stop: Called after each update of an adaptive strategy; True ends the trial as interrupted.
    """
    if run.progress.measured_at < 0:
        run.measurement.start()
    while run.progress.status == "running":
        if run.takes_closure and _evaluates_all(run):
            closure_epoch(run)
        elif run.strategy.adaptive:
            AdaptiveEpoch(run).train(stop)
        else:
            PlannedEpoch(run).train(until)
        if until():
            break
    run.close()
