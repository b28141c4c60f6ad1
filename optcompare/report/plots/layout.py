"""Lay out what figures of any width share: text sizes, names in lines, and a heading."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import style
from .style import Sheet

PITCH = 1.2
"""The distance from one line of text to the next, in heights of the text."""
SHARE = 0.3
"""The greatest share of a figure's width for names next to the axes."""


def text_size(width: float) -> float:
    """Return the text size in points: 7 in a column of a paper (3.4 inches) to 9 on a slide (10 inches).

    Args:
        width: The width of the figure in inches.
    """
    return float(np.interp(width, (3.4, 10.0), (7.0, style.SMALL)))


def margin(width: float) -> float:
    """Return the margin around a figure, in inches.

    Args:
        width: The width of the figure in inches.
    """
    return min(style.MARGIN, 0.03 * width)


def figure_width(ax: Axes) -> float:
    """Return the width of the figure of the axes, in inches.

    Args:
        ax: The axes.
    """
    return float(ax.figure.bbox.transformed(ax.figure.dpi_scale_trans.inverted()).width)


def name_lines(name: str, width: float, size: float) -> list[str]:
    """Break a name into lines; a line that is still too wide is cut.

    Args:
        name: The name.
        width: The greatest width of a line in points.
        size: The height of the text in points.
    """
    lines = [name]
    for before in ("", "@", "@:", "@:_", "@:_,"):
        lines = style.folded(name, width, size, before=before)
        if not any("…" in line for line in lines):
            break
    return lines


def fit(names: Iterable[str], width: float, size: float) -> bool:
    """Return whether each name fits into two lines, without being cut.

    Args:
        names: The names.
        width: The greatest width of a line in points.
        size: The height of the text in points.
    """
    folded = (name_lines(name, width, size) for name in names)
    return width > 0 and all(len(lines) <= 2 and "…" not in "".join(lines) for lines in folded)


def name_x_axis(ax: Axes, text: str, size: float) -> None:
    """Write the name of the x axis in at most two lines per line of text; a third line is cut.

    Args:
        ax: The axes to draw on.
        text: The name.
        size: The height of the text in points.
    """
    width, box = figure_width(ax), ax.get_position()
    lines = axis_name_lines(text, room_below(float(box.x0) * width, float(box.width) * width, width), size)
    ax.xaxis.set_label_text("\n".join(lines), size=size, color=style.INK, parse_math=False)


def room_below(left: float, across: float, width: float) -> float:
    """Return the greatest width of a name that is centred below axes, in points.

    Args:
        left: The distance of the axes from the left edge of the figure, in inches.
        across: The width of the axes in inches.
        width: The width of the figure in inches.
    """
    middle = left + across / 2
    return 144 * (min(middle, width - middle) - margin(width))


def axis_name_lines(text: str, room: float, size: float, lines: int = 2) -> list[str]:
    """Break the name of an axis into lines.

    Args:
        text: The name; it may have lines already.
        room: The greatest width of a line in points.
        size: The height of the text in points.
        lines: The greatest number of lines for each line of ``text``.
    """
    shown: list[str] = []
    for part in text.split("\n"):
        folded = style.folded(part, room, size, before="@:")
        kept = folded[:lines]
        if len(folded) > lines:
            kept[-1] = style.shortened("".join([kept[-1], *folded[lines:]]), room, size)
        shown += kept
    return shown


def below_axes(lines: int, size: float) -> float:
    """Return the inches below axes that the names of the ticks and of the x axis need.

    Args:
        lines: The number of lines of the name of the axis.
        size: The height of the text in points.
    """
    return (8 + PITCH * size + (4 + 1.3 * lines * size if lines else 0)) / 72


class Heading:
    """Lay out and write a title in bold, if any, and an explanation below it.

    A heading that is not ``shown`` is only the figure's caption.

    Attributes:
        height: The distance from the upper edge of the figure to the end of the heading, in inches.
    """

    def __init__(self, width: float, title: str | None, explanation: str, shown: bool = True) -> None:
        self.text = "\n".join(filter(None, [title, explanation]))
        title, explanation = (title, explanation) if shown else (None, "")
        self.margin, self.size = margin(width), text_size(width)
        room = 72 * (width - 2 * self.margin)
        self.title = style.folded(title, room, self.size + 2, "bold") if title else []
        self.explanation = style.folded(explanation, room, self.size) if explanation else []
        lines = len(self.title) * (self.size + 2) + len(self.explanation) * self.size
        self.height = self.margin + (PITCH * lines + 4 * bool(self.title) + 5 * bool(lines)) / 72

    def draw(self, sheet: Sheet) -> None:
        """Write the heading, and keep it as the figure's caption.

        Args:
            sheet: The figure to draw on.
        """
        sheet.figure.caption = self.text
        top, large = 72 * self.margin, self.size + 2
        for line in self.title:
            sheet.text(
                self.margin, (top + large / 2) / 72, line, size=large, weight="bold", va="center_baseline"
            )
            top += PITCH * large
        top += 4 * bool(self.title)
        for line in self.explanation:
            sheet.text(
                self.margin, (top + self.size / 2) / 72, line, style.MUTED, self.size, va="center_baseline"
            )
            top += PITCH * self.size


def shown_arms(arms: Sequence[str], colours: Mapping[str, str]) -> list[str]:
    """Return the arms that are there, in the order of the comparison.

    Args:
        arms: The labels of the arms that are there.
        colours: The colours by arm, in the order of the comparison.
    """
    present = set(arms)
    return [arm for arm in colours if arm in present]


def by_arm(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the row of each arm as a dictionary by column.

    Args:
        table: One row for each arm.
    """
    return {
        str(row["arm"]): {str(name): value for name, value in row.items()} for row in table.to_dict("records")
    }


def counted(count: int, total: int, what: str) -> str:
    """Return a count with its total, such as '3 of 10 diverged'.

    Args:
        count: The number.
        total: The number of all.
        what: What is counted.
    """
    return f"{count:,} of {total:,} {what}"


def signed(value: float) -> str:
    """Return three significant digits with a sign; a minus is as wide as a plus.

    Args:
        value: Any number; '–' for NaN.
    """
    if math.isnan(value):
        return "–"
    return f"{value:+.3g}".replace("-", "−") if value else "0"
