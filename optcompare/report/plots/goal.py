"""The cost of the goal: a bar up to the median over seeds, a dot for each seed, and those that missed it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ...core.formatting import number
from . import scales, style
from .layout import Heading, counted, figure_width, name_x_axis, shown_arms
from .row_chart import Cell, Column, Rows, row_sheet
from .scales import Limits
from .style import Floats

UNITS = {
    "samples": "samples",
    "updates": "updates",
    "seconds": "seconds of training",
    "estimated": "seconds of training (updates × time of one alone)",
    "shared": "seconds of training (several trials at once)",
}


def goal_limits(times: pd.DataFrame) -> Limits:
    """Find limits from zero, where bars begin, to a little beyond the slowest seed that reached the goal."""
    values = times["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    return Limits(0.0, 1.06 * float(values.max()) if len(values) and values.max() > 0 else 1.0, "linear")


def goal_columns(times: pd.DataFrame, width: float) -> list[Column]:
    """Return medians as numbers, and how often arms that missed the goal reached it."""
    medians, reached = {}, {}
    for arm, values in _by_arm(times).items():
        count = int(np.isfinite(values).sum())
        medians[arm] = number(float(np.median(values)))
        if count < len(values):
            text = counted(count, len(values), "reached it")
            reached[arm] = text.replace(" reached", "\nreached") if width < 5 else text
    columns = [Column("median", medians)]
    return [*columns, Column("", reached)] if reached else columns


def _by_arm(times: pd.DataFrame) -> dict[str, Floats]:
    """Return the values of each arm, without interrupted seeds, whose cost is not known."""
    known = times[times["value"].notna()]
    return {str(arm): values.to_numpy(float) for arm, values in known.groupby("arm", sort=False)["value"]}


def goal_axis_name(unit: str, goal: str) -> str:
    """Name the x axis, such as ``samples to valid_loss=0.2``."""
    return f"{UNITS.get(unit, unit)} to {goal}" if goal else f"{UNITS.get(unit, unit)} to the goal"


def draw_goal(
    ax: Axes, times: pd.DataFrame, colours: Mapping[str, str], *, goal: str = "", unit: str = "samples"
) -> Axes:
    """Draw a row for each arm: a bar up to the median cost of the goal, and a dot for each seed.

    An × on the right edge marks an arm with misses, beside it stands how many seeds reached the goal. Where
    the median is a miss, the bar is hatched and runs to the edge; where every seed is, it says "never".

    Args:
        ax: Where to draw.
        times: ``arm, seed, value``: infinite for a miss, which counts in the median; NaN for unknown.
        colours: By arm.
        goal: As the axis names it.
        unit: What is counted, one of ``UNITS``.

    Returns:
        The axes.
    """
    by_arm = _by_arm(times)
    arms = shown_arms(list(by_arm), colours)
    rows = Rows(ax, arms, colours, goal_columns(times, figure_width(ax)))
    limits = goal_limits(times)
    scales.scale(ax, "x", limits, rows.size)
    name_x_axis(ax, goal_axis_name(unit, goal), rows.size)
    for arm in arms:
        values, colour = by_arm[arm], colours[arm]
        reached, median = values[np.isfinite(values)], float(np.median(values))
        height = 0.86 * rows.body * rows.unit
        look: dict[str, Any] = {"height": height, "zorder": 2, "edgecolor": colour, "linewidth": 0.8}
        if math.isfinite(median):
            ax.barh(rows.middle[arm], median, facecolor=_pale(colour), label=arm, **look)
            edges = [rows.middle[arm] - height / 2, rows.middle[arm] + height / 2]
            ax.plot([median, median], edges, color=colour, linewidth=2.2, solid_capstyle="butt", zorder=4)
        else:
            pale = {**look, "edgecolor": _pale(colour), "linewidth": 0}
            ax.barh(rows.middle[arm], limits.high, facecolor="white", hatch="////", label=arm, **pale)
            ax.barh(rows.middle[arm], limits.high, facecolor="none", **look)
        rows.dots(arm, reached, colour, up=0.0, room=0.8 * rows.body)
        if len(reached) < len(values):
            rows.cross(arm, colour)
        if not len(reached):
            rows.write(arm, Cell("never", style.text_colour(colour), "center", "bold", box=True), 0.5)
    return ax


def _pale(colour: str) -> tuple[float, float, float]:
    """Mix the colour with twice as much white."""
    red, green, blue = (0.3 * part + 0.7 for part in to_rgb(colour))
    return red, green, blue


def what_is_missed(times: pd.DataFrame) -> str:
    """Say what bars, dots and crosses mean."""
    by_arm, what = _by_arm(times).values(), style.what_counts(times)
    said = [f"Bars: median over {what}; dots: {style.drawn(max(map(len, by_arm), default=0), what)}."]
    if any(not np.isfinite(values).all() for values in by_arm):
        said.append(f"×:\u00a0{what} that missed the goal, which count as infinite.")
    if any(math.isinf(float(np.median(values))) for values in by_arm):
        said.append("Hatched: the median is a miss.")
    return " ".join(said)


def goal_figure(
    times: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    goal: str = "",
    unit: str = "samples",
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Make the bars a figure.

    Args:
        times: As :func:`draw_goal` has them.
        colours: By arm.
        width: Inches.
        goal: As the axis names it.
        unit: What is counted.
        note: Added to the caption.
        caption: Whether the caption is drawn.
    """
    arms = shown_arms(list(_by_arm(times)), colours)
    said = what_is_missed(times)
    with style.plain():
        heading = Heading(width, None, f"{said} {note}" if note else said, caption)
        columns, name = goal_columns(times, width), goal_axis_name(unit, goal)
        sheet, ax = row_sheet(heading, arms, width, body=18.0, x_name=name, columns=columns)
        draw_goal(ax, times, colours, goal=goal, unit=unit)
    return sheet.figure
