"""How the rate of false claims is kept: one family of tests, corrected by Holm, at a level that pays for
every look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

ALPHA = 0.05
"""The chance of any false claim, over all looks at all comparisons of the same trials."""
FIRST_LEVEL = 0.035


def look_level(look: int) -> float:
    """The level at which the tests of a look are made.

    α₁ = .035 and α_k = .015·6/(π²(k-1)²) for k ≥ 2, whose sum over all k is .05: whatever the number of
    looks, the chance of a false claim at any of them is at most .05 (a Bonferroni correction over looks).

    Args:
        look: Its number, from 1.
    """
    return FIRST_LEVEL if look == 1 else (ALPHA - FIRST_LEVEL) * 6 / (math.pi * (look - 1)) ** 2


def holm(p: Sequence[float] | np.ndarray | pd.Series) -> np.ndarray:
    """Correct p[m] by Holm's step-down procedure: for the k-th smallest, max over j ≤ k of min(1,
    (m-j+1)·p_(j)).

    It keeps the chance of any false claim among the m at most α, however the tests depend on each other. A
    nan is a comparison that could not be made: it stays nan and still counts in m, for which comparisons
    there are was decided before the data (Holm 1979, Scandinavian Journal of Statistics 6).
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)  # nan last
    steps = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(steps) if len(steps) else steps
    return corrected


def seeds_needed(comparisons: int, level: float = FIRST_LEVEL) -> int:
    """The fewest seeds n with m·2/2ⁿ ≤ α: at the first look 6, 7, 8, 9, 10 for m = 1, 2, 4, 8, 16
    comparisons.

    2/2ⁿ is the smallest two-sided p that an exact paired test can give, when all n differences agree in sign.
    With fewer seeds nothing can be claimed, whatever the data.

    Args:
        comparisons: m, the size of the family.
        level: α, of the look.
    """
    n = 1
    while comparisons * 2 / 2**n > level:
        n += 1
    return n


def not_excluded(seeds: int) -> float:
    """The share of seeds on which an event may happen that none of ``seeds`` seeds showed: 1 - .05^(1/n), at
    95%.
    """
    return float(1 - 0.05 ** (1 / seeds))
