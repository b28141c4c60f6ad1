"""The memory of an optimizer: half-lives of its moving averages, in updates and in samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

COLUMNS = ("average", "beta", "updates", "smallest_samples", "largest_samples")


def half_life(beta: float) -> float:
    """Compute after how many updates the weight of a gradient in an exponential moving average is halved.

    Args:
        beta: The share of the average that an update keeps, from 0 to 1.

    Returns:
        ln ½ / ln β, in updates: 0 for β = 0, infinite for β = 1, nan for a number outside [0, 1]. The
        half-life in samples is this times the batch size (Marek et al. 2025, arXiv 2507.07101).
    """
    if not 0 <= beta <= 1:
        return math.nan
    if beta in (0, 1):
        return math.inf if beta else 0.0
    return math.log(0.5) / math.log(beta)


def half_lives(averages: Mapping[str, float], sizes: Sequence[int]) -> pd.DataFrame:
    """Tabulate the half-life of each moving average at the smallest and the largest of some batch sizes.

    Args:
        averages: The decay β per update, by the name of the average, as a study records them for an arm in
            ``environment["moving_averages"]``; empty for none.
        sizes: Batch sizes, in samples; with none, the half-lives in samples are nan.

    Returns:
        One row for each average: ``average, beta, updates`` (half-life in updates), ``smallest_samples,
        largest_samples`` (half-life in samples at the smallest and the largest size).
    """
    ends = (min(sizes), max(sizes)) if sizes else (math.nan, math.nan)
    rows = [
        (name, float(beta), half_life(beta), half_life(beta) * ends[0], half_life(beta) * ends[1])
        for name, beta in averages.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
