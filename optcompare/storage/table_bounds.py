"""What the tables of a comparison can hold at most, and that they hold nothing of another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..core.comparison import Comparison
from ..errors import RunDirectoryError

_MORE = 1_000
_TIMES = 4
"""What is allowed beside what is counted: runs that were merged and saved, budgets that were extended several
times.
"""
_DOUBLINGS = 64
"""Marks of a trial within its first epoch, which are powers of two."""
_MOST_ROWS = 50_000_000
"""Of any table: a budget in seconds has no bound of its own."""
_GRID = 100_000
"""Points at which the loss around the paths is computed, and more."""


def most_trials(comparison: Comparison) -> int:
    """How many rows the trials of a comparison have at most."""
    return _TIMES * sum(comparison.trial_numbers.values()) + _MORE


def most_records(comparison: Comparison, trials: pd.DataFrame) -> int:
    """How many rows the records of these trials have at most.

    A trial is measured at most once an update, at its beginning and at its end; without a goal that it stops
    at, also at most ``measure`` times an epoch and at powers of two before the first one's end.
    """
    measured = trials["updates"].clip(upper=_MOST_ROWS) + 2
    budget = comparison.budget
    if budget.unit == "epochs" and not comparison.stop_at_goal:
        marks = min(budget.amount * comparison.measure + _DOUBLINGS, _MOST_ROWS)
        measured = measured.clip(upper=marks)
    if budget.unit in ("updates", "samples"):
        measured = measured.clip(upper=min(budget.amount + 2, _MOST_ROWS))
    return int(min(_TIMES * int(measured.sum()) + _MORE, _MOST_ROWS))


def most_points(trials: pd.DataFrame) -> int:
    """How many rows the paths of these trials, with the loss around them, have at most."""
    return int(min(int((trials["updates"].clip(upper=_MOST_ROWS) + 2).sum()) + _GRID, _MOST_ROWS))


def refuse_strangers(path: Path, table: pd.DataFrame, comparison: Comparison) -> None:
    """Raise :class:`RunDirectoryError` where a table has rows of arms that the comparison does not have."""
    known = {"", *(arm.label for arm in comparison.arms)}
    others = [str(arm) for arm in table["arm"].unique() if arm not in known]
    if others:
        raise RunDirectoryError(
            f"{path} is damaged: it has rows of the arm {others[0][:60]!r}, which comparison.json does not "
            "have"
        )
