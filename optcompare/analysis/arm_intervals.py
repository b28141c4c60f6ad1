"""The mean of an arm's trials with an interval over seeds and tuning repeats."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .pairing import crossed_interval
from .statistics import mean_interval


def arm_interval(values: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Compute the mean of an arm's trials and the ends of its 95% interval.

    The interval is Student's t over seeds. If the data were split several times, it is over the means of the
    splits. If the arm was tuned several times, it is over seeds and tuning repeats and includes the chance in
    tuning (see :func:`.pairing.crossed_interval`, which returns none below five repeats).

    Args:
        values: One row for each trial of one arm, as from :func:`.statistics.final_values`.
        column: The column to average.

    Returns:
        The mean and both ends. The ends are nan where there is no interval, for instance if some trials of a
        repeat are missing. All three are nan where a value is not finite.
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
