"""The costs of each trial to reach its goal."""

from __future__ import annotations

import math

import pandas as pd

from ..core.columns import GOAL_COLUMNS, trial_key
from ..core.goal import Goal

COSTS = ("samples", "updates", "seconds")


def time_to_goal(records: pd.DataFrame, trials: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Find the costs of each trial to reach the goal.

    The costs are those of the first measurement that reached the goal, even if the trial diverged or failed
    later. A metric that should fall reaches the goal at or below its value, another metric at or above it. A
    trial that starts there has reached it.

    Trials that stopped at a smoothed goal recorded the update at which they reached it (``goal_updates``, …),
    and the costs are those of this update. Their ``seconds`` are those of the whole trial, in proportion to
    the updates.

    Args:
        records: The records of one phase.
        trials: The trials of that phase.
        goal: The goal.

    Returns:
        One row for each trial, in their order: ``arm, seed, samples, updates, seconds, resolution``, all
        numbers float. ``repeat`` follows the seed if there are several tuning repeats.

        - ``resolution`` is the number of samples between that measurement and the previous one; the goal was
          reached between the two (0 at the start).
        - A miss has infinite costs and no resolution (nan).
        - For a trial that was interrupted before its goal nothing is known: all is nan.
        - With a smoothed goal there are two more columns: ``before``, the last measured update before it at
          which the average had not reached the goal, and ``dip``, the first measured update at which the
          metric itself had.

    Raises:
        ComparisonError: The records have no column of the goal's metric.
    """
    if set(GOAL_COLUMNS) <= set(trials):
        return _as_noted(trials)
    key = trial_key(trials)
    table = trials[[*key, "status"]]
    if records.empty:
        records = trials[key][:0].assign(**dict.fromkeys([goal.metric, "samples", "update", "seconds"], 0.0))
    goal.check(records.columns)
    values = records[goal.metric]
    rows = records[[*key, "samples", "update", "seconds"]]
    before = rows.groupby(key, sort=False)["samples"].shift().fillna(rows["samples"])
    hits = rows.assign(resolution=rows["samples"] - before)[
        values <= goal.value if goal.falls else values >= goal.value
    ]
    firsts = hits.drop_duplicates(key).rename(columns={"update": "updates"})
    found = table.merge(firsts[[*key, *COSTS, "resolution"]], how="left", on=key)
    found = found.astype(dict.fromkeys([*COSTS, "resolution"], float))
    found.loc[found["samples"].isna() & (found["status"] != "interrupted"), list(COSTS)] = math.inf
    return found.drop(columns="status")


def _as_noted(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the costs of trials that recorded the update at which they reached the goal."""
    found = trials[trial_key(trials)].copy()
    updates = trials["goal_updates"].astype(float)
    reached, known = updates.notna(), trials["status"] != "interrupted"
    share = updates / trials["updates"].where(trials["updates"] > 0, 1)
    costs = {
        "samples": trials["goal_samples"].astype(float),
        "updates": updates,
        "seconds": trials["train_seconds"] * share,
    }
    for name, values in costs.items():
        found[name] = values.where(reached | ~known, math.inf)
    before = trials["goal_before"].astype(float)
    size = (costs["samples"] / updates.where(updates > 0)).fillna(0.0)
    return found.assign(
        resolution=size * (updates - before), before=before, dip=trials["goal_dip"].astype(float)
    )
