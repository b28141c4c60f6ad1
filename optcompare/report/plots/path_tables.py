"""Read the table of weight paths as arrays: an arm's path, the grid of losses, its minimum and extent."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.surface_minimum import grid_minimum
from .style import Floats


def arm_path(paths: pd.DataFrame, arm: str) -> Floats:
    """Return the weights of an arm's first seed after each update, up to the last finite ones.

    Args:
        paths: The table of paths, see :func:`.paths.draw_paths`.
        arm: The label of the arm.

    Returns:
        float[n, 2], in the order of the updates.
    """
    rows = paths[(paths["kind"] == "path") & (paths["arm"] == arm)]
    rows = rows[rows["seed"] == rows["seed"].min()].sort_values("update", kind="stable")
    points = rows[["x", "y"]].to_numpy(float)
    return _until(points, np.isfinite(points))


def _until(points: Floats, good: NDArray[np.bool_]) -> Floats:
    """Return the points before the first that has a coordinate which is not good."""
    return points[np.logical_and.accumulate(good.all(axis=1))]


def within(points: Floats, low: Floats, high: Floats) -> tuple[Floats, bool]:
    """Cut a path that leaves the frame and ends outside, at the point where it leaves for the last time.

    Args:
        points: The points, float[n, 2].
        low: The lower left corner of the frame, float[2].
        high: The upper right corner, float[2].

    Returns:
        The path, and whether it was cut.
    """
    inside: NDArray[np.bool_] = np.all((points >= low) & (points <= high), axis=1)
    if not inside.any() or inside[-1]:
        return points, False
    last = int(np.flatnonzero(inside)[-1])
    begin, step = points[last], points[last + 1] - points[last]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(step > 0, (high - begin) / step, np.where(step < 0, (low - begin) / step, np.inf))
    return np.vstack([points[: last + 1], begin + float(shares.min()) * step]), True


def loss_grid(paths: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Return the grid of losses.

    Args:
        paths: The table of paths, see :func:`.paths.draw_paths`.

    Returns:
        x, float[n]; y, float[m]; and the loss, float[m, n], NaN where it is not finite. All are empty if
        there is no
        grid.
    """
    rows = paths[paths["kind"] == "grid"]
    x, column = np.unique(rows["x"].to_numpy(float), return_inverse=True)
    y, row = np.unique(rows["y"].to_numpy(float), return_inverse=True)
    loss = np.full((len(y), len(x)), np.nan)
    values = rows["loss"].to_numpy(float)
    loss[row, column] = np.where(np.isfinite(values), values, np.nan)
    return (x, y, loss) if np.isfinite(loss).any() else (np.empty(0), np.empty(0), np.empty((0, 0)))


def minimum(paths: pd.DataFrame) -> Floats | None:
    """Return the minimum of the loss, float[2], or None if it is not known.

    Runs of earlier versions have no row of kind 'minimum'; there the grid alone must show it.

    Args:
        paths: The table of paths, see :func:`.paths.draw_paths`.
    """
    rows = paths.loc[paths["kind"] == "minimum", ["x", "y"]].to_numpy(float)
    return rows[0] if len(rows) else grid_minimum(*loss_grid(paths))


def extent(paths: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the lower left and the upper right corner of the grid, or of the paths if there is no grid.

    Args:
        paths: The table of paths, see :func:`.paths.draw_paths`.
    """
    rows = paths[paths["kind"] == "grid"]
    points = (paths if rows.empty else rows)[["x", "y"]].to_numpy(float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.zeros(2), np.ones(2)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.05 * (high - low) if rows.empty else 0.0, 0.5)
    return low - margin, high + margin


def axis_name(paths: pd.DataFrame, axis: str) -> str:
    """Return the name of a weight, from the ``attrs`` or a column of the table.

    Args:
        paths: The table of paths, see :func:`.paths.draw_paths`.
        axis: ``x`` or ``y``.
    """
    key = f"{axis}_name"
    if key in paths.attrs:
        return str(paths.attrs[key])
    named = paths[key].dropna() if key in paths else paths.iloc[:0, 0]
    return str(named.iloc[0]) if len(named) else f"weight {axis}"
