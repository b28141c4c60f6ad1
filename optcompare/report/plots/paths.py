"""The picture for models of two parameters: the path of the weights over the contours of the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from ...analysis.surface_minimum import grid_minimum
from . import scales, style
from .scales import Limits
from .style import Floats, Sheet

SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#D3D8DF"])
CONTOUR = "#AEB5BF"
LEVELS = 10
GAP, MAP, LINE = 0.25, 2.4, 0.165
HEADING, BETWEEN, BELOW = 0.12, 0.12, 0.52
"""Inches: the gap between maps, their height, a line of their titles; what stands between the heading's key
and the maps, between and below the rows.
"""
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
    """Draws the loss contours, and over them the path of each arm in ``colours``: its weights after each
    update.

    ``paths`` holds kind ('path', 'grid' or 'minimum'), arm, seed, update, x, y and loss; the 'grid' rows are
    the loss on a regular grid, whose extent the axes keep; ``x_name`` and ``y_name`` stand in its ``attrs``
    or in columns. Of several seeds the first is drawn. A circle marks the start, a diamond the last update, a
    star the minimum of the loss (see :func:`minimum`). A path that ends outside is cut where it leaves for
    good, with an arrow on the edge.
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
    # The longest path lies lowest: the zigzag of single samples must not bury the few steps of the full
    # batch.
    for order, arm in enumerate(sorted(steps, key=lambda arm: -len(steps[arm]))):
        points, leaves = within(steps[arm], low, high)
        if len(points):
            _draw_path(ax, points, leaves, colours[arm], dashes[arm], zorder=3 + 0.01 * order)
    return ax


def within(points: Floats, low: Floats, high: Floats) -> tuple[Floats, bool]:
    """Cut a path that ends outside the frame where it leaves it for good, on the frame's edge.

    Args:
        points: float[n, 2].
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


def minimum(paths: pd.DataFrame) -> Floats | None:
    """Return the minimum of the loss, float[2], or None where none is known.

    Runs of earlier versions have no row of kind 'minimum': their grid alone must show it.
    """
    rows = paths.loc[paths["kind"] == "minimum", ["x", "y"]].to_numpy(float)
    return rows[0] if len(rows) else grid_minimum(*loss_grid(paths))


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
    """A triangle that points along the last step of a path as it appears on the axes."""
    (x, y), (across, up) = points[-1] - points[-2], scales.size(ax)
    x, y = x * across / np.ptp(ax.get_xlim()), y * up / np.ptp(ax.get_ylim())
    return 3, 0, math.degrees(math.atan2(y, x)) - 90


def draw_contours(ax: Axes, x: Floats, y: Floats, loss: Floats) -> Axes:
    """Shades ``loss`` (float[len(y), len(x)]) between log-spaced levels, darker where higher."""
    x, y, loss = refined(x, y, loss)
    levels = log_levels(loss)
    if levels.size and min(loss.shape) > 1:
        shades = [SHADES(i / (len(levels) - 1)) for i in range(len(levels))]
        shown = np.ma.masked_invalid(loss)
        ax.contourf(x, y, shown, levels=levels, colors=shades, extend="max", zorder=0)
        ax.contour(x, y, shown, levels=levels[1:], colors=[CONTOUR], linewidths=0.6, zorder=1)
    return ax


def refined(x: Floats, y: Floats, loss: Floats) -> tuple[Floats, Floats, Floats]:
    """The grid four times as fine, by cubic splines; as it is where a loss is not finite, or splines would
    swing.

    On a coarse grid a narrow valley falls apart into islands, and its lowest point can lie cells away.
    """
    from scipy.interpolate import RectBivariateSpline  # slow to import, and only contours need it

    if min(loss.shape) < 4 or not np.isfinite(loss).all():
        return x, y, loss
    fine_x, fine_y = (np.linspace(axis[0], axis[-1], 4 * len(axis) - 3) for axis in (x, y))
    fine: Floats = RectBivariateSpline(y, x, loss)(fine_y, fine_x)
    # Next to a cliff splines overshoot: they dip far deeper than the valley that the grid has seen.
    swings = fine.min() < loss.min() - 0.1 * (np.quantile(loss, 0.05) - loss.min())
    return (x, y, loss) if swings else (fine_x, fine_y, fine)


def log_levels(loss: Floats) -> Floats:
    """The lowest loss, and levels whose distance from it grows by a constant factor; none where all are
    alike.
    """
    finite = loss[np.isfinite(loss)]
    above = finite - finite.min()
    if above.max() <= 1e-9 * np.abs(finite).max():
        return np.empty(0)
    smallest = max(float(np.quantile(above[above > 0], 0.01)), 1e-5 * float(above.max()))
    levels: Floats = finite.min() + np.append(0, np.geomspace(smallest, above.max(), LEVELS + 1)[:-1])
    return np.unique(levels)


def loss_grid(paths: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """The grid rows as x, y and loss[y, x]; a point without a finite loss is NaN; empty where there is no
    grid.
    """
    rows = paths[paths["kind"] == "grid"]
    x, column = np.unique(rows["x"].to_numpy(float), return_inverse=True)
    y, row = np.unique(rows["y"].to_numpy(float), return_inverse=True)
    loss = np.full((len(y), len(x)), np.nan)
    values = rows["loss"].to_numpy(float)
    loss[row, column] = np.where(np.isfinite(values), values, np.nan)
    return (x, y, loss) if np.isfinite(loss).any() else (np.empty(0), np.empty(0), np.empty((0, 0)))


def arm_path(paths: pd.DataFrame, arm: str) -> Floats:
    """The weights of an arm's first seed in the order of its updates, float[n, 2], up to the last finite
    ones.
    """
    rows = paths[(paths["kind"] == "path") & (paths["arm"] == arm)]
    rows = rows[rows["seed"] == rows["seed"].min()].sort_values("update", kind="stable")
    points = rows[["x", "y"]].to_numpy(float)
    return _until(points, np.isfinite(points))


def _until(points: Floats, good: NDArray[np.bool_]) -> Floats:
    """The points before the first of which a coordinate is not good."""
    return points[np.logical_and.accumulate(good.all(axis=1))]


def extent(paths: pd.DataFrame) -> tuple[Floats, Floats]:
    """The lower left and upper right corner of the picture: the grid's, without a grid that of the paths."""
    rows = paths[paths["kind"] == "grid"]
    points = (paths if rows.empty else rows)[["x", "y"]].to_numpy(float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return np.zeros(2), np.ones(2)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, 0.05 * (high - low) if rows.empty else 0.0, 0.5)
    return low - margin, high + margin


def axis_name(paths: pd.DataFrame, axis: str) -> str:
    """What the x or y weight is called, from the ``attrs`` or a column of the paths."""
    key = f"{axis}_name"
    if key in paths.attrs:
        return str(paths.attrs[key])
    named = paths[key].dropna() if key in paths else paths.iloc[:0, 0]
    return str(named.iloc[0]) if len(named) else f"weight {axis}"


_MARKS = {"start": START, "after the last update": END, "lowest loss (darker is higher)": LOWEST}


class Maps:
    """One map an arm, all of the same extent, under a heading that explains the marks; ``height`` is in
    inches.
    """

    def __init__(self, paths: pd.DataFrame, colours: Mapping[str, str], width: float = style.WIDTH) -> None:
        self.paths, self.colours = paths, colours
        self.columns = max(1, min(_columns(len(colours)), int(width / 2.0)))
        (_, low), (_, high) = extent(paths)
        self.left = scales.left_of(Limits(float(low), float(high), "linear"))
        self.width = (width - self.left - style.MARGIN - (self.columns - 1) * GAP) / self.columns
        self.titles = {
            arm: style.folded(self._title(arm), 72 * self.width, style.SMALL, before="@:") for arm in colours
        }
        self.above = 0.1 + LINE * max(len(lines) for lines in self.titles.values())
        self.rows = math.ceil(len(colours) / self.columns)
        seed = int(paths.loc[paths["kind"] == "path", "seed"].min())
        repeat = f", tuning repeat {paths['repeat'].min()}" if "repeat" in paths else ""
        self.text = f"Path of the weights, seed {seed}{repeat}"
        updates = "; ".join(map(self._title, colours)).replace("\u00a0", " ")
        self.caption = f"{self.text}. {updates}."
        self.key = self._key()
        # In a narrow figure the key stands below the heading.
        self.below = width < style.WIDTH
        beside = style.MARGIN + style.text_width(self.text, style.MEDIUM, "bold") / 72 + 0.35
        self.key_left = style.MARGIN if self.below else beside
        self.key_width = width - self.key_left - style.MARGIN
        self.heading = (
            HEADING + 0.22 * self.below + style.key_height([text for text, _, _ in self.key], self.key_width)
        )
        self.height = self.heading + self.rows * (self.above + MAP) + (self.rows - 1) * BETWEEN + BELOW

    def _key(self) -> list[style.Entry]:
        """What the marks that are drawn mean."""
        low, high = extent(self.paths)
        leaves = [within(arm_path(self.paths, arm), low, high)[1] for arm in self.colours]
        marks: dict[str, dict[str, Any]] = {"start": START}
        if not all(leaves):
            marks["last update"] = END
        if any(leaves):
            marks["leaves the frame"] = {"marker": (3, 0, -90), **LEAVES}
        if minimum(self.paths) is not None:
            marks["minimum of the loss"] = LOWEST
        if loss_grid(self.paths)[2].size:
            marks["darker: higher loss"] = {"marker": "s", "markersize": 9.0, "markerfacecolor": SHADES(1.0)}
        return [
            (text, style.MUTED, {"color": style.MUTED, "linestyle": "none", **look})
            for text, look in marks.items()
        ]

    def _title(self, arm: str) -> str:
        points, (low, high) = arm_path(self.paths, arm), extent(self.paths)
        inside = np.all((points[-1] >= low) & (points[-1] <= high))
        return f"{arm}, {len(points) - 1}\u00a0updates" + ("" if inside else ", ends\u00a0outside")

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draws heading and maps from ``top`` inches on."""
        sheet.text(style.MARGIN, top + 0.1, self.text, size=style.MEDIUM, weight="bold", va="center_baseline")
        style.draw_key(sheet, self.key_left, top + 0.22 * self.below, self.key_width, self.key)
        for i, (arm, colour) in enumerate(self.colours.items()):
            row, column = divmod(i, self.columns)
            x = self.left + column * (self.width + GAP)
            y = top + self.heading + self.above + row * (self.above + MAP + BETWEEN)
            ax = draw_paths(sheet.axes(x, y, self.width, MAP), self.paths, {arm: colour})
            title = "\n".join(self.titles[arm])
            sheet.text(x, y - 0.06, title, style.text_colour(colour), va="bottom", linespacing=1.15)
            ax.yaxis.set_label_coords((style.Y_NAME - self.left) / self.width, 0.5)
            if column:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if i + self.columns < len(self.colours):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False)


def _columns(count: int) -> int:
    """How many maps stand in a row, so that as little as can be of the last row is empty; at most 4, of many
    5.
    """
    wide = [4, 3] if count < 9 else [4, 3, 5]
    return count if count <= 4 else min(wide, key=lambda columns: -count % columns / columns)
