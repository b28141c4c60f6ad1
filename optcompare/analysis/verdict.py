"""The answer as a short ranked list with its numbers, made from the pairs. It says no more than they do."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..core.formatting import number
from ..core.goal import Goal
from .claims import claims_of, tested_measures
from .final_sentences import Ends, final_sentences
from .goal_sentences import goal_sentences
from .limits import Setting, limits
from .looks import FIRST_LOOK, Look
from .paired import control_spread, pairs
from .phrases import lost_trials, too_few
from .statistics import blown_up, final_values

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
    """Rank the arms by their samples to the goal and by their final values, with what may be claimed and what
    is not shown.

    First the finding, then a line for each arm (its place, the difference from the baseline with its
    interval, on how many seeds it is better, whether that is claimed), then
    :func:`optcompare.analysis.limits.limits`. A difference is stated as found, "seed by seed", only where
    :func:`optcompare.analysis.paired.pairs` claims it; means and intervals describe. Each interval is of its
    own comparison, p is Holm's over all comparisons. With too few seeds the first line says how many it
    takes. Only the arms nearest to the top have a line where there are many; the others are counted.

    Args:
        workload: Its name.
        records: The report's records.
        trials: The report's trials.
        baseline: The label of the arm that the others are compared with.
        column: What is compared at the end.
        goal: What was to be reached, if anything.
        control: The label of the rounding control: the baseline again, with gradients accumulated in other
        pieces. margin: Differences within ±margin count as equal. final: Whether final values are compared.
        dtype: In which trials were computed. look: Which look this is. setting: How rates and data were
        chosen.

    Returns:
        One text for each line.

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
    unit = "pair" if "repeat" in trials else "seed"
    lines = [] if len(table) else [f"There is no arm to compare {baseline} with."]
    unclaimed = _why_unclaimed(table, trials, look, final) if len(table) else ""
    lines += [f"{unclaimed}."] if unclaimed else []
    if len(table) and goal:
        lines += goal_sentences(table, str(goal).replace("=", " "), unit, unclaimed=bool(unclaimed))
    if len(table) and final:
        ends = _ends(records, trials, column, unit)
        lines += final_sentences(table, ends, column, unit, unclaimed=bool(unclaimed))
    if control is not None and final:
        lines += _of_rounding(control_spread(records, trials, baseline, control, column), baseline, column)
    if len(table) and (table["same_start"] & (table["one_run_seeds"] == 0)).any():
        lines.append(
            "All seeds start from the same weights: only the order of samples, or random draws in training, "
            "vary."
        )
    claims = claims_of(table, tested_measures(column, goal, margin, final))
    return [*lines, *limits(workload, table, trials, claims, look, setting)]


def _why_unclaimed(table: pd.DataFrame, trials: pd.DataFrame, look: Look, final: bool) -> str:
    """Why no arm can be claimed to differ; empty where one can."""
    if look.withheld:
        return f"Nothing is claimed: {look.withheld}"
    varied, prefix = table[table["one_run_seeds"] == 0], "" if final else "goal_"
    if varied.empty or varied[f"{prefix}enough_seeds"].any():
        return ""
    observation = (
        "independent observation" if "repeat" in trials else "split" if "split" in trials else "seed"
    )
    return too_few(varied, f"{prefix}n", observation)


def _ends(records: pd.DataFrame, trials: pd.DataFrame, column: str, unit: str) -> dict[str, Ends]:
    """How the trials of each arm ended."""
    empty = trials[["arm", "seed"]][:0].assign(**{column: 0.0})
    finals = final_values(empty if records.empty else records, trials, column)
    means = finals[np.isfinite(finals["final"])].groupby("arm")["final"].mean()
    found, blown = dict[str, Ends](), blown_up(records, column)
    for arm, statuses in trials.groupby("arm", sort=False)["status"]:
        lost = int(statuses.isin(["diverged", "failed"]).sum())
        found[str(arm)] = Ends(
            lost, lost_trials(statuses, unit), float(means.get(arm, math.nan)), arm in blown
        )
    return found


def _of_rounding(spread: float, baseline: str, column: str) -> list[str]:
    if math.isnan(spread):
        return []
    if math.isinf(spread):
        return [
            f"Rounding alone decides on which seeds {baseline} is lost: its rounding control is lost on "
            "others."
        ]
    return [
        f"Rounding alone moves the final {column} of {baseline} by {number(spread)} on one seed (standard "
        "deviation)."
    ]
