"""The results of tuning: the score and cost of each learning rate of an arm, and the chosen rate."""

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
    """Score each learning rate that an arm tried.

    Args:
        tune_records: The records of the tuning phase, with a column ``lr``.
        tune_trials: The trials of the tuning phase, with a column ``lr``.
        column: The loss by which rates are chosen.
        goal: The goal by whose samples rates are chosen; None: by the final loss.

    Returns:
        One row for each arm and rate, in the order tried: ``arm, lr, score, median, seeds, samples,
        seconds``. With several tuning repeats there is one row for each, and ``repeat`` follows ``arm``.

        - ``score`` and ``median`` are the mean and the median over tuning seeds of the final ``column``. A
          trial that diverged, failed or has no finite final loss counts as infinite. If a trial was
          interrupted, both are nan.
        - With a goal, both are the median of the samples to it, infinite for a miss, and a column ``loss``
          holds the mean final value.
        - ``seeds`` is the number of trials; ``samples`` and ``seconds`` (of training) are their total cost.

    Raises:
        ComparisonError: ``column`` is not a loss.
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
    """Return the columns that identify a tuning: the arm, and the repeat if there are several."""
    return ["arm", *(["repeat"] if "repeat" in table else [])]


def best_rates(scores: pd.DataFrame) -> pd.DataFrame:
    """Choose the best learning rate of each arm.

    The lowest score wins; of equal scores the lowest ``loss``, if there is that column, then the smaller
    rate.

    Args:
        scores: The table of :func:`rate_scores`.

    Returns:
        One row for each arm, in order: ``arm, lr, score, at_edge, all_diverged``. With several tuning repeats
        there is one row for each, and ``repeat`` follows ``arm``. ``at_edge``: the rate is the smallest or
        the largest one tried, so a better one may lie outside. ``all_diverged``: every rate lost a trial, so
        the smallest rate is returned. Rate and score are nan for an arm without a known score.
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
    """Compute the expected minimum of k of the n values: the result of a budget of k trials.

    It is Σ over i of x_(i)·C(n-i, k-1)/C(n, k) for draws without replacement, with x_(1) the lowest value:
    x_(i) is the minimum if the other k-1 are drawn from the n-i above it. It is unbiased for the minimum of k
    new draws if the values are draws themselves. For the values 1..n it is (n+1)/(k+1), and the maximum,
    -E[min(-x)], is k(n+1)/(k+1).

    Args:
        values: The values, float[n].
        k: The number of trials, 1 to n.

    Returns:
        The expected minimum; infinite if all k draws may be infinite.

    Raises:
        ComparisonError: k is not from 1 to n.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    if not 1 <= k <= n:
        raise ComparisonError(f"the best of k trials needs k from 1 to the {n} that were made, got {k}")
    draws = math.comb(n, k)
    return math.fsum(float(ordered[i]) * (math.comb(n - 1 - i, k - 1) / draws) for i in range(n - k + 1))
