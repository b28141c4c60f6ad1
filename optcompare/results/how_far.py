"""State why a run has not finished: it was killed, or it is in progress, and how many trials have ended."""

from __future__ import annotations

import pandas as pd

from ..core.comparison import Comparison

CRASHED = "this run did not come to its end (or is still under way); resume it to train the rest"
UNDER_WAY = "this run is still under way"


def how_far(comparison: Comparison, trials: pd.DataFrame) -> str:
    """State how many trials of a run in progress have ended.

    Args:
        comparison: The comparison.
        trials: The trials in its directory, of tuning and of the report.
    """
    planned = len([*comparison.tuning_trials(), *comparison.closer_trials(), *comparison.trials()])
    training = pd.Series(False, index=trials.index)
    if "budget" in trials:  # trials of a previous run are trained further, up to the larger budget
        shorter = (trials["budget"] < comparison.budget.amount) & (trials["phase"] == "report")
        training = shorter & (trials["status"] == "finished") & (trials["reason"].fillna("") == "")
    training |= trials["status"] == "interrupted"
    return f"{UNDER_WAY}; {(~training).sum():,} of {planned:,} trials have ended"
