"""The row of panels on the comparison plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import pandas as pd

from ...errors import RAISED
from . import scales, style
from .layout import below_axes
from .panel import Panel
from .scales import Limits
from .style import Sheet

T = TypeVar("T")
GAP, HEIGHT, LINE = 0.12, 2.2, 0.17
"""Inches: what stands free above the panels of a row and below their captions, their height, a line of a caption."""


class PanelRow:
    """Panels side by side on the comparison plot; ``height`` is in inches."""

    def __init__(self, wanted: Sequence[tuple[str, Panel, pd.DataFrame]], colours: Mapping[str, str]) -> None:
        self._wanted, self._colours = wanted, colours
        self._cell = style.WIDTH / len(wanted)
        room = 72 * (self._cell - style.LEFT - style.MARGIN)
        captions = [_or_else(panel.said, table, "") for _, panel, table in wanted]
        self._captions = [style.folded(text, room, style.SMALL) if text else [] for text in captions]
        self._above = GAP + LINE * max(map(len, self._captions)) + GAP
        self.height = self._above + HEIGHT + below_axes(1, style.SMALL) + 0.1

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draws them from ``top`` inches on; a panel that fails says so in its place."""
        for i, (name, panel, table) in enumerate(self._wanted):
            limits = _or_else(panel.limits, table, Limits(0.0, 1.0, "linear"))
            left = scales.left_of(limits)
            begin, across = i * self._cell + left, self._cell - left - style.MARGIN
            ax = sheet.axes(begin, top + self._above, across, HEIGHT)
            try:
                panel.draw(ax, table, self._colours)
            except RAISED as error:
                ax.clear()
                ax.set_axis_off()
                said = style.folded(f"panel {name} failed: {type(error).__name__}: {error}", 72 * across, style.SMALL)
                ax.text(0.0, 0.5, "\n".join(said[:6]), size=style.SMALL, color=style.MUTED, parse_math=False)
                continue
            ax.yaxis.set_label_coords((style.Y_NAME - left) / across, 0.5)
            caption = "\n".join(self._captions[i])
            if not caption:
                continue
            sheet.text(begin, top + self._above - GAP, caption, style.MUTED, va="bottom", linespacing=1.15)


def _or_else(ask: Callable[[pd.DataFrame], T], table: pd.DataFrame, otherwise: T) -> T:
    """What a panel says; a plugin's mistake must not cost the picture of a run."""
    try:
        return ask(table)
    except RAISED:
        return otherwise
