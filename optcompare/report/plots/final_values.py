"""Draw the final value of every seed as a dot, and each arm's mean with its interval below the dots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import scales, style
from .curve_axes import metric_name
from .layout import Heading, by_arm, counted, figure_width, name_x_axis, shown_arms
from .row_chart import Rows, row_sheet
from .row_text import TextColumn
from .scales import Limits

BODY, DOTS = 28.0, 0.62
"""The height of a row's body in points, and the share of it for the dots; the mean is below them."""


def final_limits(finals: pd.DataFrame, intervals: pd.DataFrame) -> Limits:
    """Return limits that hold every finite value, and intervals unless they reach far beyond the values.

    Args:
        finals: See :func:`draw_final`.
        intervals: See :func:`draw_final`.
    """
    limits = scales.limits_of(finals["value"].to_numpy(float))
    ends = intervals[["low", "high"]].to_numpy(float).ravel()
    ends = ends[np.isfinite(ends)]
    if limits.scale == "linear" and len(ends):
        far = limits.high - limits.low
        low, high = max(limits.low - far, float(ends.min())), min(limits.high + far, float(ends.max()))
        air = 0.03 * far
        return Limits(min(limits.low, low - air), max(limits.high, high + air), "linear")
    if limits.scale == "log" and len(ends):
        return Limits(limits.low, max(limits.high, 1.05 * min(float(ends.max()), 10 * limits.high)), "log")
    return limits


def _leaves(finals: pd.DataFrame, intervals: pd.DataFrame) -> bool:
    """Return whether an interval ends outside the axes, such as one that holds 0 on a log axis."""
    limits = final_limits(finals, intervals)
    return bool((intervals["low"] < limits.low).any() or (intervals["high"] > limits.high).any())


def lost(finals: pd.DataFrame, narrow: bool) -> dict[str, str]:
    """Return a text such as ``3 of 10 lost`` for each arm with lost seeds.

    Args:
        finals: See :func:`draw_final`.
        narrow: Whether the text has two lines.
    """
    texts = {}
    for arm, values in finals.groupby("arm", sort=False)["value"]:
        count = int((~np.isfinite(values)).sum())
        if count:
            texts[str(arm)] = counted(count, len(values), "lost")
    return {arm: text.replace(" lost", "\nlost") for arm, text in texts.items()} if narrow else texts


def _columns(finals: pd.DataFrame, width: float) -> list[TextColumn]:
    cells = lost(finals, width < 5)
    return [TextColumn("", cells)] if cells else []


def draw_final(
    ax: Axes,
    finals: pd.DataFrame,
    intervals: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    metric: str = "train_loss",
) -> Axes:
    """Draw a row for each arm: a dot for the final value of each trial, and their mean below.

    The mean has its 95% t interval, with an arrow if it leaves the axes. Lost seeds are one × on the right
    edge, with their number next to it.

    Args:
        ax: The axes to draw on.
        finals: The columns ``arm, seed, value``; the value is not finite for a lost seed.
        intervals: The columns ``arm, mean, low, high``, NaN for no mean or no interval.
        colours: The colours by arm.
        metric: The name of the column.

    Returns:
        The axes.
    """
    arms = shown_arms(list(finals["arm"]), colours)
    means = by_arm(intervals)
    rows = Rows(ax, arms, colours, _columns(finals, figure_width(ax)))
    limits = final_limits(finals, intervals)
    scales.scale(ax, "x", limits, rows.size)
    name_x_axis(ax, f"final {metric_name(metric)}", rows.size)
    for arm in arms:
        values, colour = finals.loc[finals["arm"] == arm, "value"].to_numpy(float), colours[arm]
        finite = values[np.isfinite(values)]
        rows.dots(arm, finite, colour, up=rows.body * (1 - DOTS) / 2, room=rows.body * DOTS)
        if len(finite) < len(values):
            rows.cross(arm, colour)
        if arm in means:
            y = rows.middle[arm] + rows.unit * rows.body * DOTS / 2
            interval = Interval(*(float(means[arm][name]) for name in ("mean", "low", "high")))
            draw_interval(ax, y, interval, limits, colour, size=rows.size)
    return ax


class Interval(NamedTuple):
    """Hold a mean and the ends of its interval, NaN if there is none."""

    mean: float
    low: float
    high: float


def draw_interval(
    ax: Axes, y: float, interval: Interval, limits: Limits, colour: str, *, size: float, strong: bool = True
) -> None:
    """Draw a mean as a marker on the line of its interval.

    An end that leaves the axes becomes an arrow on their edge.

    Args:
        ax: The axes to draw on.
        y: The height of the line, in data coordinates.
        interval: The mean and its interval.
        limits: The limits of the x axis.
        colour: The colour of line and marker.
        size: The height of the text in points, to which markers are scaled.
        strong: Whether the line is thick and the marker a filled diamond; else the line is thin and the
            marker a hollow circle.
    """
    middle, low, high = interval
    look: dict[str, Any] = {"color": colour, "zorder": 6, "clip_on": False}
    if math.isfinite(low) and math.isfinite(high):
        ends, width = np.clip([low, high], limits.low, limits.high), 2.0 if strong else 1.2
        ax.plot(ends, [y, y], linewidth=width, solid_capstyle="butt", label="_interval", **look)
    small: dict[str, Any] = {**look, "markersize": 0.6 * size, "markeredgewidth": 0, "linestyle": "none"}
    if min(low, middle) < limits.low:
        ax.plot([limits.low], [y], marker="<", label="_beyond", **small)
    if max(high, middle) > limits.high:
        ax.plot([limits.high], [y], marker=">", label="_beyond", **small)
    if limits.low <= middle <= limits.high:
        ax.plot(
            [middle],
            [y],
            marker="D" if strong else "o",
            label="_mean",
            **{**small, "markersize": 0.65 * size, "markeredgewidth": 0.0 if strong else 1.2},
            markeredgecolor=colour,
            markerfacecolor=colour if strong else "white",
        )


def final_figure(
    finals: pd.DataFrame,
    intervals: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    metric: str = "train_loss",
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw the final values of all seeds as a figure.

    Args:
        finals: See :func:`draw_final`.
        intervals: See :func:`draw_final`.
        colours: The colours by arm.
        width: The width in inches.
        metric: The name of the column.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    arms = shown_arms(list(finals["arm"]), colours)
    most, what = max(finals.groupby("arm").size(), default=0), style.what_counts(finals)
    sentences = [f"Dots: {style.drawn(most, what)}." if most > 1 else "Dots: the only seed."]
    if np.isfinite(intervals["low"].to_numpy(float)).any():
        interval = "95% interval over seeds and tuning repeats" if what == "trials" else "95% t interval"
        sentences.append(f"Diamonds: mean with its {interval}.")
    elif np.isfinite(intervals["mean"].to_numpy(float)).any():
        sentences.append("Diamonds: mean.")
    if _leaves(finals, intervals):
        sentences.append("Arrow: the interval goes on.")
    if not np.isfinite(finals["value"].to_numpy(float)).all():
        sentences.append(f"×:\u00a0lost (diverged or failed); no mean is given where a {what[:-1]} was lost.")
    with style.plain():
        heading = Heading(width, None, " ".join([*sentences, *([note] if note else [])]), caption)
        name = f"final {metric_name(metric)}"
        sheet, ax = row_sheet(heading, arms, width, body=BODY, x_name=name, columns=_columns(finals, width))
        draw_final(ax, finals, intervals, colours, metric=metric)
    return sheet.figure
