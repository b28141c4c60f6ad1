"""How far the trial that is being trained in this process has come, for code of a user's that asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Now:
    """``epoch``: passes over the data that are complete; ``update``: updates made; ``batch``: of them, in
    this epoch.
    """

    epoch: int = 0
    update: int = 0
    batch: int = 0

    def at(self, epoch: int, update: int, batch: int) -> None:
        """Before an update, or when something is measured."""
        self.epoch, self.update, self.batch = epoch, update, batch


NOW = Now()
"""Of this process; tasks of one process never run at the same time."""
