"""The summary: one row for each arm with its final values and the costs of its goal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..core.goal import Goal
from .arm_intervals import arm_interval
from .statistics import final_columns, final_values, measured_columns
from .time_to_goal import COSTS, time_to_goal

PLAIN = (
    "strategy",
    "optimizer",
    "lr",
    "seeds",
    "diverged",
    "failed",
    "interrupted",
    "updates",
    "samples",
    "train_seconds",
)

WRONG = ("diverged", "failed", "interrupted", "missed")
"""The ways in which a trial may go wrong; a trial that diverged or failed also misses the goal."""


def summarize(records: pd.DataFrame, trials: pd.DataFrame, goal: Goal | None = None) -> pd.DataFrame:
    """Summarise the trials of each arm.

    Args:
        records: The report's records.
        trials: The report's trials.
        goal: The goal; None: no goal.

    Returns:
        One row for each arm, in the order of the comparison:

        - ``arm, strategy, optimizer, lr``;
        - ``seeds, diverged, failed, interrupted``: numbers of trials;
        - ``updates, samples, train_seconds``: means over trials;
        - for each loss and metric ``final_<name>``, its mean, with ``_low``, ``_high`` (95% t interval over
          seeds), ``_median``, ``_min`` and ``_max`` over trials;
        - for each loss but the test loss, which is measured once, the same of ``best_<name>``, the lowest
          value along the trial;
        - with a goal ``goal_reached`` (trials) and the medians ``goal_samples, goal_updates, goal_seconds``,
          infinite for a miss, each known to within ``goal_resolution`` samples.

        If arms were tuned several times, ``repeats`` and ``trials`` follow ``seeds``, ``lr`` is the median
        over repeats, with ``lr_min`` and ``lr_max``, and intervals are over seeds and repeats; see
        :func:`.arm_intervals.arm_interval`.
    """
    times = time_to_goal(records, trials, goal) if goal is not None and len(records) else None
    tested = final_columns(records)
    finals = {
        column: final_values(records, trials, column) for column in (*measured_columns(records), *tested)
    }
    settings = records.drop_duplicates("arm").set_index("arm") if len(records) else pd.DataFrame()
    rows = []
    for arm, group in trials.groupby("arm", sort=False):
        row: dict[str, object] = {"arm": arm}
        row |= {name: settings.at[arm, name] if arm in settings.index else None for name in PLAIN[:3]}
        row |= _counts(group)
        row |= {
            status: int((group["status"] == status).sum()) for status in ("diverged", "failed", "interrupted")
        }
        row |= {name: group[name].mean() for name in ("updates", "samples", "train_seconds")}
        for column, values in finals.items():
            of_arm = values[values["arm"] == arm]
            for kind in (
                ("final", "best") if column.endswith("_loss") and column not in tested else ("final",)
            ):
                row |= _described(f"{kind}_{column}", of_arm, kind)
        if times is not None:
            row |= _goal_columns(times[times["arm"] == arm])
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["arm", *PLAIN])


def short_summary(summary: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Choose the columns of a summary that answer the question.

    Args:
        summary: The table of :func:`summarize`.
        columns: The column by which arms are compared, such as ``valid_loss``, and the column of the verdict,
            such as ``test_loss``.

    Returns:
        One row for each arm: ``arm``; for each of these columns ``final_<column>`` with ``_low`` and
        ``_high``, and ``_median`` if a mean is unknown because a seed was lost; ``goal_reached`` (trials) if
        there is a goal; ``updates, train_seconds``; then ``diverged, failed, interrupted, missed`` (trials).
        Empty columns are left out, and so are the last four if they are zero for all arms.
    """
    found, ends = summary.assign(**_missed(summary)), list[str]()
    for final in (f"final_{column}" for column in dict.fromkeys(columns)):
        lost = final in found and found[final].isna().any()
        ends += [f"{final}{end}" for end in ("", "_low", "_high", *(["_median"] if lost else []))]
    kept = [
        name for name in ("arm", *ends, "goal_reached", "updates", "train_seconds", *WRONG) if name in found
    ]
    empty = [name for name in kept if name != "arm" and len(found) and found[name].isna().all()]
    none = [name for name in WRONG if name in found and not found[name].any()]
    return found[[name for name in kept if name not in {*empty, *none}]]


def _missed(summary: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the number of trials that ended without the goal, if there is a goal."""
    if "goal_reached" not in summary:
        return {}
    trials = summary["trials"] if "trials" in summary else summary["seeds"]
    return {"missed": trials - summary["interrupted"] - summary["goal_reached"]}


def _counts(trials: pd.DataFrame) -> dict[str, float]:
    """Return the number of seeds; with several tuning repeats also of repeats and trials, and the rates."""
    if "repeat" not in trials:
        return {"seeds": len(trials)}
    rates = trials.drop_duplicates("repeat")["lr"]
    counts = {"seeds": trials["seed"].nunique(), "repeats": len(rates), "trials": len(trials)}
    return {"lr": float(rates.median()), "lr_min": float(rates.min()), "lr_max": float(rates.max()), **counts}


def _goal_columns(times: pd.DataFrame) -> dict[str, float]:
    known = times[times["samples"].notna()]
    reached = known[np.isfinite(known["samples"])]
    medians = {f"goal_{cost}": float(np.median(known[cost])) if len(known) else math.nan for cost in COSTS}
    resolution = float(reached["resolution"].median()) if len(reached) else math.nan
    return {"goal_reached": len(reached), **medians, "goal_resolution": resolution}


def _described(name: str, trials: pd.DataFrame, column: str) -> dict[str, float]:
    values = trials[column].to_numpy(float)
    mean, low, high = arm_interval(trials, column)
    median = float(np.median(values)) if len(values) and not np.isnan(values).any() else math.nan
    ends = (float(values.min()), float(values.max())) if len(values) else (math.nan, math.nan)
    return {
        name: mean,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_median": median,
        f"{name}_min": ends[0],
        f"{name}_max": ends[1],
    }
