"""Control of the rate of false claims: one family of tests, corrected by Holm, with a level for each look."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

ALPHA = 0.05
"""The chance of any false claim, over all looks at all comparisons of the same trials."""
FIRST_LEVEL = 0.035
"""The level of the first look."""


def look_level(look: int) -> float:
    """Return the level of the tests of a look.

    α₁ = .035 and α_k = .015·6/(π²(k-1)²) for k ≥ 2. The sum over all k is .05, so the chance of a false claim
    at any look is at most .05 for any number of looks (a Bonferroni correction over looks).

    Args:
        look: The number of the look, from 1.
    """
    return FIRST_LEVEL if look == 1 else (ALPHA - FIRST_LEVEL) * 6 / (math.pi * (look - 1)) ** 2


def holm(p: Sequence[float] | np.ndarray | pd.Series) -> np.ndarray:
    """Correct p[m] by Holm's step-down procedure.

    The k-th smallest becomes max over j ≤ k of min(1, (m-j+1)·p_(j)). This keeps the chance of any false
    claim among the m at most α, for any dependence between the tests (Holm 1979, Scandinavian Journal of
    Statistics 6).

    Args:
        p: float[m]. A nan is a comparison that could not be made. It counts in m, since the comparisons were
            chosen before the data were seen.

    Returns:
        The corrected p, float[m]; nan where p is nan.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)  # nan comes last
    steps = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(steps) if len(steps) else steps
    return corrected


def seeds_needed(comparisons: int, level: float = FIRST_LEVEL) -> int:
    """Return the fewest seeds n with m·2/2ⁿ ≤ α.

    At the first look these are 6, 7, 8, 9, 10 for m = 1, 2, 4, 8, 16 comparisons. 2/2ⁿ is the smallest
    two-sided p of an exact paired test, when all n differences have the same sign. With fewer seeds no data
    can lead to a claim.

    Args:
        comparisons: m, the size of the family.
        level: α, the level of the look.
    """
    n = 1
    while comparisons * 2 / 2**n > level:
        n += 1
    return n


def not_excluded(seeds: int) -> float:
    """Return the largest share of seeds on which an event may happen that none of n seeds showed.

    It is the upper end of a 95% interval: 1 - .05^(1/n).

    Args:
        seeds: n, the number of seeds that were tried.
    """
    return float(1 - 0.05 ** (1 / seeds))
