"""Draw the panels of the comparison plot: a row for each metric, a column for each x axis.

In a narrow figure all panels stand below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from . import scales, style
from .curve_axes import draw_loss, x_name
from .curve_limits import loss_limits
from .curves import X
from .layout import axis_name_lines, below_axes, margin, text_size
from .scales import Limits
from .style import WIDTH, Sheet

PANEL, BELOW, GAP = 2.9, 0.75, 0.32
"""Inches, in a figure of full width: the height of a panel, of what stands below it, and the gap between
panels.
"""
BROAD = 6.0
"""The width in inches from which panels stand side by side."""


@dataclass(frozen=True)
class Grid:
    """Describe where the panels stand.

    Attributes:
        width: The width of the figure, in inches.
        limits: The limits of the y axis of each metric.
        lines: The lines of the name of each x axis.
        left: The distance of the first column from the left edge, in inches.
        gap: The space to the right of the first column, in inches.
        panel: The width and the height of a panel, in inches.
    """

    width: float
    limits: dict[str, Limits]
    lines: dict[X, list[str]]
    left: float
    gap: float
    panel: tuple[float, float]

    @property
    def narrow(self) -> bool:
        """Return whether the panels stand below each other."""
        return self.width < BROAD

    @property
    def below(self) -> float:
        """Return the height of ticks and names of the x axis, in inches."""
        if self.width >= WIDTH:
            return BELOW
        return below_axes(max(map(len, self.lines.values())), text_size(self.width)) + 0.1

    @property
    def height(self) -> float:
        """Return the height of all rows, with the names of the last x axis, in inches."""
        rows = len(self.limits) * (len(self.lines) if self.narrow else 1)
        return rows * self.panel[1] + (rows - 1) * (self.below if self.narrow else 0.25) + self.below


def grid_of(
    records: pd.DataFrame,
    metrics: Sequence[str],
    xs: Sequence[X],
    width: float,
    room: float,
    others: Sequence[Limits],
) -> Grid:
    """Lay out the panels.

    Args:
        records: The report's records, with a column ``status``.
        metrics: The columns, one for each row.
        xs: The quantities on the x axes, one for each column.
        width: The width of the figure, in inches.
        room: The space for names of arms to the right of the first column, in inches; 0 for none.
        others: Limits of further y axes whose names are aligned with those of the panels.
    """
    limits = {metric: loss_limits(records, metric) for metric in metrics}
    size = text_size(width)
    if width >= WIDTH:
        left = max(map(scales.left_of, [*limits.values(), *others]))
    else:
        widest = max(scales.names_width(one, style.Y_TICKS, size) for one in [*limits.values(), *others])
        left = margin(width) + (1.4 * size + 12 + widest) / 72
    free = width - left - margin(width) - (0.05 if width < WIDTH else 0.0)
    columns = 1 if width < BROAD else len(xs)
    gap = room or GAP
    across = (free - (gap + (columns - 2) * GAP if columns > 1 else room)) / columns
    high = panel_height(width, len(metrics))
    named = {x: axis_name_lines(x_name(x, records), 72 * (across + GAP) - 4, size) for x in xs}
    return Grid(width, limits, named, left, gap, (across, high))


def panel_height(width: float, rows: int) -> float:
    """Return the height of a panel, in inches.

    Args:
        width: The width of the figure, in inches.
        rows: The number of rows.
    """
    high = min(PANEL, 0.5 * width if width < BROAD else 0.1 + 0.28 * width)
    return high if rows == 1 or width < BROAD else 0.8 * high


def draw_panels(
    sheet: Sheet,
    top: float,
    grid: Grid,
    records: pd.DataFrame,
    metrics: Sequence[str],
    colours: Mapping[str, str],
    xs: Sequence[X],
) -> dict[str, Axes]:
    """Draw each metric over each x.

    Args:
        sheet: The figure to draw on.
        top: The distance of the first row from the upper edge, in inches.
        grid: The layout.
        records: The report's records, with a column ``status``.
        metrics: The columns, one for each row.
        colours: The colours by arm.
        xs: The quantities on the x axes, one for each column.

    Returns:
        The first axes of each metric.
    """
    first_axes: dict[str, Axes] = {}
    across, high = grid.panel
    for row, metric in enumerate(metrics):
        limits, left = grid.limits[metric], grid.left
        for column, x in enumerate(xs):
            ax = sheet.axes(left, top, across, high, share=first_axes.get(metric))
            draw_loss(ax, records, x=x, metric=metric, colours=colours, limits=limits)
            ax.set_xlabel("\n".join(grid.lines[x]))
            # By default the position of a label depends on the height of the tick labels, which differ.
            ax.xaxis.set_label_coords(0.5, -0.27 * text_size(grid.width) / style.SMALL / high)
            place_name(ax, grid)
            first_axes.setdefault(metric, ax)
            if grid.narrow:
                top += high + grid.below
                continue
            if column:
                ax.set_ylabel("")
                ax.tick_params(axis="y", which="both", labelleft=False)
            if row < len(metrics) - 1:
                ax.set_xlabel("")
                ax.tick_params(axis="x", which="both", labelbottom=False)
            left += across + (GAP if column else grid.gap)
        top += 0.0 if grid.narrow else high + 0.25
    return first_axes


def place_name(ax: Axes, grid: Grid) -> None:
    """Align the name of the y axis with those of the other axes.

    Args:
        ax: The axes to draw on.
        grid: The layout.
    """
    foot = style.Y_NAME if grid.width >= WIDTH else margin(grid.width) + 1.15 * text_size(grid.width) / 72
    ax.yaxis.set_label_coords((foot - grid.left) / (float(ax.get_position().width) * grid.width), 0.5)
