"""The finding in a few words, for the title of a figure; it claims no more than the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .phrases import LISTED, count

_TO_GOAL = "samples to "


def headline(
    workload: str, table: pd.DataFrame, baseline: str, seeds: int, goal: str = "", compared: str = ""
) -> str:
    """Write which arms are claimed to end lower or higher than the baseline, else the claims about the goal.

    Every arm was compared with the baseline only. So ranks are named only where the claims imply them: the
    lowest arm is known if at most one arm is claimed to be lower than the baseline and all others higher.

    Args:
        workload: The name of the workload.
        table: The table of :func:`optcompare.analysis.paired.pairs`.
        baseline: The label of the arm that the others are compared with.
        seeds: The number of seeds.
        goal: The goal as the user wrote it; empty for none.
        compared: The column by which final values were compared, if the figure shows another one; else
            empty.

    Returns:
        For example ``digits: single lowest, full second (10 seeds)``, or that no difference is claimed.
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
    """Return the arms that are claimed to be below the baseline, and those claimed to be above."""
    claimed, below = table[f"{prefix}claimed"].astype(bool), table[column].astype(bool)
    return list(table.loc[claimed & below, "arm"]), list(table.loc[claimed & ~below, "arm"])


def _ranked(table: pd.DataFrame, baseline: str) -> str:
    """Return the first two ranks if the claims of all arms imply them; else nothing."""
    lower, higher = _sides(table, "", "lower")
    if len(lower) > 1 or len(lower) + len(higher) < len(table):
        return ""
    order = [*lower, baseline, *(higher if len(higher) == 1 else [])]
    return f"{order[0]} lowest, {order[1]} second" if len(order) > 1 else f"{order[0]} lowest"


def _against(table: pd.DataFrame, prefix: str, below: str, above: str, baseline: str) -> str:
    """Return ``single and mini:2 lower than full, once higher``; nothing if nothing is claimed."""
    sides = _sides(table, prefix, "goal_fewer" if prefix else "lower")
    claimed = [(arms, word) for arms, word in zip(sides, (below, above), strict=True) if arms]
    if not claimed:
        return ""
    (first, word), *rest = claimed
    of = len(table) if len(first) > LISTED else 0
    parts = [
        f"{_listed(first, of)} {word} than {baseline}",
        *(f"{_listed(arms)} {word}" for arms, word in rest),
    ]
    return ", ".join(parts)


def _listed(arms: Sequence[str], of: int = 0) -> str:
    """Return ``a, b and c``; for more arms their number."""
    if len(arms) > LISTED:
        return f"{len(arms)} of {of} arms" if of else f"{len(arms)} arms"
    return " and ".join(filter(None, [", ".join(arms[:-1]), arms[-1]]))
