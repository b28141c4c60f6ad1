"""What figures of any width share: the size of their text, names in lines, a heading, a key beside or below
axes.
"""

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
"""From one line of text to the next, in heights of the text."""
HANDLE, COLUMNS_APART, ROWS_APART = 24.0, 14.0, 3.5
"""Points: what stands before a text of a key, and what lies between its columns and its rows."""
SHARE = 0.3
"""The largest part of a figure's width that names beside the axes may take."""


def text_size(width: float) -> float:
    """Points, from 7 in a column of a paper (3.4 inches) to 9 on a page or slide (10 inches)."""
    return float(np.interp(width, (3.4, 10.0), (7.0, style.SMALL)))


def margin(width: float) -> float:
    """The inches left free around a figure of this width."""
    return min(style.MARGIN, 0.03 * width)


def figure_width(ax: Axes) -> float:
    """The width in inches of the figure that the axes stand on."""
    return float(ax.figure.bbox.transformed(ax.figure.dpi_scale_trans.inverted()).width)


def name_lines(name: str, width: float, size: float) -> list[str]:
    """A name in lines of at most ``width`` points, broken at as few kinds of places as will do; else cut."""
    lines = [name]
    for before in ("", "@", "@:", "@:_", "@:_,"):
        lines = style.folded(name, width, size, before=before)
        if not any("…" in line for line in lines):
            break
    return lines


def fit(names: Iterable[str], width: float, size: float) -> bool:
    """Whether all names can be written in two lines of ``width`` points, none of them cut."""
    lines = (name_lines(name, width, size) for name in names)
    return width > 0 and all(len(found) <= 2 and "…" not in "".join(found) for found in lines)


def name_x_axis(ax: Axes, text: str, size: float) -> None:
    """Names the x axis, in lines as long as the figure allows; a third line is cut."""
    width, box = figure_width(ax), ax.get_position()
    lines = axis_name_lines(text, room_below(float(box.x0) * width, float(box.width) * width, width), size)
    ax.xaxis.set_label_text("\n".join(lines), size=size, color=style.INK, parse_math=False)


def room_below(left: float, across: float, width: float) -> float:
    """The points that a name may take below axes that begin at ``left`` inches, in the middle of which it
    stands.
    """
    middle = left + across / 2
    return 144 * (min(middle, width - middle) - margin(width))


def axis_name_lines(text: str, room: float, size: float, lines: int = 2) -> list[str]:
    """The name of an axis of ``room`` points in at most so many lines, but one for each that it has
    already.
    """
    found: list[str] = []
    for part in text.split("\n"):
        folded = style.folded(part, room, size, before="@:")
        kept = folded[:lines]
        if len(folded) > lines:
            kept[-1] = style.shortened("".join([kept[-1], *folded[lines:]]), room, size)
        found += kept
    return found


def below_axes(lines: int, size: float) -> float:
    """The inches that the names of an x axis, of so many lines, and of its ticks need below it."""
    return (8 + PITCH * size + (4 + 1.3 * lines * size if lines else 0)) / 72


class Heading:
    """A title in bold, if any, and below it what the marks mean; ``height`` inches from the upper edge of a
    figure.

    Where it is not ``shown`` it is the figure's caption alone.
    """

    def __init__(self, width: float, title: str | None, said: str, shown: bool = True) -> None:
        self.text = "\n".join(filter(None, [title, said]))
        title, said = (title, said) if shown else (None, "")
        self.margin, self.size = margin(width), text_size(width)
        room = 72 * (width - 2 * self.margin)
        self.title = style.folded(title, room, self.size + 2, "bold") if title else []
        self.said = style.folded(said, room, self.size) if said else []
        lines = len(self.title) * (self.size + 2) + len(self.said) * self.size
        self.height = self.margin + (PITCH * lines + 4 * bool(self.title) + 5 * bool(lines)) / 72

    def draw(self, sheet: Sheet) -> None:
        """Write it line by line, and keep it as the figure's caption."""
        sheet.figure.caption = self.text
        top, large = 72 * self.margin, self.size + 2
        for line in self.title:
            sheet.text(
                self.margin, (top + large / 2) / 72, line, size=large, weight="bold", va="center_baseline"
            )
            top += PITCH * large
        top += 4 * bool(self.title)
        for line in self.said:
            sheet.text(
                self.margin, (top + self.size / 2) / 72, line, style.MUTED, self.size, va="center_baseline"
            )
            top += PITCH * self.size


class Key:
    """A legend that fits ``width`` inches: texts that may take several lines, in columns, read along the
    rows.

    There are at most ``most`` columns: as many as leave each text in one line, if those are several, else as
    many as leave no text cut and none in more than two lines. One column takes anything.
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
        widths = [style.text_width(line, size) for found in self.lines.values() for line in found]
        self.step = HANDLE + max(widths, default=0.0) + COLUMNS_APART
        entries = list(self.lines.values())
        rows = [entries[i : i + columns] for i in range(0, len(entries), columns)]
        self.heights = [PITCH * size * max(map(len, row)) + ROWS_APART for row in rows]

    @property
    def width(self) -> float:
        """Inches."""
        return (self.columns * self.step - COLUMNS_APART) / 72

    @property
    def height(self) -> float:
        """Inches."""
        return sum(self.heights) / 72

    def draw(
        self, sheet: Sheet, left: float, top: float, looks: Mapping[str, tuple[Colour, dict[str, Any]]]
    ) -> None:
        """Draws it from its upper left corner on; ``looks`` are the text's colour and its line's look."""
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
    """A figure with a heading, axes with ``above`` inches free above them, and a key of the arms' lines:
    beside the axes where it is no higher than they and the figure is no column of a paper, else below.
    Returns sheet and axes.
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
    """The arms that are there, in the order of the colours, which is that of the comparison."""
    there = set(arms)
    return [arm for arm in colours if arm in there]


def by_arm(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The row of each arm, by the names of its columns."""
    return {
        str(row["arm"]): {str(name): value for name, value in row.items()} for row in table.to_dict("records")
    }


def counted(count: int, total: int, what: str) -> str:
    """'3 of 10 diverged'."""
    return f"{count:,} of {total:,} {what}"


def signed(value: float) -> str:
    """Three significant digits with a sign that is as wide as a plus."""
    if math.isnan(value):
        return "–"
    return f"{value:+.3g}".replace("-", "−") if value else "0"
