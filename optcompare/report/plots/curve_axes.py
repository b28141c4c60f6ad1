"""Draw axes of curves: a thin line for each trial, a thick one for the median of each arm, and axis names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ...analysis.statistics import estimated, on_shared_clock
from . import scales, style
from .clocks import clock_notes
from .curve_limits import loss_limits, x_limits
from .curves import X, arm_curves, with_status
from .layout import figure_width, text_size
from .scales import Limits
from .style import Floats

X_NAMES: dict[X, str] = {
    "epochs": "epochs\n(passes over the training set)",
    "updates": "updates\n(optimizer steps)",
    "seconds": "training time (s)\n(measuring not counted)",
    "samples": "samples\n(gradients evaluated)",
}
ESTIMATED = "training time (s)\n(updates × time of one alone)"
SHARED = "training time (s)\n(several trials at once)"
MIXED = "training time (s; some estimated:\nupdates × time of one alone)"
"""The axis name if arms differ in their clock, which is then part of their names."""
_SETS = {"train": "training", "valid": "validation", "test": "test"}
_MARKERS = {"diverged": "x", "failed": "+"}
"""The marker at the end of a trial that did not finish, by its status."""


@dataclass(frozen=True)
class Window:
    """Describe what axes of curves show.

    Attributes:
        x: The quantity on the x axis.
        metric: The column along the y axis.
        across: The limits of the x axis.
        up: The limits of the y axis.
        steps: Whether a value holds since the previous record, so that its jumps are upright.
    """

    x: X
    metric: str
    across: Limits
    up: Limits
    steps: bool = False

    def line(self, points: Floats) -> Floats:
        """Return the points of a line, with a corner before each point if jumps are upright.

        Args:
            points: The points, float[n, 2].

        Returns:
            float[m, 2].
        """
        if not self.steps or not len(points):
            return points
        start = max(0.0, self.across.low)
        return scales.stepped(np.vstack([[start, points[0, 1]], points]))

    def shown(self, points: Floats) -> Floats:
        """Return points as they are drawn.

        A point that is not finite becomes NaN. On a log x axis the start is moved to the left end. On a
        linear y axis, points far beyond the axis are moved closer, so that drawing does not overflow.

        Args:
            points: The points, float[n, 2].

        Returns:
            float[n, 2].
        """
        shown = np.where(np.isfinite(points), points, np.nan)
        if self.across.scale == "log":
            shown[:, 0] = np.maximum(shown[:, 0], self.across.low)
        if self.up.scale == "linear":
            far = 1e3 * (self.up.high - self.up.low)
            shown[:, 1] = np.clip(shown[:, 1], self.up.low - far, self.up.high + far)
        return shown


def draw_loss(
    ax: Axes,
    records: pd.DataFrame,
    *,
    x: X,
    metric: str = "train_loss",
    colours: Mapping[str, str],
    limits: Limits | None = None,
) -> Axes:
    """Draw each arm's trials as thin lines and their median as a thick one; lower is better.

    A trial that diverged or failed ends in a marker (× or +) at its last finite value, or on the edge of the
    axes if that lies beyond.

    Args:
        ax: The axes to draw on.
        records: The records of one comparison.
        x: The quantity on the x axis.
        metric: The name of the column.
        colours: The colours by arm, in the order of the arms.
        limits: The limits of the loss, if they are known.

    Returns:
        The axes.
    """
    records = with_status(records)
    across, up = x_limits(records, x), limits or loss_limits(records, metric)
    draw_arms(ax, records, colours, Window(x, metric, across, up))
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", up, size)
    ax.set_xlabel(x_name(x, records), size=size, color=style.INK)
    ax.set_ylabel(metric_name(metric), size=min(size + 1, style.MEDIUM), color=style.INK)
    return ax


def draw_arms(ax: Axes, records: pd.DataFrame, colours: Mapping[str, str], window: Window) -> None:
    """Draw the lines of every arm, and nothing else.

    Args:
        ax: The axes to draw on.
        records: The records with a column ``status``, see :func:`.curves.with_status`.
        colours: The colours by arm, in the order of the arms.
        window: What the axes show.
    """
    dashes, crowd = style.line_styles(colours), max(1.0, len(colours) / 4)
    for order, (arm, colour) in enumerate(colours.items()):
        rows = records[records["arm"] == arm]
        if rows.empty:
            continue
        curves = arm_curves(rows, window.x, window.metric)
        if len(curves.trials) > 1:
            lines = LineCollection(
                [window.line(window.shown(points)) for points in curves.trials],
                colors=[colour],
                linewidths=0.7,
                zorder=2,
                alpha=max(0.08, min(0.4, 1.2 / math.sqrt(len(curves.trials) * crowd))),
                rasterized=len(rows) > 20_000,
            )
            ax.add_collection(lines, autolim=False)
        median = window.shown(curves.median)
        few = np.isfinite(median[:, 1]).sum() < 3
        # Markers are spaced evenly along the drawn line, on log axes too; each arm begins at another offset.
        every = None if few else (0.02 + 0.05 * (order % 4), 0.2)
        ax.plot(
            *window.line(median).T,
            color=colour,
            linestyle=dashes[arm],
            linewidth=2.2 if crowd < 2 else 1.8,
            zorder=4 - 0.01 * order,
            marker=style.marker(colour),
            markersize=6.5 if style.marker(colour) in "P*" else 5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=every,
            label=arm,
        )
        _draw_stopped(ax, curves.stopped, colour, window)


def _draw_stopped(ax: Axes, stopped: Mapping[str, Floats], colour: str, window: Window) -> None:
    """Draw where trials diverged or failed, on the edge of the axes if that lies beyond."""
    up = window.up
    for status, points in stopped.items():
        place = np.clip(window.shown(points), (-np.inf, up.low), (np.inf, up.high))
        ax.plot(
            *place.T,
            _MARKERS[status],
            color=colour,
            markersize=6,
            markeredgewidth=1.5,
            zorder=5,
            clip_on=False,
        )


def metric_name(metric: str) -> str:
    """Name a column for an axis, such as ``validation loss`` for ``valid_loss``.

    Args:
        metric: The name of the column.
    """
    first, _, rest = metric.partition("_")
    return f"{_SETS[first]} {rest.replace('_', ' ')}" if first in _SETS and rest else metric.replace("_", " ")


def x_name(x: X, records: pd.DataFrame) -> str:
    """Name an x axis: what is counted, and in a second line how.

    Args:
        x: The quantity on the x axis.
        records: The records, which hold the clock of seconds.
    """
    if x != "seconds":
        return X_NAMES[x]
    if estimated(records) and clock_notes(records):
        return MIXED
    return ESTIMATED if estimated(records) else SHARED if on_shared_clock(records) else X_NAMES[x]
