"""What the verdict says of the samples to a goal: the finding, and a ranked list of the arms."""

from __future__ import annotations

import math

import pandas as pd

from ..core.formatting import number
from .phrases import corrected_p, count, interval, named, ranked_list, won

ROUGH = 0.1


def goal_sentences(table: pd.DataFrame, name: str, unit: str, *, unclaimed: bool) -> list[str]:
    """Say which arms reach the goal with fewer samples than the baseline, and rank them all.

    An arm stands before the baseline where it needs fewer samples by the mean ratio, or, with any miss, by
    wins against losses. On either side of the baseline arms are ordered by misses, then by the ratio, or,
    with any miss, by the median.

    Args:
        table: As :func:`optcompare.analysis.paired.pairs` gives it, with a row at least.
        name: The goal in words.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        unclaimed: Whether nothing can be claimed, since there are too few seeds or the run has not ended.

    Returns:
        The finding, then a line for each arm; the finding alone where no arm reached the goal.
    """
    if not (table["goal_hits"].any() or table["goal_baseline_hits"].any()):
        return [f"Goal {name}: no arm reached it on any of {count(int(table['goal_seeds'].max()), unit)}."]
    table = table.assign(goal_claimed=table["goal_claimed"] & table["goal_enough_seeds"] & (not unclaimed))
    baseline, rows = str(table["baseline"].iloc[0]), {str(row["arm"]): row for _, row in table.iterrows()}
    most = table.iloc[int(table["goal_seeds"].argmax())]
    whole = table["goal_pairs"].equals(table["goal_seeds"])

    def place(arm: str) -> tuple[int, int, float]:
        if arm == baseline:
            return (0, 0, 1.0)
        row, misses = rows[arm], int(rows[arm]["goal_seeds"] - rows[arm]["goal_hits"])
        side = -1 if row["goal_fewer"] else 1
        cost = float(row["goal_ratio"] if whole else row["goal_median"])
        return (side, misses, math.inf if math.isnan(cost) else cost)

    def entry(arm: str) -> str:
        if arm != baseline:
            return _of_arm(rows[arm], unit, unclaimed)
        return f"baseline, reached on {most['goal_baseline_hits']} of {count(int(most['goal_seeds']), unit)}"

    ranked = sorted([baseline, *rows], key=place)
    said = "; ".join([*_claims(table, baseline, unit, unclaimed), *_reached(table, unit)])
    best = "fewest" if whole else "best ranked"
    top = f"{best.capitalize()}: {ranked[0]}." if said else f"{best}: {ranked[0]}."
    finding = f"Samples to {name}: {said}. {top}" if said else f"Samples to {name}, {top}"
    if not table[["goal_wins", "goal_losses"]].any(axis=None):
        finding = f"Samples to {name}: {said}."
    lines = [
        finding,
        *ranked_list(ranked, baseline, entry, lambda arms: _counts(table[table["arm"].isin(arms)])),
    ]
    apart = table.loc[table["goal_pairs"] == table["goal_seeds"], "goal_resolution"].max()
    if apart > ROUGH:
        lines.append(
            f"Ratios are approximate: measured too rarely ({apart:.0%} of the samples apart); raise measure."
        )
    return lines


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
    """That all arms reached the goal on all seeds; nothing where one did not, since each line says it
    then.
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
    """``366 times fewer samples (95% interval 300 to 400)``; where the interval holds 1: ``1.1 times the
    samples (…)``.
    """
    ratio, low, high = float(row["goal_ratio"]), float(row["goal_ratio_low"]), float(row["goal_ratio_high"])
    what = "times the samples"
    if ratio < 1 and not high >= 1:
        ratio, low, high, what = 1 / ratio, 1 / high, 1 / low, "times fewer samples"
    elif ratio > 1 and not low <= 1:
        what = "times more samples"
    return f"{number(ratio)} {what}{'' if math.isnan(low) else f' ({interval(low, high)})'}"


def _counts(rows: pd.DataFrame) -> str:
    """``2 claimed fewer, 1 not claimed, 1 that never reached it``: what the list leaves out."""
    claimed, fewer, never = (rows[name].astype(bool) for name in ("goal_claimed", "goal_fewer", "goal_hits"))
    counts = {"claimed fewer": claimed & fewer, "claimed more": claimed & ~fewer, "not claimed": ~claimed}
    said = [f"{int(which.sum())} {what}" for what, which in counts.items() if which.any()]
    return ", ".join([*said, *([f"{int((~never).sum())} never reached it"] if (~never).any() else [])])
