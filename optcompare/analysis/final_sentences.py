"""What the verdict says of final values: the finding, and a ranked list of the arms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..core.formatting import number
from .phrases import corrected_p, count, interval, named, ranked_list, won


@dataclass(frozen=True)
class Ends:
    """How an arm's trials ended.

    Attributes:
        lost: How many trials diverged or failed.
        words: The same in words; empty for none.
        blown_up: Whether every other trial ends far above its start, though its loss is finite.
        mean: The mean final value of the others; nan where there is none.
    """

    lost: int
    words: str
    mean: float
    blown_up: bool = False


def final_sentences(
    table: pd.DataFrame, ends: Mapping[str, Ends], column: str, unit: str, *, unclaimed: bool
) -> list[str]:
    """Say which arms end lower or higher than the baseline, and rank them all.

    An arm stands before the baseline where it is better by the mean difference, or, where a trial was lost,
    by wins against losses, which is what its test counts. On either side of the baseline arms are ordered by
    lost trials, then by the mean difference, or, where any trial was lost, by the mean of the others.

    Args:
        table: As :func:`optcompare.analysis.paired.pairs` gives it, with a row at least.
        ends: Of the baseline and of every arm in the table.
        column: What is compared.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        unclaimed: Whether nothing can be claimed, since there are too few seeds or the run has not ended.

    Returns:
        The finding, then a line for each arm.
    """
    table = table.assign(claimed=table["claimed"] & (not unclaimed))
    baseline, rows = str(table["baseline"].iloc[0]), {str(row["arm"]): row for _, row in table.iterrows()}
    lower_wins, lost = column.endswith("_loss"), any(ends[arm].lost for arm in (baseline, *rows))

    def place(arm: str) -> tuple[int, int, float]:
        if arm == baseline:
            return (0, 0, 0.0)
        row = rows[arm]
        value = ends[arm].mean if lost else row["difference"]
        side = -1 if row["wins"] + row["losses"] and bool(row["lower"]) == lower_wins else 1
        return (side, ends[arm].lost, math.inf if math.isnan(value) else value if lower_wins else -value)

    def entry(arm: str) -> str:
        if arm != baseline:
            return _of_arm(rows[arm], ends[arm], unit, unclaimed)
        return f"baseline, {ends[baseline].words or f'mean {number(ends[baseline].mean)}'}"

    ranked = sorted([baseline, *rows], key=place)
    claims = "; ".join(_claims(table, baseline, unit, unclaimed))
    best = "best ranked" if lost else "lowest mean" if lower_wins else "highest mean"
    finding = (
        f"Final {column}: {claims}. {best.capitalize()}: {ranked[0]}."
        if claims
        else f"Final {column}, {best}: {ranked[0]}."
    )
    if not table[["wins", "losses"]].any(axis=None) and table["ties"].all():
        finding = f"Final {column}: {claims}."
    return [
        finding,
        *ranked_list(ranked, baseline, entry, lambda arms: _counts(table[table["arm"].isin(arms)])),
    ]


def _claims(table: pd.DataFrame, baseline: str, unit: str, unclaimed: bool) -> list[str]:
    """The claims of all arms in a clause each; that there is none is one, unless it is said elsewhere."""
    clauses, many = [], len(table)
    for side, rows in (
        ("lower", table[table["claimed"] & table["lower"]]),
        ("higher", table[table["claimed"] & ~table["lower"]]),
    ):
        if len(rows):
            clauses.append(f"{named(list(rows['arm']), many)} {'ends' if len(rows) == 1 else 'end'} {side}")
    found = [f"{', '.join(clauses)} than {baseline}, {unit} by {unit}"] if clauses else []
    if table["ties"].all() and not table[["wins", "losses"]].any(axis=None):
        found.append(f"no arm differs from {baseline}")
    elif not (clauses or unclaimed):
        found.append(f"no difference from {baseline} can be claimed")
    equal = table[table["equal_claimed"]]
    if len(equal):
        found.append(
            f"within {number(equal['margin'].iloc[0])} of {baseline}: {named(list(equal['arm']), many)}"
        )
    return found


def _of_arm(row: pd.Series, ends: Ends, unit: str, unclaimed: bool) -> str:
    lost, baseline = ends.words, row["baseline"]
    seeds = int(row["wins"] + row["losses"] + row["ties"])
    if seeds == 0:
        return f"shares no {unit} with {baseline}"
    if row["one_run_seeds"]:
        return _one_run(row)
    if row["ties"] == seeds and not lost:
        return f"equals {baseline} on {seeds} of {count(seeds, unit)}{_equality(row, unclaimed)}"
    if row["one_difference"]:
        same = f"{_side(row)} by the same {number(abs(row['difference']))} on all {count(seeds, unit)}"
        return f"{same}: one observation, not tested{_equality(row, unclaimed)}"
    if row["rounding_only"]:
        alike = f"differs by no more than rounding on all {count(seeds, unit)}"
        return f"{alike}: not tested{_equality(row, unclaimed)}"
    blown = [f"blew up on all {count(seeds, unit)}" if seeds > 1 else "blew up"]
    facts = [
        *(blown if ends.blown_up and not lost else _difference(row)),
        won(row, unit),
        *([lost] if lost else []),
    ]
    if unclaimed:
        return f"{', '.join(facts)}: not claimed{_equality(row, unclaimed)}"
    if row["test"] == "signs" and row["claimed"]:
        facts.append("lost trials as the worst")
    odds = (
        ", rests on few large differences"
        if row["at_odds"] and not row["ties"] and not row["claimed"]
        else ""
    )
    claim = f"claimed {_side(row)}" if row["claimed"] else "not claimed"
    return f"{', '.join(facts)}: {claim} ({corrected_p(row['p_holm'])}{odds}){_equality(row, unclaimed)}"


def _one_run(row: pd.Series) -> str:
    ends = f"{number(abs(row['difference']))} {_side(row)} than" if row["difference"] else "equals"
    repeats = f"in one run that all {row['one_run_seeds']} seeds repeat (the seed changes nothing)"
    return f"{ends} {row['baseline']} {repeats}: not tested"


def _difference(row: pd.Series) -> list[str]:
    if math.isnan(row["difference"]):
        return []
    ends = "" if math.isnan(row["low"]) else f" ({interval(row['low'], row['high'])})"
    return [f"difference {number(row['difference'])}{ends}"]


def _equality(row: pd.Series, unclaimed: bool) -> str:
    """Of the margin, where there is one; with too few seeds only that equality is claimed, which takes fewer
    of them.
    """
    if math.isnan(row["margin"]) or (unclaimed and not row["equal_claimed"]):
        return ""
    claimed = "claimed" if row["equal_claimed"] else "not claimed"
    return f"; within {number(row['margin'])}: {claimed} ({corrected_p(row['equal_p_holm'])})"


def _counts(rows: pd.DataFrame) -> str:
    """``2 claimed lower, 3 not claimed``: what the list leaves out."""
    claimed, lower = rows["claimed"].astype(bool), rows["lower"].astype(bool)
    untested = (rows["rounding_only"] | rows["one_difference"] | (rows["one_run_seeds"] > 0)).astype(
        bool
    ) & ~claimed
    counts = {
        "claimed lower": claimed & lower,
        "claimed higher": claimed & ~lower,
        "not claimed": ~(claimed | untested),
        "not tested": untested,
    }
    return ", ".join(f"{int(which.sum())} {what}" for what, which in counts.items() if which.any())


def _side(row: pd.Series) -> str:
    return "lower" if row["lower"] else "higher"
