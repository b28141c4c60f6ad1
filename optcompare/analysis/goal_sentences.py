"""What the verdict says of the samples to a goal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.formatting import number
from .phrases import LISTED, corrected_p, count, counted, interval, won

ROUGH = 0.1


def goal_sentences(table: pd.DataFrame, name: str, unit: str, *, withheld: bool = False) -> list[str]:
    """Say which arms reach the goal with fewer samples than the baseline.

    Args:
        table: As :func:`optcompare.analysis.paired.pairs` gives it, with a row at least.
        name: The goal in words.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        withheld: Whether nothing may be claimed.

    Returns:
        A sentence for each of up to three arms, or one with counts.
    """
    if not (table["goal_hits"].any() or table["goal_baseline_hits"].any()):
        return [f"No arm reaches {name} on any of {count(int(table['goal_seeds'].max()), unit)}."]
    if len(table) > LISTED:
        return [_counts(table, name, unit)]
    return [_of_arm(row, name, unit, withheld) for _, row in table.iterrows()]


def _of_arm(row: pd.Series, name: str, unit: str, withheld: bool) -> str:
    arm, baseline, seeds = row["arm"], row["baseline"], int(row["goal_seeds"])
    hits = f"{arm} reaches {name} on {row['goal_hits']} of {count(seeds, unit)} and {baseline} on {row['goal_baseline_hits']}"
    if seeds == 0:
        return f"{arm} shares no {unit} with {baseline}."
    if row["goal_ties"] == seeds and row["goal_hits"]:
        return f"{arm} reaches {name} after as many samples as {baseline} ({count(seeds, unit)})."
    missed, partly = row["goal_hits"] < seeds or row["goal_baseline_hits"] < seeds, row["goal_pairs"] < seeds
    fewer = won(row, unit, "fewer", "goal_")
    if not row["goal_enough_seeds"] or withheld:
        too_few = f", too few for a claim ({row['seeds_needed']} are needed)"
        return f"{hits}; {fewer}{'' if withheld else too_few}."
    facts = [*([] if partly else [_ratio(row)]), fewer, corrected_p(row["goal_p_holm"])]
    if not row["goal_claimed"]:
        said = f"No difference in samples to {name} can be claimed between {arm} and {baseline}"
    else:
        more = "fewer" if row["goal_fewer"] else "more"
        counting = ", a miss as the most" if missed else ""
        said = f"{arm} needs {more} samples to {name} than {baseline}, {unit} by {unit}{counting}"
    return f"{said} ({', '.join(facts)}){f'; {hits}' if missed else ''}."


def _counts(table: pd.DataFrame, name: str, unit: str) -> str:
    baseline, most = table["baseline"].iloc[0], table.iloc[int(table["goal_seeds"].argmax())]
    claimed, logs = table["goal_claimed"], np.log(table["goal_ratio"])
    misses = table["goal_pairs"] < table["goal_seeds"]
    less, never = table["goal_fewer"], table["goal_hits"] == 0
    counts = [
        counted(table[claimed & less & ~misses], "with fewer samples", logs, _ratio),
        counted(table[claimed & less & misses], "with fewer samples, a miss as the most"),
        counted(table[claimed & ~less & ~misses], "with more samples", logs, _ratio),
        counted(table[claimed & ~less & misses & ~never], "with more samples, a miss as the most"),
        counted(table[claimed & ~less & never], "that never reach it"),
        counted(table[~claimed & ~never], "where no difference in samples can be claimed"),
        counted(table[~claimed & never], "that never reach it, where no difference can be claimed"),
    ]
    of_baseline = f"{baseline} reaches {name} on {most['goal_baseline_hits']} of {count(int(most['goal_seeds']), unit)}"
    return f"{of_baseline}; of {len(table)} arms against it: {', '.join(filter(None, counts))}."


def _ratio(row: pd.Series) -> str:
    facts = [f"{number(row['goal_ratio'])} times", interval(row["goal_ratio_low"], row["goal_ratio_high"])]
    if row["goal_resolution"] > ROUGH:
        facts.append(f"roughly, for measurements lie up to {row['goal_resolution']:.0%} of the samples apart")
    return ", ".join(facts)
