"""What each trial had spent when it first reached its goal."""

from __future__ import annotations

import math

import pandas as pd

from ..core.columns import GOAL_COLUMNS, trial_key
from ..core.goal import Goal

COSTS = ("samples", "updates", "seconds")


def time_to_goal(records: pd.DataFrame, trials: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """One row a trial, in their order: ``arm, seed, samples, updates, seconds, resolution``, all numbers
    float.

    Where there are several tuning repeats, ``repeat`` stands after the seed.

    The costs are those of the first measurement that reached the goal, also where the trial diverged or
    failed afterwards; ``resolution`` is the samples between that measurement and the one before it, within
    which the goal was truly reached (0 at the start). A miss costs infinity and has no resolution (nan). A
    trial that was interrupted before it reached the goal is no miss: nobody knows, and all is nan.

    A goal that falls is reached at or below its value, another at or above it; a trial that starts there has
    reached it.

    Trials that stopped at a smoothed goal say themselves at which update they reached it (``goal_updates``,
    …): the costs are those of it, and two more columns stand there: ``before``, the last measured update
    before it whose average had not reached the goal, and ``dip``, the first measured one at which the metric
    itself had. Their ``seconds`` are those of the whole trial in proportion to the updates.
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
    """The costs of trials that note at which update they reached the goal."""
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
