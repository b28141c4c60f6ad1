"""Arms across workloads: performance profiles of the time to each goal, and their scores.

Tables here have a row for each workload and a column for each arm; lower is better, infinity is a miss, and
so is nan.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

LONGEST = 4.0


def ratios_to_best(times: pd.DataFrame) -> pd.DataFrame:
    """Each time over the least on its workload, ≥ 1; infinite for a miss, and for all on a workload nobody
    solved.

    Where the best time is 0 (the goal held at the start), those at 0 have ratio 1 and the others infinity.
    """
    values = times.to_numpy(float, na_value=math.inf)
    best = values.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(values == best, 1.0, values / best)
    return pd.DataFrame(
        np.where(np.isfinite(values), ratios, math.inf), index=times.index, columns=times.columns
    )


def performance_profile(times: pd.DataFrame) -> pd.DataFrame:
    """The profile ρ(τ) = share of workloads on which an arm's ratio to the best is ≤ τ, as ``arm, ratio,
    share``.

    It is a step function, continuous from the right: the rows of an arm are its breakpoints in rising order,
    the first at ratio 1, and ``share`` holds from there to the next row, the last one for ever. What is
    missing from 1 at the end are misses (Dolan & Moré 2002; Dahl et al. 2023, arXiv 2306.07179).
    """
    ratios = ratios_to_best(times)
    rows = []
    for arm in ratios.columns:
        of_arm = ratios[arm].to_numpy(float)
        steps = np.unique(np.append(of_arm[np.isfinite(of_arm)], 1.0))
        rows += [{"arm": arm, "ratio": step, "share": float((of_arm <= step).mean())} for step in steps]
    return pd.DataFrame(rows)


def scores(times: pd.DataFrame) -> pd.Series:
    """The score of each arm, from 0 to 1: the integral of ρ over τ in [1, 4], divided by 3.

    Exact: a workload with ratio r adds its step from r to 4, so the score is the mean over workloads of
    max(0, 4 - r) / 3; a miss adds 0 (Dahl et al. 2023, arXiv 2306.07179, with r_max = 4).
    """
    return ((LONGEST - ratios_to_best(times)).clip(lower=0) / (LONGEST - 1)).mean()
