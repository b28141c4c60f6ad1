"""The gradient noise scale along a trial, its interval, and whether a critical batch size agrees with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from .statistics import CONFIDENCE

Floats = NDArray[np.float64]
Agreement = Literal["agrees", "apart", "unknown"]
FACTOR = 2.0
"""A noise scale agrees with a critical batch size if the interval of their ratio is within this factor."""


@dataclass(frozen=True)
class NoiseScale:
    """Hold the gradient noise scale trΣ/|G|² of one trial (McCandlish et al. 2018), in samples.

    Attributes:
        value: The mean trΣ over the mean |G|² of its points; infinite where the noise hides the gradient.
        low: The lower end of its 95% interval; nan if not known.
        high: The upper end.
        arm: The label of the trial's arm.
        seed: The seed of the trial; None: not recorded.
        batch_size: The batch size of the trial.
        rows: The number of training samples it was estimated from; None: not recorded.
        points: One row for each point, with ``update, samples, trace, squared``, …
        updates: The update of the first and of the last point.
    """

    value: float
    low: float
    high: float
    arm: str
    seed: int | None
    batch_size: int
    rows: int | None
    points: pd.DataFrame
    updates: tuple[int, int]


def noise_scale(points: pd.DataFrame) -> NoiseScale | None:
    """Estimate the noise scale along one trial, and its 95% interval.

    The interval covers the choice of rows, at these points of this trial, and not the variation between
    trials. It is a t interval of the logarithm, by a jackknife over g blocks of rows with g - 1 degrees of
    freedom. If |G|² is not positive without some block, the upper end is infinite, and the lower end is 1 /
    the upper end of the same interval of |G|²/trΣ.

    Args:
        points: One row for each point of one trial, as a study records them in ``environment["noise"]``:
            ``update, trace, squared`` (unbiased estimates of trΣ and |G|² from all rows), ``traces, squares``
            (lists: the same without each block of rows) and ``arm, seed, batch_size, rows``. Rows of previous
            versions lack some of these.

    Returns:
        The noise scale; None without points. Both ends are nan without blocks.
    """
    if points.empty:
        return None
    traces, squares = points["trace"].to_numpy(float), points["squared"].to_numpy(float)
    trace, squared = traces.mean(), squares.mean()
    value = float(trace / squared) if squared > 0 else math.nan if math.isnan(squared) else math.inf
    low, high = _interval(traces, squares, *(_left_out(points, name) for name in ("traces", "squares")))
    first = points.iloc[0]
    seed, rows = (int(first[name]) if name in points else None for name in ("seed", "rows"))
    return NoiseScale(
        value=value,
        low=low,
        high=high,
        arm=str(first["arm"]) if "arm" in points else "",
        seed=seed,
        batch_size=int(first["batch_size"]),
        rows=rows,
        points=points,
        updates=(int(points["update"].min()), int(points["update"].max())),
    )


def agreement(noise: NoiseScale, low: float, value: float, high: float) -> Agreement:
    """Decide whether a noise scale and a critical batch size agree within a factor of two.

    The interval of their ratio combines both intervals: on the logarithm, the squares of the half-widths are
    added, separately below and above the estimate.

    Args:
        noise: The noise scale.
        low: The lower end of the critical batch size's interval, in samples.
        value: The critical batch size.
        high: The upper end.

    Returns:
        ``agrees`` if the whole interval of the ratio lies within a factor of two, ``apart`` if all of it lies
        outside, and ``unknown`` otherwise, or if some value is not known.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.array([[noise.low, noise.value, noise.high], [low, value, high]], dtype=float))
    if np.isnan(logs).any() or not np.isfinite(logs[:, 1]).all():
        return "unknown"
    ratio = logs[0, 1] - logs[1, 1]
    below = ratio - math.hypot(logs[0, 1] - logs[0, 0], logs[1, 2] - logs[1, 1])
    above = ratio + math.hypot(logs[0, 2] - logs[0, 1], logs[1, 1] - logs[1, 0])
    bound = math.log(FACTOR)
    if -bound <= below and above <= bound:
        return "agrees"
    return "apart" if below > bound or above < -bound else "unknown"


def _left_out(points: pd.DataFrame, name: str) -> Floats:
    """Return the estimates without each block, float[points, blocks]; no blocks if some point has none."""
    found = points[name].tolist() if name in points else []
    lengths = {len(each) if isinstance(each, (list, tuple, np.ndarray)) else 0 for each in found}
    known = len(lengths) == 1 and 0 not in lengths
    return np.array(found, dtype=float) if known else np.empty((len(points), 0))


def _interval(traces: Floats, squares: Floats, without: Floats, others: Floats) -> tuple[float, float]:
    """Compute the ends of the 95% interval of Σ traces / Σ squares; see :func:`noise_scale`.

    ``traces`` and ``squares`` are float[points]; ``without`` and ``others`` are the same without each block,
    float[points, blocks].
    """
    if without.shape[1] < 2 or without.shape != others.shape:
        return math.nan, math.nan
    trace, squared = traces.mean(), squares.mean()
    every_trace, every_square = np.append(without.mean(0), trace), np.append(others.mean(0), squared)
    if not (np.isfinite(every_square).all() and np.isfinite(every_trace).all() and (every_trace > 0).all()):
        return math.nan, math.nan
    inverse = others.mean(0) / without.mean(0)
    if (every_square > 0).all():
        logs = np.log(trace / squared) + np.array([-1, 1]) * _half_width(np.log(inverse))
        with np.errstate(over="ignore"):
            low, high = np.exp(logs).tolist()
        return low, high
    largest = float(squared / trace + _half_width(inverse))
    return (1 / largest if largest > 0 else math.nan), math.inf


def _half_width(without: Floats) -> float:
    """Compute half the width of a 95% t interval from the estimates without each block.

    The jackknife variance is (g - 1)/g Σ (θ₍ⱼ₎ - θ̄)² over the g estimates (Efron & Stein 1981).
    """
    freedom = len(without) - 1
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(freedom * without.var())
