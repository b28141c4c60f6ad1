"""Bound the size of a comparison's tables, and check that they hold no rows of another one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..core.comparison import Comparison
from ..errors import RunDirectoryError

_MORE = 1_000
_TIMES = 4
"""The margins of a bound, for merged runs and budgets that were extended several times."""
_DOUBLINGS = 64
"""The most evaluation points of a trial within its first epoch, which are powers of two."""
_MOST_ROWS = 50_000_000
"""The most rows of any table, since a budget in seconds does not bound their number."""
_GRID = 100_000
"""A bound of the number of points at which the loss around the paths is computed."""


def most_trials(comparison: Comparison) -> int:
    """Return the most rows of the trials of a comparison."""
    return _TIMES * sum(comparison.trial_numbers.values()) + _MORE


def most_records(comparison: Comparison, trials: pd.DataFrame) -> int:
    """Return the most rows of the records of these trials.

    A trial is measured at most once an update, at its beginning and at its end. If trials do not stop at a
    goal, there are also at most ``measure`` measurements an epoch, and those at powers of two before the end
    of the first epoch.

    Args:
        comparison: The comparison.
        trials: The trials of the comparison.
    """
    measured = trials["updates"].clip(upper=_MOST_ROWS) + 2
    budget = comparison.budget
    if budget.unit == "epochs" and not comparison.stop_at_goal:
        points = min(budget.amount * comparison.measure + _DOUBLINGS, _MOST_ROWS)
        measured = measured.clip(upper=points)
    if budget.unit in ("updates", "samples"):
        measured = measured.clip(upper=min(budget.amount + 2, _MOST_ROWS))
    return int(min(_TIMES * int(measured.sum()) + _MORE, _MOST_ROWS))


def most_points(trials: pd.DataFrame) -> int:
    """Return the most rows of the paths of these trials, with the loss around them."""
    return int(min(int((trials["updates"].clip(upper=_MOST_ROWS) + 2).sum()) + _GRID, _MOST_ROWS))


def refuse_strangers(path: Path, table: pd.DataFrame, comparison: Comparison) -> None:
    """Refuse a table with rows of arms that the comparison does not have.

    Args:
        path: The file of the table, for messages.
        table: The table with a column ``arm``.
        comparison: The comparison.

    Raises:
        RunDirectoryError: There are such rows.
    """
    known = {"", *(arm.label for arm in comparison.arms)}
    others = [str(arm) for arm in table["arm"].unique() if arm not in known]
    if others:
        raise RunDirectoryError(
            f"{path} is damaged: it has rows of the arm {others[0][:60]!r}, which comparison.json does not "
            "have"
        )
