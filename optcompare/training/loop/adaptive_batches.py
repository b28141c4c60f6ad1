"""Draw the batches of an epoch from an adaptive strategy, one for each update, and check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...interfaces.strategy import StepStats
from ..epoch_end import EpochEnd
from ..measurement.counters import Progress
from .batch_plan import as_indices, check_batch, check_coverage, check_enough, digest, start_generator
from .planner import Planner

if TYPE_CHECKING:
    from torch import Tensor


class AdaptiveBatches:
    """Draw the batches of one epoch of a trial.

    Args:
        planner: The planner of the trial.
        progress: The counters of the trial, at the start of the epoch.
        n: The number of training samples.
    """

    def __init__(self, planner: Planner, progress: Progress, n: int) -> None:
        self._planner, self._progress, self._n = planner, progress, n
        self._name, self._free = planner.name, planner.strategy.coverage == "free"
        self._epoch, self._begun = planner.epoch(progress.epoch), progress.samples
        self._batches: list[Tensor] = []
        self._ends: list[int] = []  # samples of this epoch after each batch
        self._generator = start_generator(planner.strategy, self._epoch, self._name)

    def draw(self, stats: StepStats | None = None) -> Tensor | None:
        """Return what the strategy yields next, unchecked; None if it yields no more.

        Args:
            stats: The statistics of the last update; None before the first.
        """
        with self._planner.checked_contract():
            try:
                batch: Tensor | None = as_indices(
                    next(self._generator) if stats is None else self._generator.send(stats)
                )
                return batch
            except StopIteration:
                return None

    def checked(self, batch: Tensor) -> Tensor:
        """Check a batch and return a copy; with free coverage, without samples past the end of the epoch."""
        check_batch(batch, self._epoch.index, self._n, self._name, len(self._batches))
        left = self._n - (self._progress.samples - self._begun)
        return (batch[:left] if self._free else batch).clone()

    def add(self, batch: Tensor) -> None:
        """Add a checked batch to the epoch, and refuse one that repeats samples of it."""
        self._batches.append(batch)
        self._ends.append(self._progress.samples - self._begun + len(batch))
        if self._ends[-1] > self._n:
            check_coverage(torch.cat(self._batches), self._ends, self._epoch.index, self._n, self._name)

    def close(self) -> None:
        """Close the generator of the strategy."""
        self._generator.close()

    def end(self, following: Tensor | None) -> EpochEnd:
        """Check the coverage of the epoch, and fingerprint its batches.

        Args:
            following: What the strategy yielded after the last update; None if it yielded no more.
        """
        progress = self._progress
        self.close()
        spent = following is not None and progress.samples - self._begun < self._n
        if not self._batches and not spent:
            check_batch(None, self._epoch.index, self._n, self._name, 0)
        if not spent and progress.status == "running":
            if self._free:
                check_enough(self._ends[-1], self._n, f"{self._name}, epoch {self._epoch.index}")
            else:
                check_coverage(torch.cat(self._batches), self._ends, self._epoch.index, self._n, self._name)
        progress.checked = progress.epoch + 1
        if self._batches:
            indices, shared = torch.cat(self._batches), self._planner.order(progress.epoch)
            progress.rearranged |= not torch.equal(indices, shared[: self._ends[-1]])
            progress.batches = digest(bytes.fromhex(progress.batches), self._ends, indices).hex()
        return EpochEnd(complete=not spent, spent=spent)
