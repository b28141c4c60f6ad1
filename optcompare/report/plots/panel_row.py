"""Draw further panels in a row on the comparison plot, each with an explanation of its marks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import pandas as pd

from ...errors import USER_CODE_ERRORS
from . import scales, style
from .layout import below_axes, text_size
from .panel import Panel
from .scales import Limits
from .style import Sheet

T = TypeVar("T")

GAP, HEIGHT, LINE = 0.12, 2.2, 0.17
"""Inches: the space above captions and above axes, the height of the axes, and a line of a caption."""


class PanelRow:
    """Lay out and draw panels side by side on the comparison plot.

    Attributes:
        height: The height of the row in inches.
        caption: The explanations of all panels as text.
    """

    def __init__(
        self,
        wanted: Sequence[tuple[str, Panel, pd.DataFrame]],
        colours: Mapping[str, str],
        width: float = style.WIDTH,
        caption: bool = True,
    ) -> None:
        """Measure the panels; in a figure narrower than 6 inches they stand below each other.

        Args:
            wanted: The name of each panel, the panel and its table.
            colours: The colours by arm.
            width: The width of the figure in inches.
            caption: Whether the explanations are drawn.
        """
        self._wanted, self._colours = wanted, colours
        self._columns = len(wanted) if width >= 6 else 1
        self._cell, self._size = width / self._columns, text_size(width)
        room = 72 * (self._cell - style.LEFT - style.MARGIN)
        captions = [_or_else(panel.explanation, table, "") for _, panel, table in wanted]
        self.caption = "".join(
            f"\n{name}: {text}" for (name, _, _), text in zip(wanted, captions, strict=True) if text
        )
        self._captions = [
            style.folded(text, room, self._size) if text and caption else [] for text in captions
        ]
        self._above = GAP + LINE * max(map(len, self._captions)) + GAP
        self._high = min(HEIGHT, 0.75 * self._cell)
        self._pitch = self._above + self._high + below_axes(1, self._size) + 0.1
        self.height = self._pitch * math.ceil(len(wanted) / self._columns)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw the panels; a panel that fails is replaced by its error message.

        Args:
            sheet: The figure to draw on.
            top: The distance from its upper edge, in inches.
        """
        for i, (name, panel, table) in enumerate(self._wanted):
            limits = _or_else(panel.limits, table, Limits(0.0, 1.0, "linear"))
            left, (row, column) = scales.left_of(limits), divmod(i, self._columns)
            begin, across = column * self._cell + left, self._cell - left - style.MARGIN
            above = top + row * self._pitch + self._above
            ax = sheet.axes(begin, above, across, self._high)
            try:
                panel.draw(ax, table, self._colours)
            except USER_CODE_ERRORS as error:
                ax.clear()
                ax.set_axis_off()
                message = f"panel {name} failed: {type(error).__name__}: {error}"
                text = "\n".join(style.folded(message, 72 * across, self._size)[:6])
                ax.text(0.0, 0.5, text, size=self._size, color=style.MUTED, parse_math=False)
                continue
            ax.yaxis.set_label_coords((style.Y_NAME - left) / across, 0.5)
            caption = "\n".join(self._captions[i])
            if not caption:
                continue
            sheet.text(begin, above - GAP, caption, style.MUTED, self._size, va="bottom", linespacing=1.15)


def _or_else(method: Callable[[pd.DataFrame], T], table: pd.DataFrame, otherwise: T) -> T:
    """Call a method of a panel; return ``otherwise`` if it fails.

    An error in a plugin must not cost the whole figure.
    """
    try:
        return method(table)
    except USER_CODE_ERRORS:
        return otherwise
