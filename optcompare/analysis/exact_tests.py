"""Exact tests of paired differences: sign flips, and wins against losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import bdtrc

Side = Literal["two", "less", "greater"]
_SMALL = 1000
"""Up to so many wins and losses their chances are added as whole numbers; the sum takes n² steps."""
EXACT_UP_TO = 30
"""Up to so many differences all 2ⁿ sign flips are counted; above, some are drawn at random."""
DRAWN = 99_999
_PART, _SIGNS = 10_000, 20_000_000
"""Patterns drawn at once, as long as they have no more signs than that together."""
_BLOCK = 1_000_000
"""Signs that are numbers of eight bytes at once."""


def sign_flip_p(differences: np.ndarray, side: Side = "two") -> float:
    """Test paired differences by flipping their signs.

    Where two arms are exchangeable, each difference was as likely to come out with the other sign. The p is
    the share of all 2ⁿ sign patterns whose mean is at least as far from 0 as the one that was observed, the
    observed one included (Fisher 1935, The Design of Experiments, §21). It assumes no distribution. Above
    :data:`EXACT_UP_TO` differences :data:`DRAWN` patterns are drawn by a fixed generator, and p = (1 + hits)
    / (1 + drawn), which is valid too (Phipson and Smyth 2010).

    Args:
        differences: float[n], finite; zeros stay zeros.
        side: ``"two"``, or against the alternative that they are ``"less"`` or ``"greater"`` than 0.

    Returns:
        The p, at least 2/2ⁿ (one-sided: 1/2ⁿ); nan without a difference.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) == 0:
        return math.nan
    scale = float(np.abs(values).max())
    if scale == 0:
        return 1.0
    values = values / scale  # so that no sum overflows
    observed = float(values.sum())
    if side == "less":
        values, observed = -values, -observed
    reach = (abs(observed) if side == "two" else observed) - 1e-9 * float(np.abs(values).sum())
    if side == "two" and reach <= 0:
        return 1.0
    if len(values) <= EXACT_UP_TO:
        return _count(values, reach, two_sided=side == "two") / 2.0 ** len(values)
    return (1 + _drawn_hits(values.tobytes(), reach, side == "two")) / (1 + DRAWN)


def sign_p(wins: int, losses: int, side: Side = "two") -> float:
    """Test wins against losses by the exact binomial test at 1/2; ties take no part.

    Args:
        wins: How often the first arm did better.
        losses: How often the other did.
        side: ``"two"``, or against the alternative of fewer wins (``"less"``) or more (``"greater"``) than
        losses.

    Returns:
        The p, at least 2/2ⁿ of n = wins + losses (one-sided: 1/2ⁿ), and 1 where there is neither.
    """
    n = wins + losses
    if side == "two":
        return min(1.0, 2 * _at_least(max(wins, losses), n))
    return _at_least(wins if side == "greater" else losses, n)


def _at_least(k: int, n: int) -> float:
    """The chance of k or more heads in n tosses of a fair coin."""
    if n > _SMALL:
        return float(bdtrc(k - 1, n, 0.5)) if k > 0 else 1.0
    return float(sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)


def _count(values: np.ndarray, reach: float, *, two_sided: bool) -> int:
    """How many of all 2ⁿ sign patterns reach as far: each sum of one half of the values is looked up among
    the other's.
    """
    half = len(values) // 2
    left, right = _all_sums(values[:half]), np.sort(_all_sums(values[half:]))
    above = len(right) - np.searchsorted(right, reach - left, "left")
    below = np.searchsorted(right, -reach - left, "right") if two_sided else np.zeros(1, dtype=int)
    return int(above.sum()) + int(below.sum())


def _all_sums(values: np.ndarray) -> np.ndarray:
    """The sums under all sign patterns, float[2ⁿ]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@lru_cache(256)
def _drawn_hits(values: bytes, reach: float, two_sided: bool) -> int:
    """How many drawn patterns reach as far; remembered, since verdict, tables and figures ask for the
    same.
    """
    return sum(_hits(sums, reach, two_sided=two_sided) for sums in _drawn_sums(np.frombuffer(values)))


def _drawn_sums(values: np.ndarray) -> Iterator[np.ndarray]:
    """The sums under sign patterns that are drawn."""
    rng, n = np.random.default_rng(len(values)), len(values)
    part, rows = min(_PART, max(1, _SIGNS // n)), max(1, _BLOCK // n)
    for begin in range(0, DRAWN, part):
        drawn = rng.integers(0, 2, (min(part, DRAWN - begin), n), dtype=np.int8)
        for first in range(0, len(drawn), rows):
            yield (2.0 * drawn[first : first + rows] - 1) @ values


def _hits(sums: np.ndarray, reach: float, *, two_sided: bool) -> int:
    return int(((np.abs(sums) if two_sided else sums) >= reach).sum())
