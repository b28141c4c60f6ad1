"""Lay out what figures of any width share: text sizes, names in lines, a heading, and a key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import scales, style
from .scales import Limits
from .style import Colour, Sheet

PITCH = 1.2
"""The distance from one line of text to the next, in heights of the text."""
HANDLE, COLUMNS_APART, ROWS_APART = 24.0, 14.0, 3.5
"""Points: the width of the sample line before a text of a key, and the gaps between columns and rows."""
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
        ax: The axes.
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
            sheet: The figure.
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


class Key:
    """Lay out and draw a legend: texts of one or more lines, in columns, read along the rows.

    If several columns fit with one line for each text, there are as many as fit, up to ``most``. Else there
    are as many as leave no text cut or in more than two lines, or a single one.
    """

    def __init__(self, texts: Mapping[str, str], width: float, size: float, most: int = 6) -> None:
        self.size = size
        most = max(1, min(most, len(texts)))
        widest = HANDLE + max((style.text_width(text, size) for text in texts.values()), default=0.0)
        in_one_line = min(most, int((72 * width + COLUMNS_APART) / (widest + COLUMNS_APART)))
        for columns in [in_one_line] if in_one_line > 1 else range(most, 0, -1):
            room = (72 * width - (columns - 1) * COLUMNS_APART) / columns - HANDLE
            if columns == 1 or fit(texts.values(), room, size):
                break
        self.columns, self.lines = (
            columns,
            {name: name_lines(text, room, size) for name, text in texts.items()},
        )
        widths = [style.text_width(line, size) for lines in self.lines.values() for line in lines]
        self.step = HANDLE + max(widths, default=0.0) + COLUMNS_APART
        entries = list(self.lines.values())
        rows = [entries[i : i + columns] for i in range(0, len(entries), columns)]
        self.heights = [PITCH * size * max(map(len, row)) + ROWS_APART for row in rows]

    @property
    def width(self) -> float:
        """Return the width in inches."""
        return (self.columns * self.step - COLUMNS_APART) / 72

    @property
    def height(self) -> float:
        """Return the height in inches."""
        return sum(self.heights) / 72

    def draw(
        self, sheet: Sheet, left: float, top: float, looks: Mapping[str, tuple[Colour, dict[str, Any]]]
    ) -> None:
        """Draw the key.

        Args:
            sheet: The figure.
            left: The distance of the key from the left edge, in inches.
            top: Its distance from the upper edge, in inches.
            looks: By text: its colour, and the look of its line.
        """
        for i, (name, lines) in enumerate(self.lines.items()):
            row, column = divmod(i, self.columns)
            x, y = (
                left + column * self.step / 72,
                top + (sum(self.heights[:row]) + PITCH * self.size / 2) / 72,
            )
            colour, look = looks[name]
            sheet.line([x, x + (HANDLE - 5) / 144, x + (HANDLE - 5) / 72], [y] * 3, **look)
            for line in lines:
                sheet.text(x + HANDLE / 72, y, line, colour, self.size, va="center_baseline")
                y += PITCH * self.size / 72


def keyed_sheet(
    heading: Heading,
    width: float,
    texts: Mapping[str, str],
    colours: Mapping[str, str],
    y: Limits,
    above: float = 0.0,
) -> tuple[Sheet, Axes]:
    """Make a figure with a heading, axes, and a key of the arms' lines.

    The key stands to the right of the axes if it is no higher than them and the figure is wider than a column
    of a paper, else below.

    Args:
        heading: The heading.
        width: The width of the figure in inches.
        texts: The text of each arm in the key.
        colours: The colours by arm.
        y: The limits of the y axis.
        above: The free space above the axes in inches.

    Returns:
        The figure and the axes.
    """
    height = min(1.4 + 0.2 * width, 3.2)
    size, edge, below = text_size(width), margin(width), below_axes(1, text_size(width))
    left = edge + (1.2 * size + 14 + scales.names_width(y, style.Y_TICKS, size)) / 72
    key = Key(texts, SHARE * width, size, most=1)
    beside = width >= 5 and key.height <= height and "…" not in str(key.lines)
    right = edge + 0.1 + (key.width + 0.1 if beside else 0.0)
    if not beside:
        key = Key(texts, width - left - edge, size)
        key = key if key.columns > 1 else Key(texts, width - 2 * edge, size)
    under = 0.0 if beside else key.height + 0.08
    top = heading.height + 0.08 + above
    sheet = Sheet(width, top + height + below + under + edge)
    heading.draw(sheet)
    ax = sheet.axes(left, top, width - left - right, height)
    looks = {arm: (style.text_colour(colours[arm]), style.sample(colours[arm])) for arm in texts}
    if beside:
        key.draw(sheet, width - right + 0.2, top, looks)
    else:
        from_left = left if key.width <= width - left - edge else edge
        key.draw(sheet, from_left, top + height + below + 0.08, looks)
    return sheet, ax


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
