"""Lay out the text around rows: names to the left or above, columns at the right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from . import style
from .layout import PITCH, fit, margin, name_lines

GAP, APART, FIRST = 6.0, 10.0, 17.0
"""Points between names and axes, between columns of text, and before the first of these."""

ABOVE, INSET = 8.0, 16.0
"""Points above a name that stands above its row, and how far it reaches to the left of the axes at most."""


@dataclass(frozen=True)
class Names:
    """Hold the names of the arms in lines.

    Attributes:
        lines: The lines of each name, by arm.
        above: Whether the names stand above their rows; else they stand to the left.
        size: The height of the text in points.
    """

    lines: dict[str, list[str]]
    above: bool
    size: float

    @property
    def width(self) -> float:
        """Return the width of the widest line, in points."""
        return max(
            (style.text_width(line, self.size) for lines in self.lines.values() for line in lines),
            default=0.0,
        )

    @property
    def height(self) -> float:
        """Return the height of the highest name, in points."""
        return PITCH * self.size * max(map(len, self.lines.values()), default=1)


@dataclass(frozen=True)
class TextColumn:
    """Hold a column of text at the right of the rows.

    Attributes:
        header: The header; it may have lines.
        cells: The text of some of the arms, by arm.
        bold: The arms whose text is bold.
    """

    header: str
    cells: Mapping[str, str]
    bold: Collection[str] = field(default=())

    def width(self, size: float) -> float:
        """Return the width in points.

        Args:
            size: The height of the text in points.
        """
        weights = {arm: "bold" if arm in self.bold else "normal" for arm in self.cells}
        cells = [
            style.text_width(line, size, weights[arm])
            for arm, cell in self.cells.items()
            for line in cell.split("\n")
        ]
        return max([*cells, *(style.text_width(line, size) for line in self.header.split("\n"))])

    @property
    def lines(self) -> int:
        """Return the number of lines of its highest text."""
        return max((cell.count("\n") + 1 for cell in self.cells.values()), default=0)


@dataclass(frozen=True)
class Cell:
    """Hold one line of text in a row; a ``box`` hides the lines behind it."""

    text: str
    colour: style.Colour = style.INK
    ha: str = "left"
    weight: str = "normal"
    box: bool = False


def fitted_names(arms: Sequence[str], beside: float, across: float, size: float) -> Names:
    """Fit names to the left of the rows if none is cut there, else above them.

    Args:
        arms: The names.
        beside: The greatest width of a name to the left of its row, which has two lines, in points.
        across: The greatest width of a name above its row, in points.
        size: The height of the text in points.
    """
    above = not fit(arms, beside, size)
    return Names({arm: name_lines(arm, across if above else beside, size) for arm in arms}, above, size)


def columns_width(columns: Sequence[TextColumn], size: float) -> float:
    """Return the distance from the right end of the axes to the right end of the last column, in points.

    Args:
        columns: The columns.
        size: The height of the text in points.
    """
    return FIRST - APART + sum(column.width(size) + APART for column in columns)


def room_for_names(left: float, width: float) -> tuple[float, float]:
    """Return the greatest width of a name to the left of the axes, and of one above its row, in points.

    Args:
        left: The left end of the axes in inches.
        width: The width of the figure in inches.
    """
    edge = margin(width)
    return 72 * (left - edge) - GAP, 72 * (width - left - edge) + min(72 * (left - edge), INSET)
