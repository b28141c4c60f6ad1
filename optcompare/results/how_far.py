"""Why a run has not come to its end, in a sentence: it was killed, or it is still under way, and how far it
is then.
"""

from __future__ import annotations

import pandas as pd

from ..core.comparison import Comparison

CRASHED = "this run did not come to its end (or is still under way); resume it to train the rest"
UNDER_WAY = "this run is still under way"


def how_far(comparison: Comparison, trials: pd.DataFrame) -> str:
    """Say of a run that is under way how many of its trials have ended.

    Args:
        comparison: What was asked for.
        trials: Those in its directory, of tuning and of the report.
    """
    planned = len([*comparison.tuning_trials(), *comparison.closer_trials(), *comparison.trials()])
    going_on = pd.Series(False, index=trials.index)
    if (
        "budget" in trials
    ):  # an earlier run's trials end again when they have been trained up to the larger budget
        shorter = (trials["budget"] < comparison.budget.amount) & (trials["phase"] == "report")
        going_on = shorter & (trials["status"] == "finished") & (trials["reason"].fillna("") == "")
    going_on |= trials["status"] == "interrupted"
    return f"{UNDER_WAY}; {(~going_on).sum():,} of {planned:,} trials have ended"
