"""Train epochs of adaptive strategies, which receive the statistics of each update before the next batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...interfaces.strategy import StepStats
from ..measurement.step_stats import needs_samples, step_stats
from ..position import POSITION
from .adaptive_batches import AdaptiveBatches
from .gradient import in_chunks
from .trial import TrialRun

if TYPE_CHECKING:
    from torch import Tensor


class AdaptiveEpoch:
    """Train a whole epoch of a trial, since the generator of the strategy cannot be saved within it.

    Args:
        run: The trial.
    """

    def __init__(self, run: TrialRun) -> None:
        self._run = run
        self._batches = AdaptiveBatches(run.planner, run.progress, run.source.n)

    def train(self, stop: Callable[[], bool]) -> None:
        """Train until the epoch or the budget ends.

        Args:
            stop: Called after each update; True ends the trial as interrupted.
        """
        run, progress = self._run, self._run.progress
        batch = self._next(None)
        while batch is not None and progress.status == "running":
            batch = self._batches.checked(batch)
            if len(batch) == 0 or not progress.admits(run.budget, len(batch)):
                break
            run.begin_epoch([batch[: run.trial.arm.chunk]])
            self._batches.add(batch)
            stats = self._train_on(batch)
            if stop() and progress.status == "running":
                progress.status, progress.reason = "interrupted", "stopped within an epoch"
                break
            batch = self._next(stats)
        run.end_epoch(self._batches.end(batch))

    def _next(self, stats: StepStats | None) -> Tensor | None:
        """Return the next batch; None if the strategy yields no more."""
        with self._run.clock:
            return self._batches.draw(stats)

    def _train_on(self, batch: Tensor) -> StepStats:
        """Make the update of a batch, and measure if an evaluation point is reached."""
        run, measurement = self._run, self._run.measurement
        point = measurement.next_point()
        if measurement.diagnosing.active and (point is None or self._may_be_measured(point, len(batch))):
            measurement.keep_update(batch)
        with run.clock:
            stats = update_with_stats(run, batch)
        run.progress.count_updates(1, len(batch), len(batch), run.clock.seconds)
        measurement.after_updates(point)
        return stats

    def _may_be_measured(self, point: int, size: int) -> bool:
        """Return whether an update of ``size`` samples may be the last one before a record."""
        progress, budget = self._run.progress, self._run.budget
        last = budget.unit in ("samples", "seconds") or (
            budget.unit == "updates" and progress.updates + 1 >= budget.amount
        )
        return last or progress.samples + size >= point


def update_with_stats(run: TrialRun, indices: Tensor) -> StepStats:
    """Make one update of a trial, and return the statistics that its strategy needs; nothing is counted.

    Args:
        run: The trial.
        indices: The samples of the update, int64[B].
    """
    progress, needs = run.progress, run.strategy.needs
    pieces, (count,) = in_chunks([indices], len(indices), run.trial.arm, run.model)
    batches = run.source.stream(pieces, run.trial.seed, progress.epoch, ahead=False)
    kept = list(batches) if needs_samples(needs) else []
    POSITION.follow(progress)
    loss = run.gradient(iter(kept) if kept else batches, count)
    run.set_rate(progress.updates, progress.samples)
    lr = float(run.optimizer.param_groups[0]["lr"])
    stats = step_stats(needs, run.workload, run.model, kept, loss, lr, len(indices), run.norms)
    run.clip_gradient()
    run.step()
    return stats
