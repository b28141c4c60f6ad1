"""Exact tests of paired differences: sign flips, and wins against losses."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Side = Literal["two", "less", "greater"]
EXACT_UP_TO = 30
"""Up to so many differences all 2ⁿ sign flips are counted; above, some are drawn at random."""
DRAWN = 99_999
_PART = 10_000


def sign_flip_p(differences: np.ndarray, side: Side = "two") -> float:
    """Test paired differences by flipping their signs.

    Where two arms are exchangeable, each difference was as likely to come out with the other sign. The p is the share
    of all 2ⁿ sign patterns whose mean is at least as far from 0 as the one that was observed, the observed one included
    (Fisher 1935, The Design of Experiments, §21). It assumes no distribution. Above :data:`EXACT_UP_TO` differences
    :data:`DRAWN` patterns are drawn by a fixed generator, and p = (1 + hits) / (1 + drawn), which is valid too
    (Phipson and Smyth 2010).

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
    hits = sum(_hits(sums, reach, two_sided=side == "two") for sums in _drawn_sums(values))
    return (1 + hits) / (1 + DRAWN)


def sign_p(wins: int, losses: int, side: Side = "two") -> float:
    """Test wins against losses by the exact binomial test at 1/2; ties take no part.

    Args:
        wins: How often the first arm did better.
        losses: How often the other did.
        side: ``"two"``, or against the alternative of fewer wins (``"less"``) or more (``"greater"``) than losses.

    Returns:
        The p, at least 2/2ⁿ of n = wins + losses (one-sided: 1/2ⁿ), and 1 where there is neither.
    """
    n = wins + losses
    if side == "two":
        return min(1.0, 2 * _at_least(max(wins, losses), n))
    return _at_least(wins if side == "greater" else losses, n)


def _at_least(k: int, n: int) -> float:
    """The chance of k or more heads in n tosses of a fair coin."""
    return float(sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)


def _count(values: np.ndarray, reach: float, *, two_sided: bool) -> int:
    """How many of all 2ⁿ sign patterns reach as far: each sum of one half of the values is looked up among the other's."""
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


def _drawn_sums(values: np.ndarray) -> list[np.ndarray]:
    rng = np.random.default_rng(len(values))
    sizes = [min(_PART, DRAWN - begin) for begin in range(0, DRAWN, _PART)]
    return [(2.0 * rng.integers(0, 2, (size, len(values)), dtype=np.int8) - 1) @ values for size in sizes]


def _hits(sums: np.ndarray, reach: float, *, two_sided: bool) -> int:
    return int(((np.abs(sums) if two_sided else sums) >= reach).sum())
