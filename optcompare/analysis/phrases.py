"""Phrases that the lines of a verdict share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ..core.formatting import number, p_value

LISTED = 3
"""A sentence names up to so many arms; of more it gives the count."""
ENTRIES = 8
"""A ranked list has up to so many arms beside the baseline; the others are counted in one line."""


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


def named(arms: Sequence[str], of: int) -> str:
    """``mini``, ``mini and single``, ``4 of 6 arms``: a few by name, many as a count."""
    if len(arms) > LISTED:
        return f"{len(arms)} of {count(of, 'arm')}"
    return f"{', '.join(arms[:-1])} and {arms[-1]}" if len(arms) > 1 else arms[0]


def lost_trials(statuses: pd.Series, unit: str) -> str:
    """``diverged on 2 and failed on 1 of 10 seeds``; nothing where no trial did."""
    parts = [
        f"{status} on {n}" for status in ("diverged", "failed") if (n := int((statuses == status).sum()))
    ]
    return f"{' and '.join(parts)} of {count(len(statuses), unit)}" if parts else ""


def ranked_list(
    ranked: Sequence[str], baseline: str, entry: Callable[[str], str], rest: Callable[[Sequence[str]], str]
) -> list[str]:
    """Write a line for each arm, numbered by its place, the baseline among them.

    Args:
        ranked: All arms, best first.
        baseline: The one that stands in the list however long it is.
        entry: What is said of one arm.
        rest: What is said of the arms for which there is no room.

    Returns:
        ``1. mini: …`` and so on; then a line on the rest, if any.
    """
    others = [arm for arm in ranked if arm != baseline]
    shown = {baseline, *others[:ENTRIES]}
    lines = [f"{place}. {arm}: {entry(arm)}" for place, arm in enumerate(ranked, 1) if arm in shown]
    left = others[ENTRIES:]
    return [*lines, *([f"{count(len(left), 'more arm')}: {rest(left)}"] if left else [])]


def too_few(table: pd.DataFrame, observed: str, observation: str) -> str:
    """Say how many seeds are missing for a claim, and how to add them.

    Args:
        table: As :func:`optcompare.analysis.paired.pairs` gives it, with a row at least.
        observed: The column with the number of observations.
        observation: What is one observation: ``seed``, ``split`` or ``independent observation``.
    """
    n, needed = int(table[observed].max()), int(table["seeds_needed"].iloc[0])
    need = f"{needed} needed for {count(int(table['comparisons'].iloc[0]), 'comparison')}"
    add = f". Add {needed - n}: resume this run with {needed} seeds" if observation == "seed" and n else ""
    return f"Too few {observation}s for a firm claim ({n}; {need}){add}"
