"""What each trial had spent when it first reached its goal."""

from __future__ import annotations

import math

import pandas as pd

from ..core.columns import trial_key
from ..core.goal import Goal

COSTS = ("samples", "updates", "seconds")


def time_to_goal(records: pd.DataFrame, trials: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """One row a trial, in their order: ``arm, seed, samples, updates, seconds, resolution``, all numbers float.

    Where there are several tuning repeats, ``repeat`` stands after the seed.

    The costs are those of the first measurement that reached the goal, also where the trial diverged or failed
    afterwards; ``resolution`` is the samples between that measurement and the one before it, within which the goal was
    truly reached (0 at the start). A miss costs infinity and has no resolution (nan). A trial that was interrupted
    before it reached the goal is no miss: nobody knows, and all is nan.

    A goal that falls is reached at or below its value, another at or above it; a trial that starts there has reached it.
    """
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
