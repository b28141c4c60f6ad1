"""The final value of every seed as a dot, and below the dots each arm's mean with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import scales, style
from .curves import metric_name
from .layout import Heading, by_arm, counted, figure_width, name_x_axis, shown_arms
from .row_chart import Column, Rows, row_sheet
from .scales import Limits

BODY, DOTS = 28.0, 0.62
"""The height of a row's body in points.

The upper part of a row's body, for the dots; below it stands the mean.
"""


def final_limits(finals: pd.DataFrame, intervals: pd.DataFrame) -> Limits:
    """Limits that hold every finite value, and the intervals unless they reach far beyond the values."""
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
    """Whether an interval ends outside the axes, and in an arrow, such as one that holds 0 on a log axis."""
    limits = final_limits(finals, intervals)
    return bool((intervals["low"] < limits.low).any() or (intervals["high"] > limits.high).any())


def lost(finals: pd.DataFrame, narrow: bool) -> dict[str, str]:
    """'3 of 10 lost' for each arm that has such seeds; in two lines where it is narrow."""
    found = {}
    for arm, values in finals.groupby("arm", sort=False)["value"]:
        beyond = int((~np.isfinite(values)).sum())
        if beyond:
            found[str(arm)] = counted(beyond, len(values), "lost")
    return {arm: text.replace(" lost", "\nlost") for arm, text in found.items()} if narrow else found


def _columns(finals: pd.DataFrame, width: float) -> list[Column]:
    cells = lost(finals, width < 5)
    return [Column("", cells)] if cells else []


def draw_final(
    ax: Axes,
    finals: pd.DataFrame,
    intervals: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    metric: str = "train_loss",
) -> Axes:
    """Draws one row an arm: a dot for each trial's final value, and below the dots their mean with its 95% t
    interval.

    ``finals`` holds arm, seed and value (not finite where the seed diverged), ``intervals`` arm, mean, low
    and high (NaN where there is none: then no mean is drawn, or no interval). Diverged seeds are one × on the
    right edge, with their count beside it. An interval that leaves the axes ends in an arrow.
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
            mean, low, high = (float(means[arm][name]) for name in ("mean", "low", "high"))
            draw_interval(ax, y, mean, low, high, limits, colour, size=rows.size)
    return ax


def draw_interval(
    ax: Axes,
    y: float,
    middle: float,
    low: float,
    high: float,
    limits: Limits,
    colour: str,
    *,
    size: float,
    strong: bool = True,
    marker: str = "D",
) -> None:
    """A mean as a marker on the line of its interval; an end that leaves the axes becomes an arrow on their
    edge.

    ``strong`` means a thick line and a filled marker, else both are thin.
    """
    look: dict[str, Any] = {"color": colour, "zorder": 6, "clip_on": False}
    if math.isfinite(low) and math.isfinite(high):
        ends = np.clip([low, high], limits.low, limits.high)
        ax.plot(
            ends, [y, y], linewidth=2.0 if strong else 1.2, solid_capstyle="butt", label="_interval", **look
        )
    small: dict[str, Any] = {**look, "markersize": 0.6 * size, "markeredgewidth": 0, "linestyle": "none"}
    if min(low, middle) < limits.low:
        ax.plot([limits.low], [y], marker="<", label="_beyond", **small)
    if max(high, middle) > limits.high:
        ax.plot([limits.high], [y], marker=">", label="_beyond", **small)
    if limits.low <= middle <= limits.high:
        ax.plot(
            [middle],
            [y],
            marker=marker,
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
    title: str | None = None,
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """The final values of all seeds as one figure, ``width`` inches wide; see :func:`draw_final` for the
    tables.
    """
    arms = shown_arms(list(finals["arm"]), colours)
    most, what = max(finals.groupby("arm").size(), default=0), style.what_counts(finals)
    said = [f"Dots: {style.drawn(most, what)}." if most > 1 else "Dots: the only seed."]
    if np.isfinite(intervals["low"].to_numpy(float)).any():
        interval = "95% interval over seeds and tuning repeats" if what == "trials" else "95% t interval"
        said.append(f"Diamonds: mean with its {interval}.")
    elif np.isfinite(intervals["mean"].to_numpy(float)).any():
        said.append("Diamonds: mean.")
    if _leaves(finals, intervals):
        said.append("Arrow: the interval goes on.")
    if not np.isfinite(finals["value"].to_numpy(float)).all():
        said.append(f"×:\u00a0lost (diverged or failed); no mean is given where a {what[:-1]} was lost.")
    with style.plain():
        heading = Heading(width, title, " ".join([*said, *([note] if note else [])]), caption)
        name = f"final {metric_name(metric)}"
        sheet, ax = row_sheet(heading, arms, width, body=BODY, x_name=name, columns=_columns(finals, width))
        draw_final(ax, finals, intervals, colours, metric=metric)
    return sheet.figure
