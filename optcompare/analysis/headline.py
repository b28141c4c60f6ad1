"""The finding in a few words, for the title of a figure. It says no more than the claims of the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .phrases import LISTED, count

_TO_GOAL = "samples to "


def headline(
    workload: str, table: pd.DataFrame, baseline: str, seeds: int, goal: str = "", compared: str = ""
) -> str:
    """Say which arms are claimed to end lower or higher than the baseline, else what is claimed of the goal.

    Ranks are named only where claims bear them: every arm was compared with the baseline, and with no other,
    so that the lowest is known where all others are claimed to be higher than the baseline, or are the
    baseline.

    Args:
        workload: Its name.
        table: As :func:`optcompare.analysis.paired.pairs` gives it.
        baseline: The label of the arm that the others are compared with.
        seeds: How many there are.
        goal: What was to be reached, as written; empty for nothing.
        compared: The column that final values were compared by, to be named where the figure shows another;
        else empty.

    Returns:
        ``digits: single lowest, full second (10 seeds)``, or that no difference is claimed.
    """
    found = _finding(table, baseline, goal)
    of_final = compared and len(table) and not found.startswith(_TO_GOAL)
    return f"{workload}{f', final {compared}' if of_final else ''}: {found} ({count(seeds, 'seed')})"


def _finding(table: pd.DataFrame, baseline: str, goal: str) -> str:
    if table.empty:
        return baseline
    final = _against(table, "", "lower", "higher", baseline)
    if final:
        return _ranked(table, baseline) or final
    needs = _against(table, "goal_", "fewer", "more", baseline) if goal else ""
    if needs:
        return f"{_TO_GOAL}{goal}: {needs}"
    equal = list(table.loc[table["equal_claimed"].astype(bool), "arm"])
    if len(equal) == len(table):
        return f"{_listed(equal)} within the margin of {baseline}"
    return "no difference claimed"


def _sides(table: pd.DataFrame, prefix: str, column: str) -> tuple[list[str], list[str]]:
    """The arms that are claimed to be below, and above, the baseline."""
    claimed, below = table[f"{prefix}claimed"].astype(bool), table[column].astype(bool)
    return list(table.loc[claimed & below, "arm"]), list(table.loc[claimed & ~below, "arm"])


def _ranked(table: pd.DataFrame, baseline: str) -> str:
    """The first two of a ranking, where claims of all arms bear it; else nothing."""
    lower, higher = _sides(table, "", "lower")
    if len(lower) > 1 or len(lower) + len(higher) < len(table):
        return ""
    order = [*lower, baseline, *(higher if len(higher) == 1 else [])]
    return f"{order[0]} lowest, {order[1]} second" if len(order) > 1 else f"{order[0]} lowest"


def _against(table: pd.DataFrame, prefix: str, below: str, above: str, baseline: str) -> str:
    """``single and mini:2 lower than full, once higher``; nothing where nothing is claimed."""
    sides = _sides(table, prefix, "goal_fewer" if prefix else "lower")
    said = [(arms, word) for arms, word in zip(sides, (below, above), strict=True) if arms]
    if not said:
        return ""
    (first, word), *rest = said
    of = len(table) if len(first) > LISTED else 0
    parts = [
        f"{_listed(first, of)} {word} than {baseline}",
        *(f"{_listed(arms)} {word}" for arms, word in rest),
    ]
    return ", ".join(parts)


def _listed(arms: Sequence[str], of: int = 0) -> str:
    """``a, b and c``; of more arms how many there are."""
    if len(arms) > LISTED:
        return f"{len(arms)} of {of} arms" if of else f"{len(arms)} arms"
    return " and ".join(filter(None, [", ".join(arms[:-1]), arms[-1]]))
