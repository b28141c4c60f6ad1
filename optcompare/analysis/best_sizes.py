"""Find the batch size of the lowest cost, and the sizes that differ from it by a test.

A size is set apart only if another of the k sizes beats it in a one-sided exact test, paired over seeds, at
level/(k-1). At most k-1 tests can set the best size apart, so the chance of this error does not exceed the
level. If several sizes are equally good, the bound holds for each of them alone. It does not bound the chance
that at least one of them is set apart; for that the tests would need level/k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .error_rate import ALPHA, seeds_needed
from .exact_tests import sign_flip_p, sign_p
from .scaling_curve import Floats


@dataclass(frozen=True)
class Best:
    """The batch size of the lowest cost, made by :func:`set_apart`.

    Attributes:
        size: The one with the lowest median over seeds; of equal medians the first.
        median: The median cost; infinite if it is a miss, nan if it is not known.
        alike: The other sizes that are not set apart, in the order of the call.
        apart: The sizes that are set apart.
        level: The chance of setting the best size apart.
        possible: Whether any two sizes share enough seeds for a test to reach level/(k-1).
    """

    size: int
    median: float
    alike: tuple[int, ...]
    apart: tuple[int, ...]
    level: float
    possible: bool


def set_apart(costs: Floats, sizes: Sequence[int], level: float = ALPHA) -> Best:
    """Find the batch size of the lowest median cost, and set apart those that some other beats.

    Two sizes are compared on the seeds for which both costs are known: by sign flips of the differences of
    log costs. If one of the costs is a miss or 0, they are compared by wins against losses; a miss loses to
    any other cost and ties with a miss.

    The size of the lowest median may itself be beaten, for instance by one that is lower on most seeds. It is
    still called the lowest and is never set apart. The size that beats it is in ``alike``, unless a third
    size beats that one.

    Args:
        costs: float[seeds, sizes]; infinite: a miss, nan: not known.
        sizes: The batch sizes.
        level: The accepted chance of setting the best size apart.

    Returns:
        The best size and the others.
    """
    return _best(_medians(costs), sizes, level, lambda i, j: (costs[:, i], costs[:, j]))


def seconds_apart(
    updates: Floats,
    sizes: Sequence[int],
    fastest: Sequence[float],
    slowest: Sequence[float],
    level: float = ALPHA,
) -> Best:
    """Find the batch size of the lowest median seconds, where the seconds per update lie in a range.

    A size beats another only if it does so with its own slowest seconds per update and the other's fastest.
    The median of a size is the median of its updates, times the geometric mean of its fastest and slowest.

    Args:
        updates: float[seeds, sizes]; infinite: a miss, nan: not known.
        sizes: The batch sizes.
        fastest: For each size, the fewest seconds per update in any timing round.
        slowest: For each size, the most seconds per update in any timing round.
        level: The accepted chance of setting the best size apart.

    Returns:
        The best size and the others; ``median`` is in seconds.
    """
    least, most = updates * np.asarray(fastest, dtype=float), updates * np.asarray(slowest, dtype=float)
    return _best(_medians(np.sqrt(least * most)), sizes, level, lambda i, j: (most[:, i], least[:, j]))


def seeds_for(sizes: int, level: float = ALPHA) -> int:
    """Return the fewest seeds n that can set one of k sizes apart: 2⁻ⁿ ≤ level/(k-1).

    2⁻ⁿ is the p of a size that does better on all n seeds: 6, 7 and 8 seeds for 3, 5 and 11 sizes at .05, 9
    for 11 at .035.

    Args:
        sizes: k; one size is treated as two.
        level: See :func:`set_apart`.
    """
    return seeds_needed(max(1, sizes - 1), level) - 1  # A one-sided p is half as large: one seed fewer.


def _best(
    medians: Floats, sizes: Sequence[int], level: float, pair: Callable[[int, int], tuple[Floats, Floats]]
) -> Best:
    """Find the best size.

    ``pair`` returns the costs by which size i is compared with size j, float[seeds] each.
    """
    k = len(sizes)
    lowest = 0 if np.isnan(medians).all() else int(np.nanargmin(medians))
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
    beaten = {j for i, j in pairs if _p_less(*pair(i, j)) <= level / (k - 1) + 1e-12} - {lowest}
    others = [at for at in range(k) if at != lowest]
    return Best(
        size=int(sizes[lowest]),
        median=float(medians[lowest]),
        alike=tuple(int(sizes[at]) for at in others if at not in beaten),
        apart=tuple(int(sizes[at]) for at in others if at in beaten),
        level=level,
        possible=any(_shared(*pair(i, j)).sum() >= seeds_for(k, level) for i, j in pairs),
    )


def _medians(costs: Floats) -> Floats:
    """Return the median of the known values of each column; nan for a column without any."""
    known = [column[~np.isnan(column)] for column in costs.T]
    return np.array([np.median(column) if len(column) else math.nan for column in known])


def _shared(ours: Floats, theirs: Floats) -> np.ndarray:
    return ~(np.isnan(ours) | np.isnan(theirs))


def _p_less(ours: Floats, theirs: Floats) -> float:
    """Test one-sided that our costs are less than theirs; return p, nan without a shared seed."""
    shared = _shared(ours, theirs)
    a, b = ours[shared], theirs[shared]
    if not len(a):
        return math.nan
    if np.isfinite([a, b]).all() and min(a.min(), b.min()) > 0:
        return sign_flip_p(np.log(a) - np.log(b), "less")
    return sign_p(int((a < b).sum()), int((a > b).sum()), "greater")
