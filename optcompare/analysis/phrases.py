"""Phrases that the sentences of a verdict share."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from ..core.formatting import number, p_value

LISTED = 3
"""Up to so many arms are named one by one; of more there are counts."""


def count(n: int, what: str) -> str:
    """``1 seed``, ``10 seeds``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def interval(low: float, high: float) -> str:
    """``95% interval 0.2 to 0.3``."""
    return f"95% interval {number(low)} to {number(high)}"


def corrected_p(p: float) -> str:
    """``Holm p = 0.0156``, ``Holm p < 0.0001``."""
    return f"Holm {p_value(p)}"


def won(row: pd.Series, unit: str, what: str = "better", prefix: str = "") -> str:
    """``better on 8 of 10 seeds and equal on 1``."""
    wins, losses, ties = (int(row[f"{prefix}{name}"]) for name in ("wins", "losses", "ties"))
    equal = f" and equal on {ties}" if ties else ""
    return f"{what} on {wins} of {count(wins + losses + ties, unit)}{equal}"


def counted(
    rows: pd.DataFrame, what: str, distance: pd.Series | None = None, describe: Callable[[pd.Series], str] | None = None
) -> str:
    """``3 lower (furthest mini:2: …)``; nothing for none.

    Args:
        rows: Those to count.
        what: What they are.
        distance: How far off each row of the table is.
        describe: Says of one row how far off it is.
    """
    if rows.empty or distance is None or describe is None:
        return f"{len(rows)} {what}" if len(rows) else ""
    row = rows.iloc[int(distance[rows.index].abs().argmax())]
    return f"{len(rows)} {what} (furthest {row['arm']}: {describe(row)})"


def lost_trials(statuses: pd.Series, unit: str) -> str:
    """``diverged on 2 and failed on 1 of 10 seeds``; nothing where no trial did."""
    parts = [f"{status} on {n}" for status in ("diverged", "failed") if (n := int((statuses == status).sum()))]
    return f"{' and '.join(parts)} of {count(len(statuses), unit)}" if parts else ""
