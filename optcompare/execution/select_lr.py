"""Which learning rates tuning tries next, and which it chooses."""

from __future__ import annotations

import dataclasses

import pandas as pd

from ..analysis.lr_scores import best_rates, rate_scores
from ..analysis.statistics import compared_column
from ..core.comparison import Comparison
from ..core.goal import Goal


def choose_rates(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> tuple[Comparison, list[str]]:
    """The comparison with each arm's best learning rate, by its mean final loss over the tuning seeds.

    The second value says in words where the best lies at the edge of the grid, or every rate diverged.
    """
    if comparison.tuning is None:
        return comparison, []
    records, trials = (table[table["phase"] == "tune"] for table in (records, trials))
    best = _best(comparison, records, trials)
    rates = {str(label): float(rate) for label, rate in best["lr"].items()}
    if comparison.control is not None:
        rates[comparison.control] = rates[str(comparison.baseline)]
    notes: list[str] = []
    lost = trials[trials["status"] == "failed"].groupby("arm", sort=False)["reason"]
    notes += [f"{arm}: {len(reasons)} tuning trials failed: {reasons.iloc[0]}" for arm, reasons in lost]
    for label, row in best.iterrows():
        if label in lost.groups:
            continue
        if row["all_diverged"] and comparison.stop_at_goal:
            notes.append(f"{label}: no learning rate that was tried reached {comparison.goal} on most tuning seeds")
        elif row["all_diverged"]:
            notes.append(f"{label}: every learning rate that was tried diverged; tune lower with --tune-range")
        elif row["at_edge"]:
            tried = comparison.tuning.rates[str(label)]
            notes.append(
                f"{label}: the best learning rate, {row['lr']:g}, lies at the edge of the grid from {min(tried):g} to "
                f"{max(tried):g}; a better one may lie beyond it (--tune-range)"
            )
    return comparison.with_rates(rates), notes


def with_closer_rates(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> Comparison:
    """The comparison with the rates of tuning's second round, around the best of the first."""
    if comparison.tuning is None:
        return comparison
    records, trials = (table[table["phase"] == "tune"] for table in (records, trials))
    asked = {(trial.arm.label, trial.arm.lr) for trial in comparison.tuning_trials()}
    records, trials = (
        table[[pair in asked for pair in zip(table["arm"], table["lr"], strict=True)]] for table in (records, trials)
    )
    best = {str(label): float(rate) for label, rate in _best(comparison, records, trials)["lr"].items()}
    return dataclasses.replace(comparison, tuning=comparison.tuning.closer_to(best))


def _best(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    goal = Goal.parse(comparison.goal, comparison.errors) if comparison.stop_at_goal and comparison.goal else None
    return best_rates(rate_scores(records, trials, compared_column(records), goal)).set_index("arm")
