"""Draw the part of the comparison plot with the path of each arm on separate axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from . import key, scales, style
from .contours import SHADES
from .path_tables import arm_path, extent, loss_grid, minimum, within
from .paths import END, LEAVES, LOWEST, START, draw_paths
from .scales import Limits
from .style import Sheet

GAP, MAP, LINE = 0.25, 2.4, 0.165
"""Inches: the gap between two maps in a row, the height of a map, and that of a line of its title."""
HEADING, BETWEEN, BELOW = 0.12, 0.12, 0.52
"""Inches: the space below the key of the heading, between two rows of maps, and below the last row."""


class Maps:
    """Lay out and draw one map for each arm, all of the same extent, below a heading that explains the marks.

    Attributes:
        height: The height of heading and maps, in inches.
        caption: The explanation as text.
    """

    def __init__(self, paths: pd.DataFrame, colours: Mapping[str, str], width: float = style.WIDTH) -> None:
        self.paths, self.colours = paths, colours
        self.columns = max(1, min(_columns(len(colours)), int(width / 2.0)))
        (_, low), (_, high) = extent(paths)
        self.left = scales.left_of(Limits(float(low), float(high), "linear"))
        self.width = (width - self.left - style.MARGIN - (self.columns - 1) * GAP) / self.columns
        self.titles = {
            arm: style.folded(self._title(arm), 72 * self.width, style.SMALL, before="@:") for arm in colours
        }
        self.above = 0.1 + LINE * max(len(lines) for lines in self.titles.values())
        self.rows = math.ceil(len(colours) / self.columns)
        seed = int(paths.loc[paths["kind"] == "path", "seed"].min())
        repeat = f", tuning repeat {paths['repeat'].min()}" if "repeat" in paths else ""
        self.text = f"Path of the weights, seed {seed}{repeat}"
        updates = "; ".join(map(self._title, colours)).replace("\u00a0", " ")
        self.caption = f"{self.text}. {updates}."
        self.key = self._key()
        # In a narrow figure the key stands below the heading.
        self.below = width < style.WIDTH
        beside = style.MARGIN + style.text_width(self.text, style.MEDIUM, "bold") / 72 + 0.35
        self.key_left = style.MARGIN if self.below else beside
        self.key_width = width - self.key_left - style.MARGIN
        self.heading = (
            HEADING + 0.22 * self.below + key.key_height([text for text, _, _ in self.key], self.key_width)
        )
        self.height = self.heading + self.rows * (self.above + MAP) + (self.rows - 1) * BETWEEN + BELOW

    def _key(self) -> list[key.Entry]:
        """Return the key of the marks that are drawn."""
        low, high = extent(self.paths)
        leaves = [within(arm_path(self.paths, arm), low, high)[1] for arm in self.colours]
        marks: dict[str, dict[str, Any]] = {"start": START}
        if not all(leaves):
            marks["last update"] = END
        if any(leaves):
            marks["leaves the frame"] = {"marker": (3, 0, -90), **LEAVES}
        if minimum(self.paths) is not None:
            marks["minimum of the loss"] = LOWEST
        if loss_grid(self.paths)[2].size:
            marks["darker: higher loss"] = {"marker": "s", "markersize": 9.0, "markerfacecolor": SHADES(1.0)}
        return [
            (text, style.MUTED, {"color": style.MUTED, "linestyle": "none", **look})
            for text, look in marks.items()
        ]

    def _title(self, arm: str) -> str:
        points, (low, high) = arm_path(self.paths, arm), extent(self.paths)
        inside = np.all((points[-1] >= low) & (points[-1] <= high))
        return f"{arm}, {len(points) - 1}\u00a0updates" + ("" if inside else ", ends\u00a0outside")

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw the heading and the maps.

        Args:
            sheet: The figure to draw on.
            top: The distance from its upper edge, in inches.
        """
        sheet.text(style.MARGIN, top + 0.1, self.text, size=style.MEDIUM, weight="bold", va="center_baseline")
        key.draw_key(sheet, self.key_left, top + 0.22 * self.below, self.key_width, self.key)
        for i, (arm, colour) in enumerate(self.colours.items()):
            row, column = divmod(i, self.columns)
            x = self.left + column * (self.width + GAP)
            y = top + self.heading + self.above + row * (self.above + MAP + BETWEEN)
            ax = draw_paths(sheet.axes(x, y, self.width, MAP), self.paths, {arm: colour})
            title = "\n".join(self.titles[arm])
            sheet.text(x, y - 0.06, title, style.text_colour(colour), va="bottom", linespacing=1.15)
            ax.yaxis.set_label_coords((style.Y_NAME - self.left) / self.width, 0.5)
            if column:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if i + self.columns < len(self.colours):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False)


def _columns(count: int) -> int:
    """Return the number of maps in a row that leaves the fewest gaps in the last row.

    There are at most 4 maps in a row, or 5 if there are many.
    """
    wide = [4, 3] if count < 9 else [4, 3, 5]
    return count if count <= 4 else min(wide, key=lambda columns: -count % columns / columns)
