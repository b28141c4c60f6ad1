"""The position of the trial that is being trained in this process, for user code that reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .measurement.counters import Progress


@dataclass
class Position:
    """Hold the position of a trial in its training.

    Attributes:
        epoch: Complete passes over the data.
        update: The number of updates made so far.
        batch: Updates made in this epoch.
    """

    epoch: int = 0
    update: int = 0
    batch: int = 0

    def set(self, epoch: int, update: int, batch: int) -> None:
        """Set the position before an update."""
        self.epoch, self.update, self.batch = epoch, update, batch

    def follow(self, progress: Progress) -> None:
        """Set the position to that of a trial, before an update or a measurement."""
        self.set(progress.epoch, progress.updates, progress.position)


POSITION = Position()
"""The position of this process, whose tasks never run at the same time."""
