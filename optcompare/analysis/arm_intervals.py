"""The mean of an arm's trials with an interval: over seeds, and over tuning repeats where there are
several.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .pairing import crossed_interval
from .statistics import mean_interval


def arm_interval(values: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Mean of an arm's trials and the ends of its 95% interval.

    Student's t over seeds, or over the means of splits where the data were split several times; where the arm
    was tuned several times, over seeds and tuning repeats, so that what tuning leaves to chance is part of it
    (see :func:`.pairing.crossed_interval`, which gives none below five repeats).

    Args:
        values: One row a trial of one arm, as from :func:`.statistics.final_values`.
        column: What is averaged.

    Returns:
        The mean and both ends. The ends are nan where there is no interval, as where some trials of a repeat
        are missing, and all three where a value is not finite.
    """
    numbers = values[column].to_numpy(float)
    if "repeat" not in values:
        return mean_interval(
            numbers if "split" not in values else values.groupby("split")[column].mean().to_numpy(float)
        )
    if not len(numbers) or not np.isfinite(numbers).all():
        return math.nan, math.nan, math.nan
    table = values.pivot(index="repeat", columns="seed", values=column).to_numpy(float)
    return (
        crossed_interval(table) if not np.isnan(table).any() else (float(numbers.mean()), math.nan, math.nan)
    )
