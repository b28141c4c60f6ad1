"""End an epoch in both trainers: count it, and decide whether the trial is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.comparison import Budget

if TYPE_CHECKING:
    from .loop.batch_plan import Plan
    from .loop.planner import Planner
    from .measurement.counters import Progress


@dataclass(frozen=True)
class EpochEnd:
    """Describe how training left an epoch; both are false where the end of a task cut it.

    Attributes:
        complete: Whether all its batches were trained on.
        spent: Whether the budget allows no further update of it.
    """

    complete: bool
    spent: bool

    @classmethod
    def of(cls, progress: Progress, updates: int, allowed: int) -> EpochEnd:
        """Return whether a planned epoch was completed, or else ended by the budget.

        Args:
            progress: The counters of the trial, after its last update.
            updates: Updates of the whole epoch.
            allowed: Updates of the epoch that the budget allows.
        """
        complete = progress.position == updates
        return cls(complete, not complete and progress.position == allowed)

    def leave(
        self, progress: Progress, planner: Planner, plan: Plan, budget: Budget, before: Mapping[str, Any]
    ) -> None:
        """Fingerprint a planned epoch's batches; reset the strategy if another task continues the epoch.

        Args:
            progress: The counters of the trial.
            planner: The planner of the trial, which plans the epoch again when it continues.
            plan: The epoch's batches.
            budget: The budget of the trial.
            before: The strategy's state before it planned the epoch.
        """
        if not progress.leave(plan, self.complete or self.spent or progress.reached(budget)):
            planner.load(before)

    def count(self, progress: Progress, budget: Budget) -> bool:
        """Count the epoch if it is complete, and return whether the budget ends the trial here.

        Call :func:`finish` for a trial that ends here, after a last record if :func:`lacks_record` is true.
        """
        if self.complete:
            progress.end_epoch()
        return progress.status == "running" and (self.spent or progress.reached(budget))


def lacks_record(progress: Progress) -> bool:
    """Return whether updates were made since the last record."""
    return progress.measured_at < progress.updates


def finish(progress: Progress) -> None:
    """Mark a trial whose budget is spent as finished, unless its last record ended it otherwise."""
    if progress.status == "running":
        progress.status = "finished"
