"""Phrases for the lines of a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ..core.formatting import number, p_value

LISTED = 3
"""The most arms that a sentence names; of more it gives the count."""
ENTRIES = 8
"""The most arms of a ranked list in addition to the baseline; the others are counted in one line."""


def count(n: int, what: str) -> str:
    """Return ``1 seed`` or ``10 seeds``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def interval(low: float, high: float) -> str:
    """Return ``95% interval 0.2 to 0.3``."""
    return f"95% interval {number(low)} to {number(high)}"


def corrected_p(p: float) -> str:
    """Return ``Holm p = 0.0156`` or ``Holm p < 0.0001``."""
    return f"Holm {p_value(p)}"


def won(row: pd.Series, unit: str, what: str = "better", prefix: str = "") -> str:
    """Return ``better on 8 of 10 seeds and equal on 1``.

    Args:
        row: A row of the table of pairs.
        unit: What is counted, such as ``seed``.
        what: The word for a win.
        prefix: The prefix of the columns ``wins, losses, ties``.
    """
    wins, losses, ties = (int(row[f"{prefix}{name}"]) for name in ("wins", "losses", "ties"))
    equal = f" and equal on {ties}" if ties else ""
    return f"{what} on {wins} of {count(wins + losses + ties, unit)}{equal}"


def named(arms: Sequence[str], of: int) -> str:
    """Return ``mini``, ``mini and single`` or ``4 of 6 arms``: the names of a few arms, the count of many.

    Args:
        arms: Labels, at least one.
        of: The number of all arms.
    """
    if len(arms) > LISTED:
        return f"{len(arms)} of {count(of, 'arm')}"
    return f"{', '.join(arms[:-1])} and {arms[-1]}" if len(arms) > 1 else arms[0]


def lost_trials(statuses: pd.Series, unit: str) -> str:
    """Return ``diverged on 2 and failed on 1 of 10 seeds``; nothing if no trial diverged or failed."""
    parts = [
        f"{status} on {n}" for status in ("diverged", "failed") if (n := int((statuses == status).sum()))
    ]
    return f"{' and '.join(parts)} of {count(len(statuses), unit)}" if parts else ""


def ranked_list(
    ranked: Sequence[str], baseline: str, entry: Callable[[str], str], rest: Callable[[Sequence[str]], str]
) -> list[str]:
    """Write one line for each arm, numbered by its rank.

    Args:
        ranked: All arms, best first.
        baseline: The baseline, which always has a line.
        entry: Returns the text of one arm.
        rest: Returns the text of the arms that the list leaves out.

    Returns:
        ``1. mini: …`` and so on, then a line on the other arms, if any.
    """
    others = [arm for arm in ranked if arm != baseline]
    shown = {baseline, *others[:ENTRIES]}
    lines = [f"{rank}. {arm}: {entry(arm)}" for rank, arm in enumerate(ranked, 1) if arm in shown]
    left = others[ENTRIES:]
    return [*lines, *([f"{count(len(left), 'more arm')}: {rest(left)}"] if left else [])]


def too_few(table: pd.DataFrame, observed: str, observation: str) -> str:
    """Write how many seeds are missing for a claim, and how to add them.

    The advice is the same in Python, on the command line and for merged runs, which cannot be resumed.

    Args:
        table: The table of :func:`optcompare.analysis.paired.pairs`, with at least one row.
        observed: The column with the number of observations.
        observation: The name of one observation: ``seed``, ``split`` or ``independent observation``.
    """
    n, needed = int(table[observed].max()), int(table["seeds_needed"].iloc[0])
    need = f"{needed} needed for {count(int(table['comparisons'].iloc[0]), 'comparison')}"
    more = count(needed - n, "seed")
    add = f". Add {more}, for {needed} in all: resume a run, or merge another" if n else ""
    return f"Too few {observation}s for a firm claim ({n}; {need}){add if observation == 'seed' else ''}"
