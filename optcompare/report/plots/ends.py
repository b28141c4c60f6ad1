"""The final values on a test set, a column of dots for each arm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...analysis.statistics import final_values_to_scale
from . import scales, style
from .curve_axes import metric_name
from .layout import figure_width, text_size
from .scales import Limits

STRIP = 1.3
"""The height of the axes in inches."""


def end_limits(records: pd.DataFrame, trials: pd.DataFrame, column: str) -> Limits:
    """Limits of the axis of final values."""
    return scales.limits_of(final_values_to_scale(records, trials, column)["final"].to_numpy(float))


def draw_ends(
    ax: Axes, records: pd.DataFrame, trials: pd.DataFrame, column: str, colours: Mapping[str, str]
) -> Axes:
    """Draw the final values of each arm: a mark for each trial, a bar at the median, a × on top for what was
    lost.

    Args:
        ax: Arms stand side by side in the order of ``colours``.
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
        known = np.sort(values[np.isfinite(values)])
        known = known[style.spread(len(known))]
        across = (
            place + 0.3 * np.linspace(-1, 1, len(known))
            if len(known) > 1
            else np.full(len(known), float(place))
        )
        look = {
            "marker": style.marker(colour),
            "markersize": 4.0,
            "markeredgewidth": 0.0,
            "linestyle": "none",
        }
        ax.plot(across, known, color=colour, label=arm, **look)  # type: ignore[arg-type]
        if len(known) == len(values) > 0:
            ax.plot(
                [place - 0.36, place + 0.36],
                [np.median(values)] * 2,
                color=colour,
                linewidth=2.0,
                label="_median",
            )
        elif len(values):
            ax.plot(
                [place], [limits.high], "x", color=colour, clip_on=False, markeredgewidth=1.5, label="_lost"
            )
    ax.set_xlabel("final values of each trial, by arm", size=size, color=style.INK)
    ax.set_ylabel(metric_name(column), size=size, color=style.INK)
    return ax
