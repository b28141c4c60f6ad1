"""Draw updates to the goal against the batch size, and samples against updates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ...analysis.batch_scaling import Curve
from ...analysis.critical_batch_size import OVERHEAD, Fit
from . import scales, style
from .batch_scaling_axes import (
    DASHED,
    DOTTED,
    beside,
    log_limits,
    mark_misses,
    missed,
    prepare,
    say_if_empty,
    size_limits,
    with_room,
)
from .layout import PITCH, figure_width, text_size
from .scales import Limits
from .style import Colour, Floats

WITHIN, SHARE = f"within {OVERHEAD:.0%}", f"≤ +{OVERHEAD:.0%}"
REGIONS = (
    (
        f"perfect scaling\nsamples {WITHIN}",
        f"perfect\nscaling\nsamples\n{WITHIN}",
        f"perfect\nscaling\nsamples\n{SHARE}",
    ),
    ("diminishing\nreturns",),
    (
        f"nothing to gain\nupdates {WITHIN}",
        f"nothing\nto gain\nupdates\n{WITHIN}",
        f"nothing\nto gain\nupdates\n{SHARE}",
    ),
)
"""The forms of each region's name: the first form that fits is drawn."""


def draw_updates(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw updates to the goal against the batch size.

    Medians are joined, and each seed is a dot. A filled median does not differ significantly from the fewest
    updates. The dashed line is perfect scaling, E_min/B; the dotted line is the fit. Both critical batch
    sizes are named below the curve. Above a single curve its regions are named.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    size, across = text_size(figure_width(ax)), size_limits(curves)
    fits = {curve.optimizer: curve.fit for curve in curves if curve.fit is not None}
    named = _region_names(ax, next(iter(fits.values())), across, size) if len(curves) == 1 and fits else []
    lines = max((name.count("\n") + 1 for _, _, name in named), default=0)
    up = log_limits(np.concatenate([curve.trials["updates"].to_numpy(float) for curve in curves]))
    up = with_room(ax, up, above=PITCH * size * lines + 6 * bool(lines), below=len(fits) * PITCH * size)
    prepare(ax, across, up, ("batch size", "updates to the goal"))
    for i, (low, high, name) in enumerate(named):
        if i == 1:
            ax.axvspan(low, high, color="#F1F3F4", zorder=0, linewidth=0)
        place: dict[str, Any] = {"ha": "center", "va": "top", "xycoords": ax.get_xaxis_transform()}
        place |= {"textcoords": "offset points", "linespacing": 1.1, "color": style.MUTED, "size": size}
        ax.annotate(name, (math.sqrt(low * high), 1.0), (0, -4), **place)
    for i, curve in enumerate(curves):
        _draw_curve(
            ax, curve, colours[curve.optimizer], across.high, style.MUTED if len(curves) == 1 else None
        )
        mark_misses(ax, curve, colours[curve.optimizer], beside(ax, i, len(curves)))
    for row, (optimizer, fit) in enumerate(fits.items()):
        _mark_critical(ax, fit, colours[optimizer], (row + 0.5) * PITCH * size)
    say_if_empty(ax, curves, size)
    return ax


def _draw_curve(ax: Axes, curve: Curve, colour: str, high: float, ideal: str | None) -> None:
    """Draw the medians, the seeds and the fit of one optimizer.

    Args:
        ax: The axes to draw on.
        curve: The curve.
        colour: The colour.
        high: The largest batch size shown.
        ideal: The colour of perfect scaling; None: the colour of the curve.
    """
    table = curve.table[np.isfinite(curve.table["updates"])]
    if curve.fit is not None:
        grid = np.geomspace(min(curve.fit.residuals), high, 200)
        perfect = curve.fit.samples.value / grid
        ax.plot(
            grid, perfect, color=ideal or colour, linestyle=DASHED, linewidth=1.0, zorder=2, label="_perfect"
        )
        ax.plot(grid, curve.fit.at(grid), color=colour, linestyle=DOTTED, linewidth=1.4, zorder=3)
    ax.plot(table["batch_size"], table["updates"], color=colour, linewidth=1.6, zorder=4)
    for fill, rows in ((colour, table[table["fewest_updates"]]), ("white", table[~table["fewest_updates"]])):
        look: dict[str, Any] = {"color": colour, "markerfacecolor": fill, "markersize": 4.5, "zorder": 5}
        ax.plot(rows["batch_size"], rows["updates"], style.marker(colour), **look)
    dots = curve.trials[np.isfinite(curve.trials["updates"])]
    ax.plot(dots["batch_size"], dots["updates"], ".", color=colour, alpha=0.45, markersize=3.5, zorder=4.5)


def _region_names(ax: Axes, fit: Fit, across: Limits, size: float) -> list[tuple[float, float, str]]:
    """Return both ends and the name of each region; the name is empty if it does not fit."""
    edges = [across.low, *(min(max(end, across.low), across.high) for end in fit.regions), across.high]
    point = math.log(across.high / across.low) / scales.size(ax)[0]
    regions = []
    for low, high, forms in zip(edges[:-1], edges[1:], REGIONS, strict=True):
        room = math.log(high / low) / point - 4
        fitting = (
            form for form in forms if max(style.text_width(line, size) for line in form.split("\n")) <= room
        )
        regions.append((low, high, next(fitting, "")))
    return regions


def _mark_critical(ax: Axes, fit: Fit, colour: str, up: float) -> None:
    """Mark both critical batch sizes by lines up to the fit, with names ``up`` points above the lower edge.

    A size beyond the axis is named at that end of the axis, next to an arrow.
    """
    (low, high), bottom, across = ax.get_xlim(), ax.get_ylim()[0], scales.size(ax)[0]
    marks = [("20%", fit.twenty_percent.value), ("knee", fit.critical.value)]
    left, right = ", ".join(n for n, at in marks if at < low), ", ".join(n for n, at in marks if at > high)
    size = text_size(figure_width(ax))
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center_baseline", "size": size, "zorder": 6}
    look |= {"color": style.text_colour(colour), "annotation_clip": False}
    look |= {"path_effects": [withStroke(linewidth=2.5, foreground="white")]}  # lines run below the names
    edge: dict[str, Any] = {"xycoords": "axes fraction"}
    if left:
        ax.annotate(f"← {left}", (0, 0), (3, up), ha="left", **edge, **look)
    if right:
        ax.annotate(f"{right} →", (1, 0), (-3, up), ha="right", **edge, **look)
    taken = style.text_width(f"← {left}", size) + 5 if left else 0.0
    for name, at in marks:
        if not low <= at <= high:
            continue
        ax.plot([at, at], [bottom, fit.at(at)], color=colour, linewidth=0.8, zorder=2.5, label=f"_{name}")
        place, wide = across * math.log(at / low) / math.log(high / low), style.text_width(name, size) + 5
        before = place - wide >= taken
        ax.annotate(
            name,
            (at, 0),
            (-3 if before else 3, up),
            xycoords=ax.get_xaxis_transform(),
            ha="right" if before else "left",
            **look,
        )
        taken = place if before else place + wide


def updates_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_updates`.

    Args:
        curves: One for each optimizer.
    """
    caption = "Line: medians of seeds (dots); filled: not set apart from the fewest."
    if any(curve.fit is not None for curve in curves):
        caption += " Dashed: perfect scaling, E_min/B. Dotted: fit, S_min\u00a0+\u00a0E_min/B."
        caption += " Grey: from 20% more samples to 20% more updates than least." if len(curves) == 1 else ""
    return caption + (" ×:\u00a0seeds missed." if missed(curves) else "")


def draw_pareto(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw samples to the goal against updates to the goal, with one point for each batch size.

    A Pareto-optimal point is filled: no other batch size needs both fewer samples and fewer updates.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    tables = [curve.table[np.isfinite(curve.table["updates"])] for curve in curves]
    air = 0.08 if len(curves) == 1 else 0.18  # of several curves, names may stand at the left
    across = log_limits(np.concatenate([table["updates"].to_numpy(float) for table in tables]), air=air)
    up = log_limits(np.concatenate([table["samples"].to_numpy(float) for table in tables]), air=0.12)
    size = prepare(ax, across, up, ("updates to the goal", "samples to the goal"))
    for curve, table in zip(curves, tables, strict=True):
        colour = colours[curve.optimizer]
        if curve.fit is not None:
            s_min, e_min = curve.fit.updates.value, curve.fit.samples.value
            grid = np.geomspace(1e-2, 1e5, 400)  # batch sizes
            line = (s_min + e_min / grid, e_min + s_min * grid)
            ax.plot(*line, color=colour, linestyle=DOTTED, linewidth=1.4, zorder=2)
        front = table[table["front"]].sort_values("updates")
        ax.plot(front["updates"], front["samples"], color=colour, linewidth=1.6, zorder=3)
        for fill, rows in ((colour, front), ("white", table[~table["front"]])):
            look: dict[str, Any] = {"color": colour, "markerfacecolor": fill, "markersize": 5, "zorder": 4}
            ax.plot(rows["updates"], rows["samples"], style.marker(colour), **look)
    _name_points(ax, tables, [style.text_colour(colours[curve.optimizer]) for curve in curves], size)
    say_if_empty(ax, curves, size)
    return ax


def _name_points(ax: Axes, tables: Sequence[pd.DataFrame], colours: Sequence[Colour], size: float) -> None:
    """Write the batch size next to each point.

    It touches no other point or name, and covers no line if possible.
    """
    points = [
        (str(row["batch_size"]), (float(row["updates"]), float(row["samples"])), colour)
        for table, colour in zip(tables, colours, strict=True)
        for row in table.to_dict("records")
    ]
    if not points:
        return
    spots = ax.transData.transform([place for _, place, _ in points]) * 72 / ax.figure.dpi
    lines = _along_fronts(ax, tables)
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    edges = np.array(ax.bbox.extents) * 72 / ax.figure.dpi
    for i, ((name, place, colour), (x, y)) in enumerate(zip(points, spots, strict=True)):
        wide = style.text_width(name, size)
        near, over = ((3, 3), (5, -size / 2)), ((-wide / 2, 5), (-wide / 2, -size - 5))
        # For each free place: how many points of lines the name would cover, and the box of the name.
        free_boxes = list[tuple[int, tuple[float, float, float, float]]]()
        for left, bottom in (*near, (-wide - 3, -size - 3), (-wide - 5, -size / 2), *over):
            box = (x + left - 1, y + bottom - 1, x + left + wide + 1, y + bottom + size + 1)
            others = (each for j, each in enumerate(taken) if j != i)
            free = all(box[2] < o[0] or o[2] < box[0] or box[3] < o[1] or o[3] < box[1] for o in others)
            if free and box[0] >= edges[0] and box[1] >= edges[1] and box[2] <= edges[2]:
                hidden = ((lines > box[:2]) & (lines < box[2:])).all(axis=1).sum()
                free_boxes.append((int(hidden), box))
        if free_boxes:
            _, box = min(free_boxes, key=lambda each: each[0])  # the first of those that hide least
            look: dict[str, Any] = {
                "ha": "center",
                "va": "center",
                "size": size,
                "color": colour,
                "zorder": 6,
            }
            middle = ((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y)
            ax.annotate(name, place, middle, textcoords="offset points", **look)
            taken.append(box)


def _along_fronts(ax: Axes, tables: Sequence[pd.DataFrame]) -> Floats:
    """Return points along the lines that join each Pareto front, float[n, 2], in points of the page."""
    points = [np.empty((0, 2))]
    for table in tables:
        front = table[table["front"]].sort_values("updates")[["updates", "samples"]].to_numpy(float)
        corners = ax.transData.transform(front) * 72 / ax.figure.dpi
        steps = np.linspace(0, 1, 60)[:, None]
        points += [a + steps * (b - a) for a, b in itertools.pairwise(corners)]
    return np.vstack(points)


def pareto_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_pareto`.

    Args:
        curves: One for each optimizer.
    """
    fitted = any(curve.fit is not None for curve in curves)
    return f"Medians, named by batch size. Filled: Pareto-optimal.{' Dotted: fit.' if fitted else ''}"
