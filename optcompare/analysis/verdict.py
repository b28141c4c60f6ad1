"""The answer in a few plain sentences with their numbers, made from the pairs. It says no more than they do."""

from __future__ import annotations

import math

import pandas as pd

from ..core.formatting import number
from ..core.goal import Goal
from .claims import claims_of, tested_measures
from .final_sentences import final_sentences
from .goal_sentences import goal_sentences
from .limits import Setting, limits
from .looks import FIRST_LOOK, Look
from .paired import control_spread, pairs
from .phrases import lost_trials

UNKNOWN = Setting()


def verdict(
    workload: str,
    records: pd.DataFrame,
    trials: pd.DataFrame,
    baseline: str,
    column: str,
    *,
    goal: Goal | None = None,
    control: str | None = None,
    margin: float | None = None,
    final: bool = True,
    dtype: str = "float64",
    look: Look = FIRST_LOOK,
    setting: Setting = UNKNOWN,
) -> list[str]:
    """Say in sentences what the arms' samples to the goal and final values show against the baseline, and what they do not.

    All means what :func:`optcompare.analysis.paired.pairs` says: a difference is stated as found, "seed by seed", only where
    it is claimed there; means, intervals and medians describe. Otherwise the sentence says that nothing can be claimed, that
    nothing varies above rounding, which trials were lost, or, with too few seeds, how many it takes. Each interval is of its
    own comparison, p is Holm's over all comparisons. Up to three arms beside the baseline are named one by one; of more
    there are counts, and the arms furthest off. Then :func:`optcompare.analysis.limits.limits` says what is not shown.

    Args:
        workload: Its name.
        records: The report's records.
        trials: The report's trials.
        baseline: The label of the arm that the others are compared with.
        column: What is compared at the end.
        goal: What was to be reached, if anything.
        control: The label of the baseline's copy in other rounding.
        margin: Differences within ±margin count as equal.
        final: Whether final values are worth a sentence.
        dtype: In which trials were computed.
        look: Which look this is.
        setting: How rates and data were chosen.

    Raises:
        ComparisonError: As :func:`optcompare.analysis.paired.pairs` does.
    """
    table = pairs(
        records,
        trials,
        baseline,
        column,
        goal=goal,
        control=control,
        margin=margin,
        final=final,
        dtype=dtype,
        look=look,
    )
    unit, withheld = "pair" if "repeat" in trials else "seed", bool(look.withheld)
    sentences = [] if len(table) else [f"There is no arm to compare {baseline} with."]
    if len(table) and withheld:
        sentences.append(f"Nothing is claimed: {look.withheld}.")
    if len(table) and goal:
        sentences += goal_sentences(table, str(goal).replace("=", " "), unit, withheld=withheld)
    if len(table) and final:
        losses = {str(arm): lost_trials(group["status"], unit) for arm, group in trials.groupby("arm", sort=False)}
        observation = "independent observation" if "repeat" in trials else "split" if "split" in trials else "seed"
        sentences += final_sentences(table, losses, column, unit, observation, withheld=withheld)
    if control is not None and final:
        sentences += _of_rounding(control_spread(records, trials, baseline, control, column), baseline, column)
    if len(table) and (table["same_start"] & (table["one_run_seeds"] == 0)).any():
        sentences.append(
            "The start is the same on all seeds: only the order of samples varies, or what is drawn in training."
        )
    claims = claims_of(table, tested_measures(column, goal, margin, final))
    return [*sentences, *limits(workload, table, trials, claims, look, setting)]


def _of_rounding(spread: float, baseline: str, column: str) -> list[str]:
    if math.isnan(spread):
        return []
    if math.isinf(spread):
        return [
            f"Rounding alone decides on which seeds {baseline} is lost: its copy in other rounding is lost on others."
        ]
    return [
        f"Rounding alone moves the final {column} of {baseline} by {number(spread)} on one seed (standard deviation)."
    ]
