"""Mean ranks of arms over workloads: a test whether they differ, and the critical difference of two arms.

Tables in this module have one row for each workload and one column for each arm. Lower is better; infinity
and nan are misses.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.formatting import number, p_value, probability
from ..errors import ComparisonError

ALPHA = 0.05
"""The level of the test, and that of the critical difference over all pairs of arms."""
MOST_SUMS = 1_000_000
"""The most sums of ranks for an exact p; a million take less than a second."""
DRAWS = 99_999
"""The number of random orders of all ranks for a p that is not exact."""


def mean_ranks(values: pd.DataFrame) -> pd.Series:
    """Average the rank of each arm over workloads; rank 1 is the lowest value.

    Equal values share the mean of their ranks, and so do all misses of a workload.

    Args:
        values: float[workloads, arms], infinite or nan for a miss.
    """
    return pd.DataFrame(_ranks(values), columns=values.columns).mean()


@dataclass(frozen=True)
class RankTest:
    """Hold the result of :func:`rank_test`, which defines the statistics.

    Attributes:
        arms: k, the number of arms.
        workloads: N, the number of workloads.
        spread: The highest minus the lowest mean rank.
        chi2: Friedman's χ².
        f: Iman and Davenport's F; infinite if the ranks are the same on all workloads.
        p: The p of both.
        exact: Whether p is exact; if not, it comes from random orders.
    """

    arms: int
    workloads: int
    spread: float
    chi2: float
    f: float
    p: float
    exact: bool

    @property
    def floor(self) -> float:
        """Return the smallest possible p, (k!)^-(N-1), of equal ranks on all workloads."""
        return float(1 / math.factorial(self.arms) ** (self.workloads - 1))

    @property
    def differ(self) -> bool:
        """Return whether p ≤ .05."""
        return self.p <= ALPHA + 1e-12  # A sum of shares that is .05 may exceed it by rounding.

    @property
    def critical(self) -> float:
        """Return the critical difference of two arms; nan if the test finds no difference.

        It is also nan for k = 2, where the test itself decides whether the two arms differ.
        """
        return critical_difference(self.arms, self.workloads) if self.differ and self.arms > 2 else math.nan


def rank_test(values: pd.DataFrame) -> RankTest:
    """Test whether k arms differ in rank over N workloads, assuming independent workloads.

    Friedman's χ² = (k-1)·Σ_j (R_j - N(k+1)/2)² / Σ_ij (r_ij - (k+1)/2)², with R_j the sum of arm j's ranks
    r_ij; without ties it is 12N/(k(k+1))·(Σ R̄_j² - k(k+1)²/4). Iman and Davenport's F = (N-1)χ²/(N(k-1) -
    χ²), with k-1 and (k-1)(N-1) degrees of freedom, rises with χ².

    Under the hypothesis all k! orders of a workload's ranks are equally likely, so p is the share of the
    (k!)^(N-1) outcomes that are at least as extreme. It is the same for χ² and F, and for two arms it equals
    the p of the sign test. It is exact if counting takes at most a million sums (3 arms on 80 workloads, 4 on
    20, 5 on 8, 6 on 3, 9 on 2). Otherwise it comes from 99,999 random orders with a fixed seed, plus the
    observed one. The distributions that approximate χ² and F are not used: at .05, with 6 to 10 arms on 2 to
    6 workloads, F rejects equal arms in .054 to .061 of cases, and χ² in .0005 to .039 (Iman & Davenport
    1980, Communications in Statistics A9, and Demšar 2006, JMLR 7, prefer F).

    Args:
        values: float[N, k], a row for each workload and a column for each arm.

    Returns:
        The statistics and p. If all arms tie on all workloads, χ² and F are 0 and p is 1.

    Raises:
        ComparisonError: There are fewer than 2 arms or 2 workloads.
    """
    n, k = values.shape
    if k < 2 or n < 2:
        raise ComparisonError(f"a test of ranks needs at least 2 arms and 2 workloads, got {k} and {n}")
    # Whole numbers make ties in the statistic exact.
    doubled = np.rint(2 * _ranks(values)).astype(np.int64)
    between = int(((doubled.sum(axis=0) - n * (k + 1)) ** 2).sum())
    total = int(((doubled - (k + 1)) ** 2).sum())
    chi2 = (k - 1) * between / total if total else 0.0
    f = (
        0.0
        if not between
        else math.inf
        if between == n * total
        else (n - 1) * between / (n * total - between)
    )
    exact = _exact_p(doubled)
    p = _simulated_p(doubled) if exact is None else exact
    return RankTest(k, n, float(np.ptp(doubled.sum(axis=0))) / (2 * n), chi2, f, p, exact is not None)


def rank_words(test: RankTest) -> str:
    """Write whether the arms differ in rank, how p was computed, and whether the workloads are too few."""
    k, n = test.arms, test.workloads
    p = f"exact {p_value(test.p)}" if test.exact else f"{p_value(test.p)} from {DRAWS:,} random orders"
    if k == 2:
        facts = f"sign test, {p}"
    else:
        facts = f"{p}; Friedman's χ²({k - 1}) = {number(test.chi2)}"
        facts += f", Iman and Davenport's F({k - 1}, {(k - 1) * (n - 1)}) = {number(test.f)}"
    if test.differ:
        joined = (
            ", but no two of them by more than the critical difference"
            if test.spread <= test.critical
            else ""
        )
        return f"The arms differ in rank ({facts}){joined}."
    finding = f"No difference in rank is found ({facts})" + (
        ", so no difference between two arms is claimed" if k > 2 else ""
    )
    if test.floor <= ALPHA:
        return f"{finding}."
    return (
        f"{finding}: {n} workloads are too few for {k} arms, since the smallest possible p is "
        f"{probability(test.floor)}."
    )


def critical_difference(arms: int, workloads: int, alpha: float = ALPHA) -> float:
    """Compute Nemenyi's critical difference: the least difference of two mean ranks that is significant.

    CD = q_α·√(k(k+1)/(6N)). q_α is the upper α point of the studentized range of k groups with infinitely
    many degrees of freedom, divided by √2 (Demšar 2006, JMLR 7). It applies only if :func:`rank_test` finds a
    difference.

    Args:
        arms: k, at least 2.
        workloads: N, at least 1.
        alpha: The level over all pairs of arms.

    Raises:
        ComparisonError: There are fewer than 2 arms, or no workload.
    """
    if arms < 2 or workloads < 1:
        raise ComparisonError(
            f"a critical difference needs at least 2 arms and 1 workload, got {arms} and {workloads}"
        )
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, arms, math.inf)) / math.sqrt(2)
    return q * math.sqrt(arms * (arms + 1) / (6 * workloads))


def _ranks(values: pd.DataFrame) -> np.ndarray:
    """Return the average ranks on each workload, float[workloads, arms]."""
    return values.fillna(math.inf).rank(axis=1).to_numpy(float)


def _exact_p(ranks: np.ndarray) -> float | None:
    """Compute the exact p of int[N, k] ranks given their ties; None if it takes over ``MOST_SUMS`` sums.

    The distribution of the k rank sums is computed workload by workload. Arms do not differ under the
    hypothesis. So the order of the first workload is fixed, and permuted sums count as the same.
    """
    k, base = ranks.shape[1], int(ranks.max(axis=1).sum()) + 1
    if math.factorial(k) > MOST_SUMS or base**k >= 2**63:
        return None
    orders = np.array(list(itertools.permutations(range(k))))  # (k!, k)
    sums, chances, left = np.sort(ranks[:1], axis=1), np.ones(1), MOST_SUMS
    for row in ranks[1:]:
        left -= len(sums) * len(orders)
        if left < 0:
            return None
        reached = np.sort((sums[:, None] + row[orders]).reshape(-1, k), axis=1)
        _, first, same = np.unique(reached @ base ** np.arange(k), return_index=True, return_inverse=True)
        chances = np.bincount(same, weights=np.repeat(chances, len(orders))) / len(orders)
        sums = reached[first]
    extreme = (sums**2).sum(axis=1) >= (ranks.sum(axis=0) ** 2).sum()
    return min(1.0, float(chances[extreme].sum()))


def _simulated_p(ranks: np.ndarray) -> float:
    """Estimate the p of int[N, k] ranks from ``DRAWS`` random orders of each workload but the first.

    The observed outcome is included, so that p ≤ α has a probability of at most α (Phipson & Smyth 2010,
    Statistical Applications in Genetics and Molecular Biology 9).
    """
    rng = np.random.default_rng(0)
    sums = np.tile(ranks[0], (DRAWS, 1))
    for row in ranks[1:]:
        sums += rng.permuted(np.tile(row, (DRAWS, 1)), axis=1)
    extreme = (sums**2).sum(axis=1) >= (ranks.sum(axis=0) ** 2).sum()
    return (1 + int(extreme.sum())) / (1 + DRAWS)
