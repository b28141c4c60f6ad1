"""The sentences of the verdict about final values: the finding and a ranked list of the arms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ..core.formatting import number
from .phrases import corrected_p, count, interval, named, ranked_list, won


@dataclass(frozen=True)
class Ends:
    """Describe how the trials of an arm ended.

    Attributes:
        lost: The number of trials that diverged or failed.
        words: The same in words; empty for none.
        mean: The mean final value of the other trials; nan if there are none.
        blown_up: Whether every other trial ends with a finite loss far above its first loss.
    """

    lost: int
    words: str
    mean: float
    blown_up: bool = False


def final_sentences(
    table: pd.DataFrame, ends: Mapping[str, Ends], column: str, unit: str, *, unclaimed: bool
) -> list[str]:
    """Write which arms end lower or higher than the baseline, and rank all arms.

    An arm ranks before the baseline if it is better by the mean difference. Where a trial was lost, wins
    against losses decide instead, as in the test. Before and after the baseline, arms are ordered by lost
    trials, then by the mean difference. Where any trial was lost, the mean of the others replaces the latter.

    Args:
        table: The table of :func:`optcompare.analysis.paired.pairs`, with at least one row.
        ends: How the trials of the baseline, and of every arm in the table, ended.
        column: The column that is compared.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        unclaimed: Whether nothing can be claimed, since there are too few seeds or the run has not ended.

    Returns:
        The finding, then one line for each arm.
    """
    table = table.assign(claimed=table["claimed"] & (not unclaimed))
    baseline, rows = str(table["baseline"].iloc[0]), {str(row["arm"]): row for _, row in table.iterrows()}
    lower_wins, lost = column.endswith("_loss"), any(ends[arm].lost for arm in (baseline, *rows))

    def rank_key(arm: str) -> tuple[int, int, float]:
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

    ranked = sorted([baseline, *rows], key=rank_key)
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
    """Return one clause for each kind of claim.

    If nothing is claimed, one clause states this, unless another line does (``unclaimed``).
    """
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
    """Return the clause about equality within the margin; empty without a margin.

    A claim of equality needs fewer seeds than one of a difference. If nothing else can be claimed, the clause
    appears only where equality is claimed.
    """
    if math.isnan(row["margin"]) or (unclaimed and not row["equal_claimed"]):
        return ""
    claimed = "claimed" if row["equal_claimed"] else "not claimed"
    return f"; within {number(row['margin'])}: {claimed} ({corrected_p(row['equal_p_holm'])})"


def _counts(rows: pd.DataFrame) -> str:
    """Count the arms that the list leaves out, as ``2 claimed lower, 3 not claimed``."""
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
