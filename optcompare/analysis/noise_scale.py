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
"""A noise scale agrees with a critical batch size if their whole interval lies within this factor."""


@dataclass(frozen=True)
class NoiseScale:
    """The gradient noise scale trΣ/|G|² of one trial (McCandlish et al. 2018), in samples.

    - ``value``: mean trΣ over mean |G|² of its points; infinite where the noise hides the gradient;
    - ``low``, ``high``: the ends of its 95% interval; nan where they are not known;
    - ``arm``, ``seed``, ``batch_size``: of the trial;
    - ``rows``: how many training samples it was estimated from (None: not recorded);
    - ``points``: one row a point, with ``update, samples, trace, squared``, …;
    - ``updates``: of the first and the last point.
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

    The interval covers the choice of rows, at these points of this trial; it does not cover what another
    trial would give. It is a t interval of the logarithm, by a jackknife over g blocks of rows with g - 1
    degrees of freedom. Where |G|² is not positive once some block is left out, the upper end is infinite, and
    the lower one is 1 / the upper end of the same interval of |G|²/trΣ.

    Args:
        points: A row a point of one trial, as a study records them in ``environment["noise"]``: ``update,
            trace, squared`` (unbiased estimates of trΣ and |G|² from all rows), ``traces, squares`` (lists:
            the same from all rows but those of each block) and ``arm, seed, batch_size, rows``. Rows of
            earlier versions lack some of these.

    Returns:
        None without a point. Both ends are nan without blocks.
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
    """Say whether a noise scale and a critical batch size agree within a factor of two.

    The interval of their ratio combines both intervals: on the logarithm, half-widths are added in squares,
    those below and above the estimate apart.

    Args:
        noise: The noise scale.
        low: The lower end of the critical batch size's interval, in samples.
        value: The critical batch size.
        high: The upper end.

    Returns:
        ``agrees`` if the whole interval of the ratio lies within a factor of two, ``apart`` if all of it lies
        outside, else, and where something is not known, ``unknown``.
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
    """Estimates with each block left out, [points, blocks]; no blocks where one of the points has none."""
    found = points[name].tolist() if name in points else []
    lengths = {len(each) if isinstance(each, (list, tuple, np.ndarray)) else 0 for each in found}
    known = len(lengths) == 1 and 0 not in lengths
    return np.array(found, dtype=float) if known else np.empty((len(points), 0))


def _interval(traces: Floats, squares: Floats, without: Floats, others: Floats) -> tuple[float, float]:
    """The ends of the 95% interval of Σ traces / Σ squares; see :func:`noise_scale`.

    ``traces``, ``squares``: of the points, [m]; ``without``, ``others``: the same with each block left out,
    [m, g].
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
    """Half the width of a 95% t interval, from the estimates without each block.

    The jackknife variance is (g - 1)/g Σ (θ₍ⱼ₎ - θ̄)² over the g estimates (Efron & Stein 1981).
    """
    freedom = len(without) - 1
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(freedom * without.var())
