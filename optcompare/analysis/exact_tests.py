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
"""The most wins and losses for which probabilities are added as whole numbers; the sum takes n² steps."""
EXACT_UP_TO = 30
"""The most differences for which all 2ⁿ sign flips are counted; of more, some are drawn at random."""
DRAWN = 99_999
"""The number of sign flips that are drawn at random."""
_PART, _SIGNS = 10_000, 20_000_000
"""The most patterns, and the most signs, that are drawn at once."""
_BLOCK = 1_000_000
"""The most signs that are converted to float64 at once."""


def sign_flip_p(differences: np.ndarray, side: Side = "two") -> float:
    """Test paired differences by flipping their signs.

    If two arms are exchangeable, both signs of a difference are equally likely. The p is the share of all 2ⁿ
    sign patterns with a mean at least as far from 0 as the observed mean; the observed pattern is included
    (Fisher 1935, The Design of Experiments, §21). The test assumes no distribution. For more than
    :data:`EXACT_UP_TO` differences, :data:`DRAWN` patterns are drawn by a fixed generator, and p = (1 + hits)
    / (1 + drawn), which is also valid (Phipson and Smyth 2010).

    Args:
        differences: float[n], finite; zeros stay zeros.
        side: ``"two"``, or against the alternative that they are ``"less"`` or ``"greater"`` than 0.

    Returns:
        The p, at least 2/2ⁿ (one-sided: 1/2ⁿ); nan for n = 0.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) == 0:
        return math.nan
    scale = float(np.abs(values).max())
    if scale == 0:
        return 1.0
    values = values / scale  # Prevent overflow of the sums.
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
    """Test wins against losses by the exact binomial test at 1/2; ties are left out.

    Args:
        wins: The number of pairs in which the first arm did better.
        losses: The number of pairs in which the other arm did better.
        side: ``"two"``, or against the alternative of fewer wins (``"less"``) or more (``"greater"``) than
        losses.

    Returns:
        The p, at least 2/2ⁿ for n = wins + losses (one-sided: 1/2ⁿ); 1 for n = 0.
    """
    n = wins + losses
    if side == "two":
        return min(1.0, 2 * _at_least(max(wins, losses), n))
    return _at_least(wins if side == "greater" else losses, n)


def _at_least(k: int, n: int) -> float:
    """Return the probability of k or more heads in n tosses of a fair coin."""
    if n > _SMALL:
        return float(bdtrc(k - 1, n, 0.5)) if k > 0 else 1.0
    return float(sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)


def _count(values: np.ndarray, reach: float, *, two_sided: bool) -> int:
    """Count the sign patterns, of all 2ⁿ, with a sum of at least ``reach``.

    Each sum of one half of the values is looked up among the sorted sums of the other half.
    """
    half = len(values) // 2
    left, right = _all_sums(values[:half]), np.sort(_all_sums(values[half:]))
    above = len(right) - np.searchsorted(right, reach - left, "left")
    below = np.searchsorted(right, -reach - left, "right") if two_sided else np.zeros(1, dtype=int)
    return int(above.sum()) + int(below.sum())


def _all_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums under all sign patterns, float[2ⁿ]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@lru_cache(256)
def _drawn_hits(values: bytes, reach: float, two_sided: bool) -> int:
    """Count the drawn sign patterns with a sum of at least ``reach``.

    The result is cached, since verdict, tables and figures need the same counts.
    """
    return sum(_hits(sums, reach, two_sided=two_sided) for sums in _drawn_sums(np.frombuffer(values)))


def _drawn_sums(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the sums under randomly drawn sign patterns, in blocks."""
    rng, n = np.random.default_rng(len(values)), len(values)
    part, rows = min(_PART, max(1, _SIGNS // n)), max(1, _BLOCK // n)
    for begin in range(0, DRAWN, part):
        drawn = rng.integers(0, 2, (min(part, DRAWN - begin), n), dtype=np.int8)
        for first in range(0, len(drawn), rows):
            yield (2.0 * drawn[first : first + rows] - 1) @ values


def _hits(sums: np.ndarray, reach: float, *, two_sided: bool) -> int:
    return int(((np.abs(sums) if two_sided else sums) >= reach).sum())
