"""Arms across workloads: performance profiles of the time to each goal, and mean ranks with their critical difference.

Tables here have a row for each workload and a column for each arm; lower is better, infinity is a miss, and so is nan.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..errors import ComparisonError

LONGEST = 4.0


def ratios_to_best(times: pd.DataFrame) -> pd.DataFrame:
    """Each time over the least on its workload, ≥ 1; infinite for a miss, and for all on a workload nobody solved.

    Where the best time is 0 (the goal held at the start), those at 0 have ratio 1 and the others infinity.
    """
    values = times.to_numpy(float, na_value=math.inf)
    best = values.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(values == best, 1.0, values / best)
    return pd.DataFrame(np.where(np.isfinite(values), ratios, math.inf), index=times.index, columns=times.columns)


def performance_profile(times: pd.DataFrame) -> pd.DataFrame:
    """The profile ρ(τ) = share of workloads on which an arm's ratio to the best is ≤ τ, as ``arm, ratio, share``.

    It is a step function, continuous from the right: the rows of an arm are its breakpoints in rising order, the first
    at ratio 1, and ``share`` holds from there to the next row, the last one for ever. What is missing from 1 at the end
    are misses (Dolan & Moré 2002; Dahl et al. 2023, arXiv 2306.07179).
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


def mean_ranks(values: pd.DataFrame) -> pd.Series:
    """Each arm's rank on a workload (1 is the lowest value), averaged over workloads.

    Equal values share the mean of their ranks, and so do all misses of a workload.
    """
    return pd.DataFrame(_ranks(values), columns=values.columns).mean()


def friedman(values: pd.DataFrame) -> tuple[float, float]:
    """Friedman's χ² and its p for k arms on N workloads: do the arms differ in rank at all?

    χ² = 12N/(k(k+1))·(Σ R̄_j² - k(k+1)²/4), corrected for ties, with k-1 degrees of freedom: an approximation that
    Demšar (2006, JMLR 7) trusts for N > 10 and k > 5. Where all tie everywhere: 0 and 1. Raises
    :class:`ComparisonError` below 3 arms, where a paired test says more, and below 2 workloads.
    """
    workloads, arms = values.shape
    if arms < 3 or workloads < 2:
        raise ComparisonError(
            f"a Friedman test needs at least 3 arms and 2 workloads, got {arms} and {workloads}; compare 2 arms in pairs"
        )
    ranks = _ranks(values)
    if (ranks == ranks.mean(axis=1, keepdims=True)).all():
        return 0.0, 1.0
    from scipy.stats import friedmanchisquare

    test = friedmanchisquare(*ranks.T)
    return float(test.statistic), float(test.pvalue)


def critical_difference(arms: int, workloads: int, alpha: float = 0.05) -> float:
    """Nemenyi: two mean ranks differ, at level α over all pairs of arms, where they are at least this far apart.

    CD = q_α·√(k(k+1)/(6N)), with q_α the upper α point of the studentized range of k groups and infinitely many
    degrees of freedom, over √2 (Demšar 2006, JMLR 7). To be read where :func:`friedman` finds a difference.
    """
    if arms < 2 or workloads < 1:
        raise ComparisonError(f"a critical difference needs at least 2 arms and 1 workload, got {arms} and {workloads}")
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, arms, math.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * workloads))


def _ranks(values: pd.DataFrame) -> np.ndarray:
    """float[workloads, arms], average ranks."""
    return values.fillna(math.inf).rank(axis=1).to_numpy(float)
