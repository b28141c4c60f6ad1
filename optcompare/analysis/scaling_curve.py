"""Fit S = S_min + E_min/B, the updates to a goal at batch size B, to many curves at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BEYOND = 8.0
"""How far beyond the sizes, in log units, the knee is searched: a factor of about 3,000."""
_STEP = 0.5
_MOST_STEPS = 60


def knee_bounds(sizes: Floats) -> tuple[float, float]:
    """Return the bounds between which log E_min/S_min is searched."""
    return math.log(sizes.min()) - BEYOND, math.log(sizes.max()) + BEYOND


def fit_rows(sizes: Floats, logs: Floats) -> Floats:
    """Fit many curves at once.

    For a given knee K the best log S_min is the mean of log S - log(1 + K/B), so only log K is searched:
    first on a grid, then by Newton steps in the bracket around the best point of the grid. If a step leaves
    the bracket, the bracket is halved instead.

    Args:
        sizes: The batch sizes B, float[k].
        logs: log S, float[rows, k]; nan: the size is left out of that row.

    Returns:
        log S_min, log E_min and log K, float[rows, 3]; nan in rows with fewer than two sizes.
    """
    known = np.isfinite(logs)
    counts = known.sum(axis=1, keepdims=True)
    enough, weights = counts[:, 0] >= 2, known / np.maximum(counts, 1)
    values, across = np.where(known, logs, 0.0), np.log(sizes)

    def centred(rows: Floats) -> Floats:
        return np.asarray(rows - (weights * rows).sum(axis=1, keepdims=True))

    ends = knee_bounds(sizes)
    grid = np.linspace(*ends, 1 + math.ceil((ends[1] - ends[0]) / _STEP))
    apart = values[:, None, :] - np.logaddexp(0.0, grid[:, None] - across)
    middle = (weights[:, None, :] * apart).sum(axis=2, keepdims=True)
    best = (weights[:, None, :] * (apart - middle) ** 2).sum(axis=2).argmin(axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    at = grid[best]
    for _ in range(_MOST_STEPS):
        rise = 1 / (1 + np.exp(across - at[:, None]))
        residual = centred(values - np.logaddexp(0.0, at[:, None] - across))
        slope = -(weights * residual * rise).sum(axis=1)
        bend = (weights * (centred(rise) ** 2 - residual * rise * (1 - rise))).sum(axis=1)
        low, high = np.where(slope > 0, low, at), np.where(slope > 0, at, high)
        step = at - slope / np.where(bend > 0, bend, 1.0)
        new = np.where((bend > 0) & (step >= low) & (step <= high), step, (low + high) / 2)
        if np.abs(new - at).max() <= 1e-12:
            break
        at = new
    s_min = (weights * (values - np.logaddexp(0.0, at[:, None] - across))).sum(axis=1)
    return np.where(enough[:, None], np.stack([s_min, s_min + at, at], axis=1), math.nan)
