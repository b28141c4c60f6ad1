"""Measure the loss around the paths of a model with two weights, for the contour plot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.utils import vector_to_parameters

from ...analysis.surface_minimum import surface_minimum
from ..measurement.evaluation import averages, evaluating
from ..placement import place
from .trainer import LoopTrainer

Floats = NDArray[np.float64]
Surface = Callable[[Floats], float]
_SIDE, _SIDE_LARGE, _SIDE_FIRST, _LARGE = 41, 15, 7, 20_000
_MARGIN = 0.2
_FARTHER = 100.0
"""A path that leads farther than this many times the median path does not extend the grid."""
_SHARE = 0.2
"""The grid is extended to the minimum if the paths still span this share of it along one axis."""


def landscape(trainer: LoopTrainer, paths: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Measure the loss around the paths, and find its minimum if it lies near them.

    The grid spans the paths of the arms that ended no higher than they began, with a margin. It is extended
    to the minimum if the paths then still span a fifth of it. The loss is the mean over the training set.

    Args:
        trainer: The trainer that measures the loss.
        paths: The weights ``x, y`` of each ``arm`` after each ``update``.
        seed: The seed of the paths.

    Returns:
        The rows of ``paths.parquet``: ``kind`` (path, grid or minimum), ``arm, seed, update, x, y, loss,
        x_name, y_name``. There is one minimum, within the grid and no higher than it, or none.
    """
    model = place(trainer.start(seed).model(), trainer.device, trainer.dtype)
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    names = [
        name if weight.numel() == 1 else f"{name}[{i}]"
        for name, weight in trained
        for i in range(weight.numel())
    ]
    workload = dataclasses.replace(trainer.setup.workload, metrics={}, errors=())
    side = _SIDE if workload.size <= _LARGE else _SIDE_LARGE

    def loss(point: Floats) -> float:
        weights = torch.tensor(point, dtype=trainer.dtype, device=trainer.device)
        vector_to_parameters(weights, [weight for _, weight in trained])
        return averages(workload, model, trainer.sources["train"], trainer.setup.comparison.eval_chunk)[
            "loss"
        ]

    with evaluating(model):
        rows = surface(loss, paths, side, torch.finfo(trainer.dtype).eps)
    table = pd.concat([paths.assign(kind="path", loss=np.nan), rows.assign(arm="", seed=seed, update=-1)])
    return table.reset_index(drop=True).assign(x_name=names[0], y_name=names[1])[
        ["kind", "arm", "seed", "update", "x", "y", "loss", "x_name", "y_name"]
    ]


def surface(loss: Surface, paths: pd.DataFrame, side: int, rounding: float) -> pd.DataFrame:
    """Measure ``loss`` on a grid of ``side`` x ``side`` points around the paths, and find its minimum.

    Args:
        loss: A function of a point, float[2].
        paths: As for :func:`landscape`.
        side: The points along each axis.
        rounding: The relative rounding error of a loss.

    Returns:
        ``kind, x, y, loss``: the rows of the grid, and one of kind ``minimum`` where it is proven within the
        grid.
    """
    low, high = _frame(loss, paths)
    minimum = _descent(loss, _grid(loss, low, high, _SIDE_FIRST), high - low, rounding)
    if minimum is not None:
        # A minimum within the margin around the paths needs no wider grid.
        outside = ((minimum < low) | (minimum > high)) * (high - low)
        wider = np.minimum(low, minimum - 0.1 * outside), np.maximum(high, minimum + 0.1 * outside)
        if ((high - low) >= _SHARE * (wider[1] - wider[0])).any():
            low, high = wider
    grid = _grid(loss, low, high, side)
    if minimum is not None and grid["loss"].min() < loss(minimum):  # the first grid missed a lower valley
        minimum = _descent(loss, grid, high - low, rounding)
    if minimum is None or (minimum < low).any() or (minimum > high).any():
        return grid
    lowest = pd.DataFrame({"kind": ["minimum"], "x": minimum[:1], "y": minimum[1:], "loss": [loss(minimum)]})
    return pd.concat([grid, lowest], ignore_index=True)


def _descent(loss: Surface, grid: pd.DataFrame, unit: Floats, rounding: float) -> Floats | None:
    """Return the minimum that is reached from the lowest point of a grid, or None."""
    finite = grid[np.isfinite(grid["loss"])]
    if finite.empty:
        return None
    start = finite.loc[finite["loss"].idxmin(), ["x", "y"]].to_numpy(float)
    return surface_minimum(loss, start, unit, rounding)


def _grid(loss: Surface, low: Floats, high: Floats, side: int) -> pd.DataFrame:
    xs, ys = (np.linspace(low[i], high[i], side) for i in (0, 1))
    x, y = (axis.ravel() for axis in np.meshgrid(xs, ys))
    values = [loss(np.array(point)) for point in zip(x, y, strict=True)]
    return pd.DataFrame({"kind": "grid", "x": x, "y": y, "loss": values})


def _frame(loss: Surface, paths: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the lower left and the upper right corner of the grid around the paths.

    The grid spans the arms whose last weights are finite and have no higher loss than at the start. If there
    are none, it spans the arms that led no farther than ten times the shortest path.
    """
    points = {
        str(arm): rows[["x", "y"]].to_numpy(float)
        for arm, rows in paths.sort_values("update", kind="stable").groupby("arm")
    }
    ends = {arm: path[-1] for arm, path in points.items()}
    points = {arm: path[np.isfinite(path).all(axis=1)] for arm, path in points.items()}
    start = next(iter(points.values()))[0]
    reach = {arm: np.abs(path - start).max(axis=0) for arm, path in points.items()}
    first = loss(start)
    not_worse = [arm for arm, end in ends.items() if np.isfinite(end).all() and loss(end) <= first]
    most = (
        _FARTHER * np.median([reach[arm] for arm in not_worse], axis=0)
        if not_worse
        else 10 * min(reach.values(), key=max)
    )
    kept = [points[arm] for arm in not_worse or points if (reach[arm] <= np.maximum(most, 1e-12)).all()]
    spanned = np.vstack(kept or [start[None]])
    low, high = spanned.min(axis=0), spanned.max(axis=0)
    margin = np.where(high > low, _MARGIN * (high - low), 1.0)
    return low - margin, high + margin
