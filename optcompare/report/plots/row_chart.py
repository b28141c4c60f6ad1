"""Draw figures with a row for each arm: names to the left or above, columns of text at the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from . import scales, style
from .beeswarm import beeswarm
from .layout import (
    PITCH,
    SHARE,
    Heading,
    axis_name_lines,
    below_axes,
    figure_width,
    margin,
    room_below,
    text_size,
)
from .row_text import (
    ABOVE,
    APART,
    FIRST,
    GAP,
    INSET,
    Cell,
    TextColumn,
    columns_width,
    fitted_names,
    room_for_names,
)
from .style import Floats, Sheet


def row_sheet(
    heading: Heading,
    arms: Sequence[str],
    width: float,
    *,
    body: float,
    x_name: str,
    columns: Sequence[TextColumn] = (),
) -> tuple[Sheet, Axes]:
    """Make a figure with a heading and axes for rows.

    :class:`Rows` writes the names and the columns into the space around the axes.

    Args:
        heading: The heading of the figure.
        arms: The names of the rows.
        width: The width of the figure in inches.
        body: The height of a row in points; a row is higher if its text needs it.
        x_name: The name of the x axis.
        columns: Text at the right of the rows.

    Returns:
        The figure and the axes.
    """
    size, edge = text_size(width), margin(width)
    names = fitted_names(arms, 72 * SHARE * width, 72 * (width - 2 * edge), size)
    left = edge + INSET / 72 if names.above else edge + (names.width + GAP + 1) / 72
    right = edge + (columns_width(columns, size) / 72 if columns else 0.12)
    names = fitted_names(arms, *room_for_names(left, width), size)
    body = max(body, PITCH * size * max((column.lines for column in columns), default=0) + 3)
    row = body + names.height + ABOVE if names.above else max(body, names.height + 5)
    header = (
        PITCH * size * max((len(column.header.split("\n")) for column in columns if column.header), default=0)
    )
    top = heading.height + (header + 4 * bool(header)) / 72 + 0.04
    height = max(len(arms), 1) * row / 72
    lines = axis_name_lines(x_name, room_below(left, width - left - right, width), size)
    sheet = Sheet(width, top + height + below_axes(len(lines), size) + edge)
    heading.draw(sheet)
    return sheet, sheet.axes(left, top, width - left - right, height)


class Rows:
    """Draw the rows of axes, from the top down in the order of the arms, with names and columns of text.

    Attributes:
        middle: The y of each row's body, by arm.
        body: The height of a body, in points.
        unit: The length of one point along y.
        size: The height of the text in points.
    """

    def __init__(
        self, ax: Axes, arms: Sequence[str], colours: Mapping[str, str], columns: Sequence[TextColumn] = ()
    ) -> None:
        width = figure_width(ax)
        self.ax, self.size = ax, text_size(width)
        left = float(ax.get_position().x0) * width
        self.names = fitted_names(arms, *room_for_names(left, width), self.size)
        self.inset = min(72 * (left - margin(width)), INSET)
        self.unit = max(len(arms), 1) / scales.size(ax)[1]
        self.body = 1 / self.unit - (self.names.height + ABOVE if self.names.above else 0)
        lowered = 0.5 * (1 - self.body * self.unit)
        self.middle = {arm: i + lowered for i, arm in enumerate(arms)}
        style.dress(ax, self.size).grid(False, axis="y")
        ax.set_ylim(max(len(arms), 1) - 0.5, -0.5)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        for arm in arms:
            self._write_name(arm, style.text_colour(colours[arm]))
        self._write_columns(columns)

    def _write_name(self, arm: str, colour: style.Colour) -> None:
        lines, pitch = self.names.lines[arm], PITCH * self.size
        for i, line in enumerate(lines):
            if self.names.above:
                up = self.body / 2 + pitch * (len(lines) - i - 0.5)
                self.write(arm, Cell(line, colour, box=True), 0, x=-self.inset, up=up)
            else:
                up = pitch * ((len(lines) - 1) / 2 - i)
                self.write(arm, Cell(line, colour, "right"), 0, x=-GAP, up=up)

    def _write_columns(self, columns: Sequence[TextColumn]) -> None:
        right, pitch = FIRST, PITCH * self.size
        for column in columns:
            for arm, text in column.cells.items():
                weight, lines = ("bold" if arm in column.bold else "normal"), text.split("\n")
                for i, line in enumerate(lines):
                    up = pitch * ((len(lines) - 1) / 2 - i)
                    self.write(arm, Cell(line, weight=weight), 1, x=right, up=up)
            for i, line in enumerate(reversed(column.header.split("\n"))):
                self.ax.annotate(
                    line,
                    (1, 1),
                    (right, 4 + pitch * i),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    size=self.size,
                    color=style.MUTED,
                    parse_math=False,
                )
            right += column.width(self.size) + APART

    def write(self, arm: str, cell: Cell, share: float, *, x: float = 0.0, up: float = 0.0) -> None:
        """Write one line of text in an arm's row.

        Args:
            arm: The label of the arm.
            cell: The text.
            share: The position, as a share of the axes' width from their left.
            x: Points to the right of that position.
            up: Points above the middle of the row.
        """
        self.ax.annotate(
            cell.text,
            (share, self.middle[arm]),
            (x, up),
            xycoords=self.ax.get_yaxis_transform(),
            textcoords="offset points",
            size=self.size,
            color=cell.colour,
            ha=cell.ha,
            va="center_baseline",
            weight=cell.weight,
            parse_math=False,
            zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if cell.box else None,
        )

    def cross(self, arm: str, colour: str) -> None:
        """Draw an × past the right edge of the axes, for seeds without a finite value.

        Args:
            arm: The label of the arm.
            colour: The colour of the ×.
        """
        past = ScaledTranslation(7 / 72, 0, self.ax.figure.dpi_scale_trans)
        look: dict[str, Any] = {
            "marker": "x",
            "markersize": 0.75 * self.size,
            "markeredgewidth": 1.5,
            "zorder": 7,
            "clip_on": False,
        }
        transform = self.ax.get_yaxis_transform() + past
        self.ax.plot(
            [1],
            [self.middle[arm]],
            color=colour,
            linestyle="none",
            transform=transform,
            label="_lost",
            **look,
        )

    def dots(self, arm: str, x: Floats, colour: str, *, up: float, room: float) -> None:
        """Draw a dot for each value, side by side if they would overlap.

        If there are too many values, some are drawn, evenly spread from the lowest to the highest.

        Args:
            arm: The label of the arm.
            x: The values, float[n].
            colour: The colour of the dots.
            up: Points from the middle of the row up to the middle of the dots.
            room: The height of the area for the dots, in points.
        """
        across = 0.5 * self.size
        x = x if len(x) <= style.DRAWN else np.sort(x)[style.spread(len(x))]
        offsets = beeswarm(scales.places(self.ax, x), across, room - across)
        y = self.middle[arm] - self.unit * (up + offsets)
        self.ax.plot(
            x,
            y,
            color=colour,
            linestyle="none",
            marker="o",
            markersize=across,
            markeredgecolor="white",
            markeredgewidth=0.4,
            alpha=0.9,
            zorder=5,
            clip_on=False,
        )
