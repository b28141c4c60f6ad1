"""The verdict: a short ranked list with its numbers, made from the table of pairs alone."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..core.formatting import number
from .claims import claims_of
from .final_sentences import Ends, final_sentences
from .goal_sentences import goal_sentences
from .limits import Setting, limits
from .looks import FIRST_LOOK, Look
from .paired import pairs
from .paired_ends import control_spread
from .paired_tests import PairedTests
from .phrases import lost_trials, too_few
from .statistics import blown_up, final_values

UNKNOWN = Setting()


def verdict(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    tests: PairedTests,
    *,
    workload: str,
    look: Look = FIRST_LOOK,
    setting: Setting = UNKNOWN,
) -> list[str]:
    """Rank the arms by their samples to the goal and by their final values, with what may be claimed.

    The first line is the finding. One line for each arm follows, with its rank, its difference from the
    baseline with an interval, the number of seeds on which it is better, and whether that is claimed. The
    lines of :func:`optcompare.analysis.limits.limits` come last.

    A difference is stated as found, "seed by seed", only if :func:`optcompare.analysis.paired.pairs` claims
    it; means and intervals are descriptive. Each interval is for one comparison; p is corrected by Holm over
    all comparisons. With too few seeds, the first line gives the number that is needed. Of many arms only the
    best have a line; the others are counted.

    Args:
        records: The report's records.
        trials: The report's trials.
        tests: The tests to make for each arm.
        workload: The name of the workload.
        look: The look of this verdict.
        setting: How rates and data were chosen.

    Returns:
        One text for each line.

    Raises:
        ComparisonError: As in :func:`optcompare.analysis.paired.pairs`.
    """
    table = pairs(records, trials, tests, look)
    lines = (
        _of_pairs(table, records, trials, tests, look)
        if len(table)
        else [f"There is no arm to compare {tests.baseline} with."]
    )
    if tests.control is not None and tests.final:
        lines += _of_rounding(control_spread(records, trials, tests), tests)
    if len(table) and (table["same_start"] & (table["one_run_seeds"] == 0)).any():
        lines.append(
            "All seeds start from the same weights: only the order of samples, or random draws in training, "
            "vary."
        )
    claims = claims_of(table, tests.measures)
    return [*lines, *limits(workload, table, trials, claims, look, setting)]


def _of_pairs(
    table: pd.DataFrame, records: pd.DataFrame, trials: pd.DataFrame, tests: PairedTests, look: Look
) -> list[str]:
    """Write the findings about the goal and the final values, and why nothing can be claimed, if so."""
    unit = "pair" if "repeat" in trials else "seed"
    why = _why_unclaimed(table, trials, look, tests.final)
    lines = [f"{why}."] if why else []
    if tests.goal:
        lines += goal_sentences(table, str(tests.goal).replace("=", " "), unit, unclaimed=bool(why))
    if tests.final:
        ends = _ends(records, trials, tests.column, unit)
        lines += final_sentences(table, ends, tests.column, unit, unclaimed=bool(why))
    return lines


def _why_unclaimed(table: pd.DataFrame, trials: pd.DataFrame, look: Look, final: bool) -> str:
    """Write why no arm can be claimed to differ; empty if one can."""
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
    """Summarise how the trials of each arm ended."""
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


def _of_rounding(spread: float, tests: PairedTests) -> list[str]:
    baseline = tests.baseline
    if math.isnan(spread):
        return []
    if math.isinf(spread):
        lost = "its rounding control is lost on others"
        return [f"Rounding alone decides on which seeds {baseline} is lost: {lost}."]
    moved = f"the final {tests.column} of {baseline} by {number(spread)} on one seed"
    return [f"Rounding alone moves {moved} (standard deviation)."]
