"""Draw the final values on a test set, in a column of dots for each arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...analysis.statistics import final_values_to_scale
from . import scales, style
from .curve_axes import metric_name
from .layout import figure_width, text_size
from .scales import Limits
from .style import Floats

STRIP = 1.3
"""The height of the axes in inches."""


def end_limits(records: pd.DataFrame, trials: pd.DataFrame, column: str) -> Limits:
    """Return the limits of the axis of final values.

    Args:
        records: The report's records.
        trials: The report's trials.
        column: A column of the records, such as ``test_loss``.
    """
    return scales.limits_of(final_values_to_scale(records, trials, column)["final"].to_numpy(float))


def draw_ends(
    ax: Axes, records: pd.DataFrame, trials: pd.DataFrame, column: str, colours: Mapping[str, str]
) -> Axes:
    """Draw the final values of each arm: a dot for each trial, and a bar at the median.

    An arm with a lost trial has an × on the upper edge in place of the median.

    Args:
        ax: The axes; arms stand side by side in the order of ``colours``.
        records: The report's records.
        trials: The report's trials.
        column: A column of the records, such as ``test_loss``.
        colours: The looks of the arms.

    Returns:
        The axes.
    """
    size = text_size(figure_width(ax))
    finals = final_values_to_scale(records, trials, column)
    limits = end_limits(records, trials, column)
    style.dress(ax, size).grid(False, axis="x")
    scales.scale(ax, "y", limits, size)
    ax.set_xlim(-0.5, len(colours) - 0.5)
    ax.set_xticks([])
    for place, (arm, colour) in enumerate(colours.items()):
        values = finals.loc[finals["arm"] == arm, "final"].to_numpy(float)
        _draw_arm(ax, place, values, arm, colour, top=limits.high)
    ax.set_xlabel("final values of each trial, by arm", size=size, color=style.INK)
    ax.set_ylabel(metric_name(column), size=size, color=style.INK)
    return ax


def _draw_arm(ax: Axes, place: int, values: Floats, arm: str, colour: str, *, top: float) -> None:
    """Draw the final values of one arm around x = ``place``, and their median or an × at y = ``top``."""
    known = np.sort(values[np.isfinite(values)])
    known = known[style.spread(len(known))]
    offsets = 0.3 * np.linspace(-1, 1, len(known)) if len(known) > 1 else np.zeros(len(known))
    look: dict[str, Any] = {"markersize": 4.0, "markeredgewidth": 0.0, "linestyle": "none"}
    ax.plot(place + offsets, known, color=colour, label=arm, marker=style.marker(colour), **look)
    if len(known) == len(values) > 0:
        median = [np.median(values)] * 2
        ax.plot([place - 0.36, place + 0.36], median, color=colour, linewidth=2.0, label="_median")
    elif len(values):
        ax.plot([place], [top], "x", color=colour, clip_on=False, markeredgewidth=1.5, label="_lost")
