"""Train epochs of adaptive strategies, which receive the statistics of each update before the next batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ...interfaces.strategy import StepStats
from ..epoch_end import EpochEnd
from ..measurement.step_stats import needs_samples, step_stats
from ..position import POSITION
from .batch_plan import as_indices, check_batch, check_coverage, check_enough, digest, start_generator
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
        self._run, self._name = run, run.trial.arm.label
        self._epoch, self._begun = run.planner.epoch(run.progress.epoch), run.progress.samples
        self._batches: list[Tensor] = []
        self._ends: list[int] = []  # samples of this epoch after each batch
        self._generator = start_generator(run.strategy, self._epoch, self._name)

    def train(self, stop: Callable[[], bool]) -> None:
        """Train until the epoch or the budget ends.

        Args:
            stop: Called after each update; True ends the trial as interrupted.
        """
        run, progress = self._run, self._run.progress
        batch = self._next(None)
        while batch is not None and progress.status == "running":
            batch = self._checked(batch)
            if len(batch) == 0 or not progress.admits(run.budget, len(batch)):
                break
            run.begin_epoch([batch[: run.trial.arm.chunk]])
            self._append(batch)
            stats = self._train_on(batch)
            if stop() and progress.status == "running":
                progress.status, progress.reason = "interrupted", "stopped within an epoch"
                break
            batch = self._next(stats)
        self._generator.close()
        self._end(spent=batch is not None and progress.samples - self._begun < run.source.n)

    def _next(self, stats: StepStats | None) -> Tensor | None:
        """Return the next batch; None if the strategy yields no more."""
        with self._run.clock, self._run.planner.checked_contract():
            try:
                batch: Tensor | None = as_indices(
                    next(self._generator) if stats is None else self._generator.send(stats)
                )
                return batch
            except StopIteration:
                return None

    def _checked(self, batch: Tensor) -> Tensor:
        """Check a batch and return a copy; with free coverage, without samples past the end of the epoch."""
        run, n = self._run, self._run.source.n
        check_batch(batch, self._epoch.index, n, self._name, len(self._batches))
        left = n - (run.progress.samples - self._begun)
        return (batch[:left] if run.strategy.coverage == "free" else batch).clone()

    def _append(self, batch: Tensor) -> None:
        """Add a batch to the epoch, and refuse one that repeats samples of it."""
        n = self._run.source.n
        self._batches.append(batch)
        self._ends.append(self._run.progress.samples - self._begun + len(batch))
        if self._ends[-1] > n:
            check_coverage(torch.cat(self._batches), self._ends, self._epoch.index, n, self._name)

    def _train_on(self, batch: Tensor) -> StepStats:
        """Make the update of a batch, and measure if an evaluation point is reached."""
        run, measurement = self._run, self._run.measurement
        point = measurement.next_point()
        if measurement.diagnosing.active and (point is None or self._may_be_measured(point, len(batch))):
            measurement.keep_update(batch)
        with run.clock:
            stats = self._update(batch)
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

    def _update(self, indices: Tensor) -> StepStats:
        run, progress, needs = self._run, self._run.progress, self._run.strategy.needs
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

    def _end(self, spent: bool) -> None:
        """Check the coverage of the epoch, fingerprint its batches, and end it.

        Args:
            spent: Whether the budget ended the epoch before all its batches.
        """
        run, progress, n = self._run, self._run.progress, self._run.source.n
        if not self._batches and not spent:
            check_batch(None, self._epoch.index, n, self._name, 0)
        if not spent and progress.status == "running":
            if run.strategy.coverage == "once":
                check_coverage(torch.cat(self._batches), self._ends, self._epoch.index, n, self._name)
            else:
                check_enough(self._ends[-1], n, f"{self._name}, epoch {self._epoch.index}")
        progress.checked = progress.epoch + 1
        if self._batches:
            indices, shared = torch.cat(self._batches), run.planner.order(progress.epoch)
            progress.rearranged |= not torch.equal(indices, shared[: self._ends[-1]])
            progress.batches = digest(bytes.fromhex(progress.batches), self._ends, indices).hex()
        run.end_epoch(EpochEnd(complete=not spent, spent=spent))
