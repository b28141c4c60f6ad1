"""Train epochs of optimizers that evaluate all samples several times in one update, such as L-BFGS."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Arm
from ...errors import ComparisonError
from ...interfaces.optimizer import load_state
from ..epoch_end import EpochEnd
from ..position import POSITION
from .closure_passes import Exceeded
from .gradient import in_chunks
from .trial import TrialRun

if TYPE_CHECKING:
    from torch import Tensor


def closure_epoch(run: TrialRun) -> None:
    """Make one update, in which each pass over all samples is an epoch.

    An update that would exceed the budget is undone to the last bit, and the trial ends.

    Args:
        run: The trial.
    """
    progress, n, before = run.progress, run.source.n, run.planner.state()
    with run.clock:
        plan = run.planner.plan(progress)
    _check_whole(run.trial.arm, plan.sizes, n)
    pieces, (count,) = in_chunks(plan.batches, n, run.trial.arm, run.model)
    run.warm_up_once(pieces[0])
    if run.measurement.diagnosing.active:
        run.measurement.keep_update(plan.batches[0])
    point, most = run.measurement.next_point(), progress.passes_left(run.budget, n)
    passes = run.passes(pieces, count, most)
    POSITION.follow(progress)
    start = _UndoPoint(run.weights, run.optimizer) if most < math.inf else None
    try:
        with run.clock:
            run.set_rate(progress.updates, progress.samples)
            run.step_with(passes)
    except Exceeded:
        assert start is not None
        start.restore()
        passes.rewind()
        run.planner.load(before)
        progress.checked = progress.epoch
        run.end_epoch(EpochEnd(complete=False, spent=True))
        return
    if not passes.calls:
        raise ComparisonError(
            f"optimizer {run.trial.arm.optimizer.label}: its step() did not call the closure"
        )
    progress.count_updates(1, passes.calls * n, n, run.clock.seconds)
    progress.leave(plan, over=True)
    for _ in range(passes.calls):
        run.planner.begin(progress)
        progress.end_epoch()
    progress.checked = progress.epoch
    run.measurement.after_updates(point)
    run.end_epoch(EpochEnd(complete=False, spent=False))


class _UndoPoint:
    """Hold weights and optimizer state from before an update, so that it can be undone."""

    def __init__(self, weights: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._weights, self._optimizer = weights, optimizer
        self._values = [weight.detach().clone() for weight in weights]
        self._state = copy.deepcopy(optimizer.state_dict())

    def restore(self) -> None:
        with torch.no_grad():
            for weight, value in zip(self._weights, self._values, strict=True):
                weight.copy_(value)
        load_state(self._optimizer, self._state)


def _check_whole(arm: Arm, sizes: Sequence[int], n: int) -> None:
    """Raise :class:`ComparisonError` unless an epoch is one update of all samples."""
    if list(sizes) != [n]:
        raise ComparisonError(
            f"arm {arm.label}: optimizer {arm.optimizer.label} evaluates loss and gradient several times in "
            f"one update, so that each update must take all {n} samples, and the first takes {sizes[0]}; "
            f"give full@{arm.optimizer.label}, or another optimizer"
        )
