"""Seconds to the goal by their clock, and the best learning rate, against the batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...analysis.batch_scaling import Curve
from ...analysis.update_seconds import MIXED, TIMED
from . import style
from .batch_scaling_axes import (
    DASHED,
    DOTTED,
    beside,
    log_limits,
    mark_misses,
    missed,
    prepare,
    reached,
    say_if_empty,
    size_limits,
    write,
)

MARKERS = {
    TIMED: ("o", True, ""),
    "measured": ("o", True, "filled: measured"),
    "estimated": ("o", False, "hollow: estimated"),
    MIXED: ("D", False, "diamond: mixed"),
    "shared": ("s", False, "square: beside other trials"),
    "": ("v", False, "triangle: clock not recorded"),
}
"""By clock: a marker, whether it is filled, and the words for both in the caption."""


def draw_seconds(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw seconds to the goal against the batch size, with their spread.

    Optimizers are shifted sideways a little, so that they do not overlap. Medians are joined only if one
    clock timed all sizes in turn; there, a filled median is one that does not differ significantly from the
    fewest seconds. Elsewhere the marker shows the clock. A spread without an upper end runs to the upper
    edge.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    names = ["seconds", "seconds_low", "seconds_high"]
    values = np.concatenate([curve.table[names].to_numpy(float).ravel() for curve in curves])
    up = log_limits(values, air=0.1)
    size = prepare(ax, size_limits(curves), up, ("batch size", "seconds to the goal"))
    one_clock = timed_in_turn(curves)
    for i, curve in enumerate(curves):
        colour, known = colours[curve.optimizer], curve.table[np.isfinite(curve.table["seconds"])]
        place = beside(ax, i, len(curves))
        if one_clock:
            ax.plot(
                known["batch_size"], known["seconds"], color=colour, linewidth=1.6, zorder=3, transform=place
            )
        high = np.minimum(known["seconds_high"].to_numpy(float), ax.get_ylim()[1])
        ends: dict[str, Any] = {"color": colour, "linewidth": 1.2, "zorder": 3.5, "transform": place}
        ax.vlines(known["batch_size"], known["seconds_low"], high, **ends)
        for row in known.to_dict("records"):
            marker, filled, _ = MARKERS[row["clock"]]
            fill = colour if (row["fewest_seconds"] if one_clock else filled) else "white"
            look: dict[str, Any] = {"color": colour, "markerfacecolor": fill, "markersize": 4.5, "zorder": 4}
            ax.plot([row["batch_size"]], [row["seconds"]], marker, transform=place, **look)
        mark_misses(ax, curve, colour, place)
    say_if_empty(ax, curves, size)
    if any(map(reached, curves)) and not np.isfinite(values).any():
        write(ax, "not recorded", size)
    return ax


def timed_in_turn(curves: Sequence[Curve]) -> bool:
    """Return whether one clock timed all batch sizes in turn, so that seconds can be compared.

    Args:
        curves: One for each optimizer.
    """
    return all((curve.table["clock"] == TIMED).all() for curve in curves)


def seconds_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_seconds`, the clocks first.

    Args:
        curves: One for each optimizer.
    """
    if any(map(reached, curves)) and not any(np.isfinite(curve.table["seconds"]).any() for curve in curves):
        return "The seconds were not recorded."
    crosses = " ×:\u00a0seeds missed." if missed(curves) else ""
    if timed_in_turn(curves):
        bars = "Bars: fastest to slowest round. Filled: not set apart from the fewest."
        return f"One clock timed all sizes in turn. {bars}{crosses}"
    clocks = {str(clock) for curve in curves for clock in curve.table["clock"]}
    markers = "; ".join(
        words or "filled: timed in turn" for clock, (_, _, words) in MARKERS.items() if clock in clocks
    )
    return (
        f"{markers[0].upper()}{markers[1:]}. Not one clock in turn: do not compare. Bars: all seeds.{crosses}"
    )


def draw_rates(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw the best learning rate against the batch size.

    The linear and the square-root rule run through the middle rate. A diamond is at the edge of the tried
    rates; a ring surrounds a rate that jumps from its neighbours.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    across = size_limits(curves)
    up = log_limits([rate for curve in curves for rate in curve.table["lr"]], air=0.15)
    prepare(ax, across, up, ("batch size", "best learning rate"))
    grid = np.array([across.low, across.high])
    for curve in curves:
        colour, table = colours[curve.optimizer], curve.table
        known = table[np.isfinite(table["updates"])] if reached(curve) else table
        middle = known.iloc[len(known) // 2]
        for power, dash in ((1.0, DASHED), (0.5, DOTTED)):
            rule = float(middle["lr"]) * (grid / float(middle["batch_size"])) ** power
            ax.plot(grid, rule, color=style.MUTED, linestyle=dash, linewidth=1.2, zorder=2)
        ax.plot(table["batch_size"], table["lr"], color=colour, linewidth=1.6, zorder=3)
        edge, jumps = (table[name].astype(bool) for name in ("at_edge", "jumps"))
        for marker, fill, wide, rows in (
            ("o", colour, 4.5, table[~edge]),
            ("D", "white", 4.5, table[edge]),
            ("o", "none", 10.0, table[jumps]),
        ):
            look: dict[str, Any] = {"color": colour, "markerfacecolor": fill, "markersize": wide, "zorder": 4}
            ax.plot(rows["batch_size"], rows["lr"], marker, **look)
    return ax


def rates_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_rates`.

    Args:
        curves: One for each optimizer.
    """
    caption = "Dashed: the linear rule, dotted: the square-root rule."
    if any(curve.table["at_edge"].any() for curve in curves):
        caption += " Diamond: at the edge of those tried."
    if any(curve.table["jumps"].any() for curve in curves):
        caption += " Ring: jumps from its neighbours."
    return caption
