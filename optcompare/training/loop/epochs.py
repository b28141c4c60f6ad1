"""How a trial is trained: epoch after epoch, in the way that its strategy and its optimizer ask for."""

from __future__ import annotations

from collections.abc import Callable

from .adaptive_epoch import adaptive_epoch
from .closure_epoch import closure_epoch
from .planned_epoch import PlannedEpoch
from .trial import TrialRun


def _whole(run: TrialRun) -> bool:
    """Whether an update of an optimizer that evaluates several times takes all samples, so that each
    evaluation is an epoch.
    """
    if run.minimises:
        return True
    return not run.wants_gradient and run.planner.sizes == [run.source.n]


def train(run: TrialRun, until: Callable[[], bool], stop: Callable[[], bool]) -> None:
    """Trains until the trial has ended or ``until`` says so; see :meth:`.LoopTrainer.advance`."""
    if run.progress.measured_at < 0:
        run.begin()
    while run.progress.status == "running":
        if run.takes_closure and _whole(run):
            closure_epoch(run)
        elif run.strategy.adaptive:
            adaptive_epoch(run, stop)
        else:
            PlannedEpoch(run).train(until)
        if until():
            break
    run.seal()
