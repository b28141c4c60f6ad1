"""Select the learning rates that tuning tries next, and those that it chooses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pandas as pd

from ..analysis.lr_scores import best_rates, rate_scores
from ..analysis.statistics import compared_column
from ..core.comparison import Comparison
from ..core.goal import Goal


def choose_rates(
    comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame
) -> tuple[Comparison, list[str]]:
    """Return the comparison with each arm's best learning rate in each repeat, and notes.

    The best rate has the lowest mean final loss over the tuning seeds. There is a note if it lies at the edge
    of the grid, or if every rate diverged.

    Args:
        comparison: The comparison with its tuning.
        records: The records of all tuning trials.
        trials: All tuning trials.
    """
    if comparison.tuning is None:
        return comparison, []
    trials = trials[trials["phase"] == "tune"]
    best = best_rates(_scores(comparison, records, trials))
    rates = _by_repeat(best)
    if comparison.control is not None:
        for found in rates:
            found[comparison.control] = found[str(comparison.baseline)]
    return comparison.with_rates(rates), list(_notes(comparison, best, trials))


def with_closer_rates(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> Comparison:
    """Add the rates of tuning's second round, around the best of the first.

    Args:
        comparison: The comparison with the first round of its tuning.
        records: The records of the first round.
        trials: The trials of the first round.
    """
    if comparison.tuning is None:
        return comparison
    planned = {(trial.arm.label, trial.arm.lr, trial.repeat) for trial in comparison.tuning_trials()}
    records, trials = (_of_first_round(table, planned) for table in (records, trials))
    best = _by_repeat(best_rates(_scores(comparison, records, trials)))
    return dataclasses.replace(comparison, tuning=comparison.tuning.with_second_round(best))


def _by_repeat(best: pd.DataFrame) -> list[dict[str, float]]:
    """Return the best rates by arm, for each repeat."""
    repeats = [group for _, group in best.groupby("repeat")] if "repeat" in best else [best]
    return [dict(zip(group["arm"], group["lr"].astype(float), strict=True)) for group in repeats]


def _of_first_round(table: pd.DataFrame, planned: set[tuple[str, float, int]]) -> pd.DataFrame:
    """Return the rows of the first round of tuning; a resumed run may have some of the second, too."""
    table = table[table["phase"] == "tune"]
    repeats = table["repeat"] if "repeat" in table else [0] * len(table)
    return table[[key in planned for key in zip(table["arm"], table["lr"], repeats, strict=True)]]


def _scores(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    goal = (
        Goal.parse(comparison.goal, comparison.errors)
        if comparison.stop_at_goal and comparison.goal
        else None
    )
    return rate_scores(records[records["phase"] == "tune"], trials, compared_column(records), goal)


def _notes(comparison: Comparison, best: pd.DataFrame, trials: pd.DataFrame) -> Iterator[str]:
    """Yield notes on the rates that tuning found, arm by arm."""
    lost = trials[trials["status"] == "failed"].groupby("arm", sort=False)["reason"]
    for arm, reasons in lost:
        yield f"{arm}: {len(reasons)} tuning trials failed: {reasons.iloc[0]}"
    for label, found in best.groupby("arm", sort=False):
        if label in lost.groups:
            continue
        diverged, edge = found[found["all_diverged"]], found[found["at_edge"] & ~found["all_diverged"]]
        if len(diverged) and comparison.stop_at_goal:
            yield (
                f"{label}: {_in_repeats(diverged, found)}no learning rate that was tried reached "
                f"{comparison.goal} on most tuning seeds"
            )
        elif len(diverged):
            yield (
                f"{label}: {_in_repeats(diverged, found)}every learning rate that was tried diverged; tune "
                "lower with --tune-range"
            )
        if len(edge):
            yield f"{label}: {_in_repeats(edge, found)}{_at_edge(comparison, str(label), edge)}"


def _in_repeats(some: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return in how many of several repeats; nothing for a single tuning."""
    return f"in {len(some)} of {len(found)} tuning repeats " if len(found) > 1 else ""


def _at_edge(comparison: Comparison, label: str, edge: pd.DataFrame) -> str:
    assert comparison.tuning is not None
    if len(comparison.tuning.repeats):
        return (
            "the best learning rate lies at the edge of the grid; a better one may lie beyond it "
            "(--tune-range)"
        )
    tried = comparison.tuning.rates[label]
    return (
        f"the best learning rate, {edge['lr'].iloc[0]:g}, lies at the edge of the grid from {min(tried):g} "
        f"to {max(tried):g}; a better one may lie beyond it (--tune-range)"
    )
