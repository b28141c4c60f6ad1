"""Draw keys: the looks of lines with their texts, below a heading, below axes or to the right of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from . import scales, style
from .layout import PITCH, SHARE, Heading, below_axes, fit, margin, name_lines, text_size
from .scales import Limits
from .style import SMALL, Colour, Sheet, text_width

Entry = tuple[str, Colour, dict[str, Any]]

HANDLE, COLUMNS_APART, ROWS_APART = 24.0, 14.0, 3.5
"""Points: the width of the sample line before a text of a key, and the gaps between columns and rows."""

KEY_ROW, KEY_HANDLE, KEY_GAP = 0.2, 0.36, 0.25
"""Inches: the height of a row of a key, the width of the sample line before a text, the gap after a text."""


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
            sheet: The figure to draw on.
            left: The distance of the key from the left edge, in inches.
            top: The distance of the key from the upper edge, in inches.
            looks: The colour and the line style of each text.
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


def key_columns(texts: Sequence[str], width: float) -> list[float]:
    """Return the widths of the columns of a key, in inches; they are equal if there is more than one row.

    Args:
        texts: The texts of the key.
        width: The greatest width of the key in inches.
    """
    each = [text_width(text, SMALL) / 72 + KEY_HANDLE + KEY_GAP for text in texts]
    if sum(each) - KEY_GAP <= width or not each:
        return each
    return [max(each)] * max(1, int((width + KEY_GAP) / max(each)))


def key_height(texts: Sequence[str], width: float) -> float:
    """Return the height of a key in inches.

    Args:
        texts: The texts of the key.
        width: The greatest width of the key in inches.
    """
    return math.ceil(len(texts) / len(key_columns(texts, width))) * KEY_ROW if texts else 0.0


def draw_key(sheet: Sheet, left: float, top: float, width: float, entries: Sequence[Entry]) -> None:
    """Draw a legend in columns, read along its rows.

    Args:
        sheet: The figure to draw on.
        left: The distance from the left edge in inches.
        top: The distance from the upper edge in inches.
        width: The greatest width in inches.
        entries: A text, its colour, and the look of its line each.
    """
    columns = key_columns([text for text, _, _ in entries], width)
    for i, (text, colour, look) in enumerate(entries):
        row, column = divmod(i, len(columns))
        x, y = left + sum(columns[:column]), top + (row + 0.5) * KEY_ROW
        middle, end = x + (KEY_HANDLE - 0.06) / 2, x + KEY_HANDLE - 0.06
        ends = [x + KEY_HANDLE / 2] if look.get("linestyle") == "none" else [x, middle, end]
        sheet.line(ends, [y] * len(ends), **look)
        sheet.text(x + KEY_HANDLE, y, text, colour, va="center_baseline")
