"""Draw the cost of the goal: a bar up to the median over seeds, a dot for each seed, and misses."""

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
from .row_chart import Rows, row_sheet
from .row_text import Cell, TextColumn
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
    """Return limits from zero, where bars begin, to a little beyond the slowest seed that reached the goal.

    Args:
        times: See :func:`draw_goal`.
    """
    values = times["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    return Limits(0.0, 1.06 * float(values.max()) if len(values) and values.max() > 0 else 1.0, "linear")


def goal_columns(times: pd.DataFrame, width: float) -> list[TextColumn]:
    """Return medians as numbers, and how often an arm reached the goal if some seed missed it.

    Args:
        times: See :func:`draw_goal`.
        width: The width of the figure in inches.
    """
    medians, reached = {}, {}
    for arm, values in _by_arm(times).items():
        count = int(np.isfinite(values).sum())
        medians[arm] = number(float(np.median(values)))
        if count < len(values):
            text = counted(count, len(values), "reached it")
            reached[arm] = text.replace(" reached", "\nreached") if width < 5 else text
    columns = [TextColumn("median", medians)]
    return [*columns, TextColumn("", reached)] if reached else columns


def _by_arm(times: pd.DataFrame) -> dict[str, Floats]:
    """Return the values of each arm, without those of interrupted seeds, which are unknown."""
    known = times[times["value"].notna()]
    return {str(arm): values.to_numpy(float) for arm, values in known.groupby("arm", sort=False)["value"]}


def goal_axis_name(unit: str, goal: str) -> str:
    """Name the x axis, such as ``samples to valid_loss=0.2``.

    Args:
        unit: The unit of the cost, such as ``samples``.
        goal: The goal as a user writes it; empty: 'the goal'.
    """
    return f"{UNITS.get(unit, unit)} to {goal}" if goal else f"{UNITS.get(unit, unit)} to the goal"


def draw_goal(
    ax: Axes, times: pd.DataFrame, colours: Mapping[str, str], *, goal: str = "", unit: str = "samples"
) -> Axes:
    """Draw a row for each arm: a bar up to the median cost of the goal, and a dot for each seed.

    An × on the right edge marks an arm with misses; next to it stands how many seeds reached the goal. If the
    median is a miss, the bar is hatched and runs to the edge. If every seed missed the goal, the row says
    "never".

    Args:
        ax: The axes to draw on.
        times: The columns ``arm, seed, value``; the value is infinite for a miss, which counts in the median,
            and NaN if unknown.
        colours: The colours by arm.
        goal: The goal as the axis names it.
        unit: The unit of the cost, one of ``UNITS``.

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
    """Mix the colour with white, 30% to 70%."""
    red, green, blue = (0.3 * part + 0.7 for part in to_rgb(colour))
    return red, green, blue


def what_is_missed(times: pd.DataFrame) -> str:
    """Explain bars, dots and crosses.

    Args:
        times: See :func:`draw_goal`.
    """
    by_arm, what = _by_arm(times).values(), style.what_counts(times)
    most = max(map(len, by_arm), default=0)
    sentences = [f"Bars: median over {what}; dots: {style.drawn(most, what)}."]
    if any(not np.isfinite(values).all() for values in by_arm):
        sentences.append(f"×:\u00a0{what} that missed the goal, which count as infinite.")
    if any(math.isinf(float(np.median(values))) for values in by_arm):
        sentences.append("Hatched: the median is a miss.")
    return " ".join(sentences)


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
    """Draw the cost of the goal as a figure.

    Args:
        times: See :func:`draw_goal`.
        colours: The colours by arm.
        width: The width in inches.
        goal: The goal as the axis names it.
        unit: The unit of the cost, such as ``samples``.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    arms = shown_arms(list(_by_arm(times)), colours)
    text = what_is_missed(times)
    with style.plain():
        heading = Heading(width, None, f"{text} {note}" if note else text, caption)
        columns, name = goal_columns(times, width), goal_axis_name(unit, goal)
        sheet, ax = row_sheet(heading, arms, width, body=18.0, x_name=name, columns=columns)
        draw_goal(ax, times, colours, goal=goal, unit=unit)
    return sheet.figure
