"""What tuning found: a score for each learning rate an arm tried, the rate that is chosen, and what it
cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..core.columns import trial_key
from ..core.goal import Goal
from ..errors import ComparisonError
from .statistics import final_values
from .time_to_goal import time_to_goal


def rate_scores(
    tune_records: pd.DataFrame, tune_trials: pd.DataFrame, column: str, goal: Goal | None = None
) -> pd.DataFrame:
    """One row for each arm and rate it tried, in the order tried: ``arm, lr, score, median, seeds, samples,
    seconds``.

    Where arms are tuned several times there is a row for each repeat, whose number stands in ``repeat`` after
    the arm. ``score`` is the mean and ``median`` the median over tuning seeds of the final value of
    ``column``, a loss; a trial that diverged, failed or ended at no finite loss counts as infinite, so a
    single one makes the score infinite. Where one was interrupted the rate had less than its share, and both
    are nan. ``seeds`` counts the trials, ``samples`` and ``seconds`` (of training) sum what they cost. With a
    ``goal`` the score is the median over tuning seeds of the samples to it, a miss infinite, and the mean of
    the final values stands in a column ``loss``. Both tables have a column ``lr``: an arm's rates are told
    apart by it.
    """
    if not column.endswith("_loss"):
        raise ComparisonError(f"rates are chosen by a loss, the lowest; {column} is none")
    if tune_records.empty:
        tune_records = tune_trials[["lr", *trial_key(tune_trials)]][:0].assign(**{column: 0.0})
    key = [*tuned_key(tune_trials), "lr"]
    settings = tune_trials[key].drop_duplicates(ignore_index=True)
    numbered = settings.assign(setting=range(len(settings)))
    records, trials = (
        table.merge(numbered, on=key).drop(columns="arm").rename(columns={"setting": "arm"})
        for table in (tune_records, tune_trials)
    )
    costs = None if goal is None else time_to_goal(records, trials, goal)
    finals = final_values(records, trials, column)
    finals["final"] = finals["final"].where(np.isfinite(finals["final"]), math.inf)
    rows = [
        _score(
            group, finals[finals["arm"] == number], None if costs is None else costs[costs["arm"] == number]
        )
        for number, group in trials.groupby("arm", sort=False)
    ]
    columns = ["score", "median", *([] if goal is None else ["loss"]), "seeds", "samples", "seconds"]
    return settings.join(pd.DataFrame(rows, columns=columns))


def _score(group: pd.DataFrame, finals: pd.DataFrame, costs: pd.DataFrame | None) -> dict[str, float]:
    """Score the trials of one rate, by their final values, or by their costs where there is a goal."""
    values = finals["final"].to_numpy(float)
    if (group["status"] == "interrupted").any():
        values = np.array([math.nan])
    found = {"score": float(values.mean()), "median": float(np.median(values))}
    if costs is not None:
        cost = float(np.median(costs["samples"].to_numpy(float)))
        found = {"score": cost, "median": cost, "loss": found["score"]}
    return {
        **found,
        "seeds": len(group),
        "samples": int(group["samples"].sum()),
        "seconds": float(group["train_seconds"].sum()),
    }


def tuned_key(table: pd.DataFrame) -> list[str]:
    """The columns that tell tunings apart: the arm, and the repeat where there are several."""
    return ["arm", *(["repeat"] if "repeat" in table else [])]


def best_rates(scores: pd.DataFrame) -> pd.DataFrame:
    """One row an arm, in order: ``arm, lr, score, at_edge, all_diverged``, from the table of
    :func:`rate_scores`.

    Where arms are tuned several times there is one for each repeat, whose number stands in ``repeat`` after
    the arm.

    The lowest score wins, of equal ones the lowest ``loss`` where there is that column, then the smaller
    rate. ``at_edge``: it is the smallest or the largest rate tried, so a better one may lie outside.
    ``all_diverged``: every rate lost a trial, so the smallest is named for want of a better one. An arm
    without a known score has neither rate nor score (nan).
    """
    rows, key = [], tuned_key(scores)
    for name, group in scores.groupby(key, sort=False):
        known = group[group["score"].notna()].sort_values(
            ["score", *(["loss"] if "loss" in group else []), "lr"]
        )
        lr, score = (float(known[of].iloc[0]) if len(known) else math.nan for of in ("lr", "score"))
        rows.append(
            {
                **dict(zip(key, name, strict=True)),
                "lr": lr,
                "score": score,
                "at_edge": bool(lr in (group["lr"].min(), group["lr"].max())),
                "all_diverged": math.isinf(score),
            }
        )
    return pd.DataFrame(rows, columns=[*key, "lr", "score", "at_edge", "all_diverged"])


def expected_best(values: Sequence[float] | np.ndarray | pd.Series, k: int) -> float:
    """The expected minimum of k of the n ``values``, drawn without replacement: what a budget of k trials
    would find.

    Σ over i of x_(i)·C(n-i, k-1)/C(n, k), x_(1) the lowest: the i-th is the minimum where the other k-1 are
    drawn from the n-i above it. Unbiased for the minimum of k fresh draws where the values are themselves
    draws. On 1..n it is (n+1)/(k+1), and the maximum, -E[min(-x)], k(n+1)/(k+1). Infinite as soon as k draws
    may all be infinite.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    if not 1 <= k <= n:
        raise ComparisonError(f"the best of k trials needs k from 1 to the {n} that were made, got {k}")
    draws = math.comb(n, k)
    return math.fsum(float(ordered[i]) * (math.comb(n - 1 - i, k - 1) / draws) for i in range(n - k + 1))
