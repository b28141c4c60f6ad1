"""Arms across workloads: performance profiles of the time to each goal, and their scores.

Tables in this module have one row for each workload and one column for each arm. Lower is better; infinity
and nan are misses.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

LONGEST = 4.0
"""The largest ratio to the best that adds to a score."""


def ratios_to_best(times: pd.DataFrame) -> pd.DataFrame:
    """Divide each time by the least time on its workload.

    Args:
        times: float[workloads, arms], infinite or nan for a miss.

    Returns:
        float[workloads, arms], at least 1; infinite for a miss. If the best time is 0, since the goal held at
        the start, the ratio is 1 for times of 0 and infinite for others.
    """
    values = times.to_numpy(float, na_value=math.inf)
    best = values.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(values == best, 1.0, values / best)
    return pd.DataFrame(
        np.where(np.isfinite(values), ratios, math.inf), index=times.index, columns=times.columns
    )


def performance_profile(times: pd.DataFrame) -> pd.DataFrame:
    """Compute the profile ρ(τ): the share of workloads on which an arm's ratio to the best is ≤ τ.

    It is a step function, continuous from the right (Dolan & Moré 2002; Dahl et al. 2023, arXiv 2306.07179).

    Args:
        times: float[workloads, arms], infinite or nan for a miss.

    Returns:
        One row for each breakpoint of an arm, rising, the first at ratio 1: ``arm, ratio, share``. ``share``
        holds up to the next row; after the last one, 1 - ``share`` is the share of misses.
    """
    ratios = ratios_to_best(times)
    rows = []
    for arm in ratios.columns:
        of_arm = ratios[arm].to_numpy(float)
        steps = np.unique(np.append(of_arm[np.isfinite(of_arm)], 1.0))
        rows += [{"arm": arm, "ratio": step, "share": float((of_arm <= step).mean())} for step in steps]
    return pd.DataFrame(rows)


def scores(times: pd.DataFrame) -> pd.Series:
    """Compute the score of each arm, from 0 to 1: the integral of ρ over τ in [1, 4], divided by 3.

    It is the mean over workloads of max(0, 4 - r) / 3 for the ratio r to the best, and 0 for a miss (Dahl et
    al. 2023, arXiv 2306.07179, with r_max = 4).

    Args:
        times: float[workloads, arms], infinite or nan for a miss.
    """
    return ((LONGEST - ratios_to_best(times)).clip(lower=0) / (LONGEST - 1)).mean()
