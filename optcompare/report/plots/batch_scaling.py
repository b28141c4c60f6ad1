"""The batch-size study in four panels: updates, samples against updates, the noise scale, the best learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.batch_scaling import Curve
from . import scales, style
from .layout import Heading, Key, below_axes, figure_width, margin, name_x_axis, text_size
from .scales import Limits
from .style import Colour, Floats, Sheet

REGIONS = ("perfect\nscaling", "diminishing\nreturns", "nothing\nto gain")
_BROAD = 5.0
"""Inches from which two panels stand side by side."""
_DASH, _DOTS = (0, (4, 2)), (0, (1, 1.6))


def _log(values: Sequence[float] | Floats, air: float = 0.06, least: float = 3.0) -> Limits:
    """A log axis around the finite positive values, at least ``least`` times as high as low."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array) & (array > 0)]
    if not len(array):
        return Limits(0.7, 15.0, "log")
    low, high = float(array.min()), float(array.max())
    wider = max(1.0, least / (high / low)) ** 0.5
    factor = max((high / low) ** air, 1.15) * wider
    return Limits(low / factor, high * factor, "log")


def _sizes(curves: Sequence[Curve]) -> Limits:
    return _log([size for curve in curves for size in curve.table["batch_size"]])


def draw_updates(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Updates to the goal against the batch size, with the line of perfect scaling, the fit and, of one curve, its regions."""
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    costs = np.concatenate([curve.trials["updates"].to_numpy(float) for curve in curves])
    across, up = _sizes(curves), _log(costs)
    up = Limits(up.low, up.high * (up.high / up.low) ** 0.22, "log")  # the names of the regions stand above the curve
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", up, size)
    if len(curves) == 1 and curves[0].fit is not None:
        _draw_regions(ax, curves[0].fit.regions, across, size)
    for curve in curves:
        colour, table = colours[curve.optimizer], curve.table
        reached = table[np.isfinite(table["updates"])]
        sizes = reached["batch_size"].to_numpy(float)
        if len(reached):
            first = reached.iloc[0]
            line = np.array([first["batch_size"], across.high], dtype=float)
            ideal = float(first["updates"] * first["batch_size"])
            ax.plot(line, ideal / line, color=style.MUTED, linestyle=_DASH, linewidth=1.0, zorder=2)
        if curve.fit is not None:
            grid = np.geomspace(across.low, across.high, 200)
            ax.plot(grid, curve.fit.at(grid), color=colour, linestyle=_DOTS, linewidth=1.4, zorder=3)
        ax.plot(sizes, reached["updates"], color=colour, linewidth=1.6, marker="o", markersize=4, zorder=4)
        dots = curve.trials[np.isfinite(curve.trials["updates"])]
        ax.plot(dots["batch_size"], dots["updates"], ".", color=colour, alpha=0.45, markersize=3.5, zorder=3)
        for missed in table[table["reached"] < table["seeds"]]["batch_size"].to_numpy(float):
            ax.plot([missed], [up.high], "x", color=colour, clip_on=False, markersize=5, zorder=5)
    _say_if_empty(ax, curves, size)
    name_x_axis(ax, "batch size", size)
    ax.set_ylabel("updates to the goal", size=size, color=style.INK)
    return ax


def _draw_regions(ax: Axes, ends: tuple[float, float], across: Limits, size: float) -> None:
    edges = [across.low, *(min(max(end, across.low), across.high) for end in ends), across.high]
    whole = math.log(across.high / across.low)
    points = scales.size(ax)[0]
    for i, name in enumerate(REGIONS):
        low, high = edges[i], edges[i + 1]
        if not high > low:
            continue
        if i == 1:
            ax.axvspan(low, high, color="#F1F3F4", zorder=0, linewidth=0)
        room = points * math.log(high / low) / whole
        lines = name.split("\n")
        if max(style.text_width(line, size - 0.5) for line in lines) <= room:
            place: dict[str, Any] = {"ha": "center", "va": "top", "linespacing": 1.1}
            ax.text(
                math.sqrt(low * high), 0.98, name, transform=ax.get_xaxis_transform(), color=style.MUTED,
                size=size - 0.5, **place,
            )  # fmt: skip


def draw_pareto(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Samples to the goal against updates to it, a point for each batch size; what no other betters is filled."""
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    tables = [curve.table[np.isfinite(curve.table["updates"])] for curve in curves]
    across = _log(np.concatenate([table["updates"].to_numpy(float) for table in tables]), air=0.08)
    up = _log(np.concatenate([table["samples"].to_numpy(float) for table in tables]), air=0.12)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", up, size)
    for curve, table in zip(curves, tables, strict=True):
        colour = colours[curve.optimizer]
        if curve.fit is not None:
            s_min, e_min = curve.fit.updates[0], curve.fit.samples[0]
            grid = np.geomspace(1e-2, 1e5, 400)  # batch sizes
            ax.plot(s_min + e_min / grid, e_min + s_min * grid, color=colour, linestyle=_DOTS, linewidth=1.4, zorder=2)
        front = table[table["front"]].sort_values("updates")
        ax.plot(front["updates"], front["samples"], color=colour, linewidth=1.6, zorder=3)
        for fill, rows in ((colour, front), ("white", table[~table["front"]])):
            look: dict[str, Any] = {"color": colour, "markerfacecolor": fill, "markersize": 5, "zorder": 4}
            ax.plot(rows["updates"], rows["samples"], "o", **look)
    _name_points(ax, tables, [style.text_colour(colours[curve.optimizer]) for curve in curves], size - 0.5)
    _say_if_empty(ax, curves, size)
    name_x_axis(ax, "updates to the goal", size)
    ax.set_ylabel("samples to the goal", size=size, color=style.INK)
    return ax


def _name_points(ax: Axes, tables: Sequence[pd.DataFrame], colours: Sequence[Colour], size: float) -> None:
    """The batch size beside each point, where it touches no other point and no other name."""
    points = [
        (str(row["batch_size"]), (float(row["updates"]), float(row["samples"])), colour)
        for table, colour in zip(tables, colours, strict=True)
        for row in table.to_dict("records")
    ]
    if not points:
        return
    spots = ax.transData.transform([place for _, place, _ in points]) * 72 / ax.figure.dpi
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    edges = np.array(ax.bbox.extents) * 72 / ax.figure.dpi
    for i, ((name, place, colour), (x, y)) in enumerate(zip(points, spots, strict=True)):
        wide = style.text_width(name, size)
        sides = (
            (3, 3),
            (5, -size / 2),
            (-wide - 3, -size - 3),
            (-wide - 5, -size / 2),
            (-wide / 2, 5),
            (-wide / 2, -size - 5),
        )
        for left, bottom in sides:
            box = (x + left - 1, y + bottom - 1, x + left + wide + 1, y + bottom + size + 1)
            others = (each for j, each in enumerate(taken) if j != i)
            free = all(box[2] < o[0] or o[2] < box[0] or box[3] < o[1] or o[3] < box[1] for o in others)
            if free and box[0] >= edges[0] and box[1] >= edges[1] and box[2] <= edges[2]:
                look: dict[str, Any] = {"ha": "center", "va": "center", "size": size, "color": colour, "zorder": 6}
                ax.annotate(name, place, (left + wide / 2, bottom + size / 2), textcoords="offset points", **look)
                taken.append(box)
                break


def draw_noise(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """The noise scale along one trial of each optimizer, beside the critical batch size found and its interval."""
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    known = [curve for curve in curves if not curve.noise.empty]
    values, ends = list[float](), [1.0]
    for curve in known:
        rows = curve.noise[curve.noise["squared"] > 0]
        values += [*(rows["trace"] / rows["squared"]), curve.noise_scale]
        ends.append(float(curve.noise["samples"].max()))
    for curve in curves:
        values += [] if curve.fit is None else [curve.fit.critical[0]]
    up = _log(values, air=0.1)
    scales.scale(ax, "x", Limits(0.0, 1.04 * max(ends), "linear"), size)
    scales.scale(ax, "y", up, size)
    for curve in curves:
        colour = colours[curve.optimizer]
        if curve.fit is not None:
            value, low, high = curve.fit.critical
            if math.isfinite(low):
                ax.axhspan(low, high, color=colour, alpha=0.13, linewidth=0, zorder=1)
            ax.axhline(value, color=colour, linestyle=_DASH, linewidth=1.4, zorder=2)
        if not curve.noise.empty:
            rows = curve.noise[curve.noise["squared"] > 0]
            ax.plot(
                rows["samples"], rows["trace"] / rows["squared"], color=colour, marker="o", markersize=4, linewidth=1.6
            )
            if math.isfinite(curve.noise_scale):
                ax.axhline(curve.noise_scale, color=colour, linestyle=_DOTS, linewidth=1.4, zorder=2)
    if not known:
        _write(ax, "not measured", size)
    name_x_axis(ax, "samples seen", size)
    ax.set_ylabel("noise scale, batch size", size=size, color=style.INK)
    return ax


def draw_rates(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """The best learning rate against the batch size, with the linear and the square-root rule through the middle one."""
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    across = _sizes(curves)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", _log([rate for curve in curves for rate in curve.table["lr"]], air=0.15), size)
    grid = np.array([across.low, across.high])
    for curve in curves:
        colour = colours[curve.optimizer]
        reached = curve.table[np.isfinite(curve.table["updates"])]
        table = reached if len(reached) else curve.table
        middle = table.iloc[len(table) // 2]
        for power, dash in ((1.0, _DASH), (0.5, _DOTS)):
            rule = float(middle["lr"]) * (grid / float(middle["batch_size"])) ** power
            ax.plot(grid, rule, color=style.MUTED, linestyle=dash, linewidth=1.2, zorder=2)
        ax.plot(curve.table["batch_size"], curve.table["lr"], color=colour, linewidth=1.6, zorder=3)
        for marker, rows in (("o", curve.table[~curve.table["at_edge"]]), ("D", curve.table[curve.table["at_edge"]])):
            fill = colour if marker == "o" else "white"
            ax.plot(
                rows["batch_size"], rows["lr"], marker, color=colour, markerfacecolor=fill, markersize=4.5, zorder=4
            )
    name_x_axis(ax, "batch size", size)
    ax.set_ylabel("best learning rate", size=size, color=style.INK)
    return ax


def _say_if_empty(ax: Axes, curves: Sequence[Curve], size: float) -> None:
    if not any(np.isfinite(curve.table["updates"]).any() for curve in curves):
        _write(ax, "no batch size reached the goal", size)


def _write(ax: Axes, text: str, size: float) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=size, color=style.MUTED)


def what_is_drawn(curves: Sequence[Curve]) -> list[str]:
    """What is to be read from each panel, in their order."""
    missed = any((curve.table["reached"] < curve.table["seeds"]).any() for curve in curves)
    edge = any(curve.table["at_edge"].any() for curve in curves)
    first = (
        "Line: medians over seeds (dots). Dashed: perfect scaling. Dotted: fit S\u00a0=\u00a0Smin\u00a0+\u00a0Emin/B."
    )
    return [
        first + (" ×:\u00a0seeds missed." if missed else ""),
        "Medians, named by batch size. Filled: no other has fewer of both. Dotted: fit.",
        "Line: along one trial; dotted: its mean. Dashed: the critical batch size, band: 95% over seeds.",
        "Dashed: the linear rule, dotted: the square-root rule." + (" Diamond: at the edge." if edge else ""),
    ]


TITLES = ("Updates to the goal", "Updates or samples", "Noise scale and critical batch size", "Best learning rate")


def scaling_figure(
    curves: Sequence[Curve], colours: Mapping[str, str], *, width: float = 7.0, goal: str = "", title: str | None = None
) -> Figure:
    """The study as one figure, ``width`` inches wide: two by two panels, or in a column one below the other."""
    with style.plain():
        size, edge = text_size(width), margin(width)
        columns = 2 if width >= _BROAD else 1
        heading = Heading(width, title or f"Batch sizes to {goal}", "")
        several = len(curves) > 1
        key = Key({curve.optimizer: curve.optimizer for curve in curves} if several else {}, width - 2 * edge, size)
        gap = 0.3
        each = (width - 2 * edge - (columns - 1) * gap) / columns
        left = (1.5 * size + 16 + style.text_width("10000", size)) / 72
        said = [style.folded(text, 72 * each, size - 0.5) for text in what_is_drawn(curves)]
        lines = max(map(len, said))
        above = (1.2 * (size + 1) + 1.2 * lines * (size - 0.5) + 6) / 72
        high, below = 0.62 * (each - left) + 0.25, below_axes(1, size)
        row = above + high + below + 0.12
        top = heading.height + (key.height + 0.05 if several else 0.0) + 0.05
        sheet = Sheet(width, top + row * (4 // columns) + edge)
        heading.draw(sheet)
        looks: dict[str, tuple[Colour, dict[str, Any]]] = {
            name: (style.text_colour(colour), {"color": colour, "linewidth": 1.8}) for name, colour in colours.items()
        }
        if several:
            key.draw(sheet, edge, heading.height + 0.05, looks)
        for i, draw in enumerate((draw_updates, draw_pareto, draw_noise, draw_rates)):
            x, y = edge + (i % columns) * (each + gap), top + (i // columns) * row
            sheet.text(x, y + 0.6 * size / 72, TITLES[i], size=size + 1, weight="bold", va="center_baseline")
            for j, line in enumerate(said[i]):
                down = y + (1.3 * (size + 1) + (1.2 * j + 0.6) * (size - 0.5)) / 72
                sheet.text(x, down, line, style.MUTED, size - 0.5, va="center_baseline")
            ax = sheet.axes(x + left, y + above, each - left - 0.03, high)
            draw(ax, curves, colours)
        return sheet.figure
