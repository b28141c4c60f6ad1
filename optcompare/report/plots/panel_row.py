"""Panels in a row on the comparison plot, each with what is said of its marks."""

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
"""Inches: what stands free above the panels of a row and below their captions, their height, a line of a
caption.
"""


class PanelRow:
    """Panels side by side on the comparison plot; ``height`` is in inches."""

    def __init__(
        self,
        wanted: Sequence[tuple[str, Panel, pd.DataFrame]],
        colours: Mapping[str, str],
        width: float = style.WIDTH,
        caption: bool = True,
    ) -> None:
        """Measure them; in a figure narrower than 6 inches they stand below each other."""
        self._wanted, self._colours = wanted, colours
        self._columns = len(wanted) if width >= 6 else 1
        self._cell, self._size = width / self._columns, text_size(width)
        room = 72 * (self._cell - style.LEFT - style.MARGIN)
        captions = [_or_else(panel.said, table, "") for _, panel, table in wanted]
        self.caption = "".join(
            f"\n{name}: {said}" for (name, _, _), said in zip(wanted, captions, strict=True) if said
        )
        self._captions = [
            style.folded(text, room, self._size) if text and caption else [] for text in captions
        ]
        self._above = GAP + LINE * max(map(len, self._captions)) + GAP
        self._high = min(HEIGHT, 0.75 * self._cell)
        self._pitch = self._above + self._high + below_axes(1, self._size) + 0.1
        self.height = self._pitch * math.ceil(len(wanted) / self._columns)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draws them from ``top`` inches on; a panel that fails says so in its place."""
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
                said = style.folded(
                    f"panel {name} failed: {type(error).__name__}: {error}", 72 * across, self._size
                )
                ax.text(0.0, 0.5, "\n".join(said[:6]), size=self._size, color=style.MUTED, parse_math=False)
                continue
            ax.yaxis.set_label_coords((style.Y_NAME - left) / across, 0.5)
            caption = "\n".join(self._captions[i])
            if not caption:
                continue
            sheet.text(begin, above - GAP, caption, style.MUTED, self._size, va="bottom", linespacing=1.15)


def _or_else(ask: Callable[[pd.DataFrame], T], table: pd.DataFrame, otherwise: T) -> T:
    """What a panel says; a plugin's mistake must not cost the picture of a run."""
    try:
        return ask(table)
    except USER_CODE_ERRORS:
        return otherwise
