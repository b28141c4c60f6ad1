"""Draw the path of the weights of a model of two parameters over the contours of its loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from . import scales, style
from .contours import draw_contours
from .path_tables import arm_path, axis_name, extent, loss_grid, minimum, within
from .scales import Limits
from .style import Floats

START: dict[str, Any] = {
    "marker": "o",
    "markersize": 7.0,
    "markerfacecolor": "white",
    "markeredgecolor": style.INK,
}

END: dict[str, Any] = {"marker": "D", "markersize": 7.5, "markeredgecolor": "white"}

LOWEST: dict[str, Any] = {
    "marker": "*",
    "markersize": 8.5,
    "markerfacecolor": style.INK,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}

LEAVES: dict[str, Any] = {"markersize": 8.0, "markeredgecolor": "white", "markeredgewidth": 0.5}


def draw_paths(ax: Axes, paths: pd.DataFrame, colours: Mapping[str, str]) -> Axes:
    """Draw the contours of the loss, and the path of each arm over them: its weights after each update.

    Of several seeds the first is drawn. A circle marks the start, a diamond the last update, a star the
    minimum of the loss (see :func:`.path_tables.minimum`). A path that ends outside is cut where it leaves
    for the last time, with an arrow on the edge.

    Args:
        ax: The axes; they keep the extent of the grid.
        paths: The columns kind ('path', 'grid' or 'minimum'), arm, seed, update, x, y and loss. Rows of kind
            'grid' hold the loss on a regular grid. ``x_name`` and ``y_name``, in its ``attrs`` or in columns,
            name the weights.
        colours: The colours of the arms that are drawn.

    Returns:
        The axes.
    """
    x, y, loss = loss_grid(paths)
    if loss.size:
        draw_contours(ax, x, y, loss)
    low, high = extent(paths)
    style.dress(ax).grid(False)
    for i, axis in enumerate((ax.xaxis, ax.yaxis)):
        which: Literal["x", "y"] = "y" if i else "x"
        scales.scale(ax, which, Limits(float(low[i]), float(high[i]), "linear"))
        name = style.shortened(axis_name(paths, which), scales.size(ax)[i], style.SMALL)
        axis.set_label_text(name, size=style.SMALL, color=style.INK, parse_math=False)
    lowest = minimum(paths)
    if lowest is not None:
        ax.plot(*lowest[:, None], linestyle="none", zorder=7, label="_minimum", **LOWEST)
    steps = {arm: arm_path(paths, arm) for arm in colours}
    dashes = style.line_styles(colours)
    # The longest path is drawn first: the zigzag of single samples must not hide the few steps of the full
    # batch.
    for order, arm in enumerate(sorted(steps, key=lambda arm: -len(steps[arm]))):
        points, leaves = within(steps[arm], low, high)
        if len(points):
            _draw_path(ax, points, leaves, colours[arm], dashes[arm], zorder=3 + 0.01 * order)
    return ax


def _draw_path(
    ax: Axes, points: Floats, leaves: bool, colour: str, dashes: style.Dashes, zorder: float
) -> None:
    long = len(points) > 150
    width, alpha = (0.9, 0.8) if long else (1.4, 1.0)
    ax.add_collection(
        LineCollection(
            [points], colors=[colour], linewidths=width, linestyles=[dashes], alpha=alpha, zorder=zorder
        ),
        autolim=False,
    )
    if not long:
        updates = points[:-1] if leaves else points
        ax.plot(
            *updates.T,
            linestyle="none",
            marker="o",
            markersize=2.8,
            color=colour,
            markeredgewidth=0,
            zorder=zorder,
        )
    ax.plot(*points[:1].T, linestyle="none", zorder=5, **START)
    end: dict[str, Any] = {"marker": _arrow(ax, points), "label": "_leaves", **LEAVES} if leaves else END
    ax.plot(*points[-1:].T, linestyle="none", zorder=6, color=colour, clip_on=not leaves, **end)


def _arrow(ax: Axes, points: Floats) -> tuple[int, int, float]:
    """Return a triangle marker that points along the last step of a path as drawn on the axes."""
    (x, y), (across, up) = points[-1] - points[-2], scales.size(ax)
    x, y = x * across / np.ptp(ax.get_xlim()), y * up / np.ptp(ax.get_ylim())
    return 3, 0, math.degrees(math.atan2(y, x)) - 90
