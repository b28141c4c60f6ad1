"""The sentences of the verdict about the samples to a goal: the finding and a ranked list of the arms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ..core.formatting import number
from .phrases import corrected_p, count, interval, named, ranked_list, won

ROUGH = 0.1
"""Ratios are called approximate if evaluation points lie further apart than this share of the samples."""


def goal_sentences(table: pd.DataFrame, name: str, unit: str, *, unclaimed: bool) -> list[str]:
    """Write which arms reach the goal with fewer samples than the baseline, and rank all arms.

    An arm ranks before the baseline if it needs fewer samples by the mean ratio, or, with any miss, by wins
    against losses. Before and after the baseline, arms are ordered by misses, then by the ratio, or, with any
    miss, by the median.

    Args:
        table: The table of :func:`optcompare.analysis.paired.pairs`, with at least one row.
        name: The goal in words.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        unclaimed: Whether nothing can be claimed, since there are too few seeds or the run has not ended.

    Returns:
        The finding, then one line for each arm; the finding alone if no arm reached the goal.
    """
    if not (table["goal_hits"].any() or table["goal_baseline_hits"].any()):
        return [f"Goal {name}: no arm reached it on any of {count(int(table['goal_seeds'].max()), unit)}."]
    table = table.assign(goal_claimed=table["goal_claimed"] & table["goal_enough_seeds"] & (not unclaimed))
    baseline, rows = str(table["baseline"].iloc[0]), {str(row["arm"]): row for _, row in table.iterrows()}
    most = table.iloc[int(table["goal_seeds"].argmax())]

    def entry(arm: str) -> str:
        if arm != baseline:
            return _of_arm(rows[arm], unit, unclaimed)
        return f"baseline, reached on {most['goal_baseline_hits']} of {count(int(most['goal_seeds']), unit)}"

    ranked = _ranked(table, baseline, rows)
    clauses = "; ".join([*_claims(table, baseline, unit, unclaimed), *_reached(table, unit)])
    return [
        f"Samples to {name}{_finding(table, clauses, ranked[0])}",
        *ranked_list(ranked, baseline, entry, lambda arms: _counts(table[table["arm"].isin(arms)])),
        *_roughness(table),
    ]


def _no_misses(table: pd.DataFrame) -> bool:
    return table["goal_pairs"].equals(table["goal_seeds"])


def _ranked(table: pd.DataFrame, baseline: str, rows: Mapping[str, pd.Series]) -> list[str]:
    """Return all arms, best first."""
    no_misses = _no_misses(table)

    def rank_key(arm: str) -> tuple[int, int, float]:
        if arm == baseline:
            return (0, 0, 1.0)
        row, misses = rows[arm], int(rows[arm]["goal_seeds"] - rows[arm]["goal_hits"])
        side = -1 if row["goal_fewer"] else 1
        cost = float(row["goal_ratio"] if no_misses else row["goal_median"])
        return (side, misses, math.inf if math.isnan(cost) else cost)

    return sorted([baseline, *rows], key=rank_key)


def _finding(table: pd.DataFrame, clauses: str, first: str) -> str:
    """Return the finding after the name of the goal: the claims, and the first arm if any two differ."""
    if not table[["goal_wins", "goal_losses"]].any(axis=None):
        return f": {clauses}."
    best = "fewest" if _no_misses(table) else "best ranked"
    return f": {clauses}. {best.capitalize()}: {first}." if clauses else f", {best}: {first}."


def _roughness(table: pd.DataFrame) -> list[str]:
    """Return a line on the resolution of the ratios, if it is rough."""
    apart = table.loc[table["goal_pairs"] == table["goal_seeds"], "goal_resolution"].max()
    if not apart > ROUGH:
        return []
    return [f"Ratios are approximate: measured too rarely ({apart:.0%} of the samples apart); raise measure."]


def _claims(table: pd.DataFrame, baseline: str, unit: str, unclaimed: bool) -> list[str]:
    clauses = []
    for what, rows in (
        ("fewer", table[table["goal_claimed"] & table["goal_fewer"]]),
        ("more", table[table["goal_claimed"] & ~table["goal_fewer"]]),
    ):
        if len(rows):
            clauses.append(
                f"{named(list(rows['arm']), len(table))} {'needs' if len(rows) == 1 else 'need'} {what}"
            )
    if clauses:
        return [f"{', '.join(clauses)} than {baseline}, {unit} by {unit}"]
    if not table[["goal_wins", "goal_losses"]].any(axis=None):
        return [f"no arm differs from {baseline}"]
    return [] if unclaimed else [f"no difference from {baseline} can be claimed"]


def _reached(table: pd.DataFrame, unit: str) -> list[str]:
    """Return a clause if all arms reached the goal on all seeds.

    Otherwise the line of each arm states on how many it did.
    """
    seeds = int(table["goal_seeds"].max())
    hits = table[["goal_hits", "goal_baseline_hits"]].to_numpy()
    if not (hits == seeds).all():
        return []
    return [f"both reached it on all {count(seeds, unit)}" if len(table) == 1 else "all reached it"]


def _of_arm(row: pd.Series, unit: str, unclaimed: bool) -> str:
    baseline, seeds = row["baseline"], int(row["goal_seeds"])
    if seeds == 0:
        return f"shares no {unit} with {baseline}"
    hits = f"reached on {row['goal_hits']} of {count(seeds, unit)}"
    hits += f" (median {row['goal_median']:,.0f} samples)" if math.isfinite(row["goal_median"]) else ""
    missed = row["goal_hits"] < seeds or row["goal_baseline_hits"] < seeds
    if row["goal_ties"] == seeds:
        return (
            f"as many samples as {baseline} ({count(seeds, unit)})"
            if row["goal_hits"]
            else f"{hits}, as {baseline}"
        )
    whole = row["goal_pairs"] == seeds
    facts = [*([_ratio(row)] if whole else []), *([hits] if missed else []), won(row, unit, "fewer", "goal_")]
    if unclaimed:
        return f"{', '.join(facts)}: not claimed"
    if not row["goal_enough_seeds"]:
        return f"{', '.join(facts)}: not claimed ({row['goal_n']} are too few, {row['seeds_needed']} needed)"
    if not row["goal_claimed"]:
        return f"{', '.join(facts)}: not claimed ({corrected_p(row['goal_p_holm'])})"
    claim = f"claimed {'fewer' if row['goal_fewer'] else 'more'}{', a miss as the most' if missed else ''}"
    return f"{', '.join(facts)}: {claim} ({corrected_p(row['goal_p_holm'])})"


def _ratio(row: pd.Series) -> str:
    """Return ``366 times fewer samples (95% interval 300 to 400)``.

    Where the interval contains 1, return ``1.1 times the samples (…)``.
    """
    ratio, low, high = float(row["goal_ratio"]), float(row["goal_ratio_low"]), float(row["goal_ratio_high"])
    what = "times the samples"
    if ratio < 1 and not high >= 1:
        ratio, low, high, what = 1 / ratio, 1 / high, 1 / low, "times fewer samples"
    elif ratio > 1 and not low <= 1:
        what = "times more samples"
    return f"{number(ratio)} {what}{'' if math.isnan(low) else f' ({interval(low, high)})'}"


def _counts(rows: pd.DataFrame) -> str:
    """Count the arms that the list leaves out, as ``2 claimed fewer, 1 not claimed, 1 never reached it``."""
    claimed, fewer, hit = (rows[name].astype(bool) for name in ("goal_claimed", "goal_fewer", "goal_hits"))
    counts = {"claimed fewer": claimed & fewer, "claimed more": claimed & ~fewer, "not claimed": ~claimed}
    parts = [f"{int(which.sum())} {what}" for what, which in counts.items() if which.any()]
    return ", ".join([*parts, *([f"{int((~hit).sum())} never reached it"] if (~hit).any() else [])])
