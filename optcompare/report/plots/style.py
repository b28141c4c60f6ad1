"""Provide what all figures share: text sizes, measured text, boxes without overlap, plain axes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from .fonts import families
from .looks import DASHES as DASHES
from .looks import PALETTE as PALETTE
from .looks import Dashes as Dashes
from .looks import arm_colours as arm_colours
from .looks import dashes as dashes
from .looks import line_styles as line_styles
from .looks import luminance
from .looks import marker as marker
from .looks import sample as sample
from .picture import Picture

Colour = str | tuple[float, float, float]
Floats = NDArray[np.float64]

INK, MUTED, GRID = "#222222", "#5F6368", "#E4E6E9"
LARGE, MEDIUM, SMALL = 13.0, 10.0, 9.0
"""Text sizes in points."""
WIDTH, MARGIN, LEFT = 10.0, 0.2, 0.8
"""Inches: the full width of a figure, its margins, and the left end of its leftmost axes."""
Y_NAME = 0.27
"""Inches from the left edge to the base line of the name of a y axis."""
X_TICKS, Y_TICKS = 5, 7
DRAWN = 200
"""The largest number of drawn seeds of an arm: more would be one grey area, and take minutes."""


@contextmanager
def plain() -> Iterator[None]:
    """Use matplotlib's default settings, and restore the caller's settings afterwards.

    Fonts of the caller's settings are used for characters that DejaVu Sans lacks.
    """
    with matplotlib.rc_context():
        chosen = families()
        matplotlib.rcdefaults()
        matplotlib.rcParams["font.family"] = chosen
        yield


def text_colour(colour: str) -> tuple[float, float, float]:
    """Darken a colour, with its hue kept, until text in it is readable on white: contrast 4.5 to 1 (WCAG 2).

    Args:
        colour: A colour of matplotlib.
    """
    rgb = np.array(to_rgb(colour))
    while 1.05 / (luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.97
    red, green, blue = rgb.tolist()
    return red, green, blue


def spread(count: int) -> NDArray[np.int64]:
    """Return the numbers below ``count``, or ``DRAWN`` of them, evenly spread from the first to the last.

    Args:
        count: The number of items.

    Returns:
        int64[k].
    """
    return np.linspace(0, count - 1, min(count, DRAWN)).round().astype(np.int64)


def what_counts(columns: Iterable[Hashable]) -> str:
    """Return the word for the repetitions of an arm: seeds, or trials if there are tuning repeats too.

    Args:
        columns: The columns of a table.
    """
    return "trials" if "repeat" in set(columns) else "seeds"


def drawn(count: int, what: str = "seeds") -> str:
    """Return the word alone, such as 'seeds', or how many are drawn, such as '200 of 1,000 seeds'.

    Args:
        count: The number of trials.
        what: The word to count, such as 'seeds'.
    """
    return what if count <= DRAWN else f"{DRAWN} of {count:,} {what}"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line of text without mathematics, in points.

    It holds at any resolution from 72 dots per inch.

    Args:
        text: The line.
        size: The height of the text in points.
        weight: ``normal`` or ``bold``.
    """
    return _width(text, size, weight, tuple(families()))


@lru_cache(maxsize=512)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    # Hinting rounds each letter to whole dots: at 72 to 100 dots an inch text grows by up to a twelfth.
    return 1.08 * float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def folded(text: str, width: float, size: float, weight: str = "normal", before: str = "") -> list[str]:
    """Break text into lines, after spaces and before the given characters.

    A piece that is wider than a line is cut around an ellipsis.

    Args:
        text: The text.
        width: The greatest width of a line in points.
        size: The height of the text in points.
        weight: ``normal`` or ``bold``.
        before: The characters before which the text may be broken.
    """
    pieces, begin = [], 0
    for i in range(1, len(text)):
        if text[i] in before or text[i - 1] == " ":
            pieces.append(text[begin:i])
            begin = i
    lines = [""]
    for piece in [*pieces, text[begin:]]:
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), size, weight) > width:
            lines.append("")
        lines[-1] += piece
    return [shortened(line.rstrip(), width, size, weight) for line in lines]


def shortened(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Return the text, or as much of its beginning and end as fits around an ellipsis.

    Args:
        text: The text.
        width: The greatest width in points.
        size: The height of the text in points.
        weight: ``normal`` or ``bold``.
    """
    if text_width(text, size, weight) <= width:
        return text

    def cut(keep: int) -> str:
        return text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]

    # The widest cut that fits: the cuts grow with what they keep.
    keep = bisect_right(range(len(text)), width, key=lambda keep: text_width(cut(keep), size, weight)) - 1
    return cut(max(keep, 0))


def dodge(targets: Sequence[float], heights: Sequence[float], low: float, high: float) -> Floats:
    """Place boxes without overlap, as near to their targets as possible in the least-squares sense.

    This is isotonic regression on the targets minus the heights of the boxes below.

    Args:
        targets: The wanted centre of each box; of boxes with the same target the first stands on top.
        heights: The height of each box.
        low: The lower end of the range of all boxes.
        high: The upper end. Boxes that are too high together start at ``low``.

    Returns:
        The centres, float[n].
    """
    order = sorted(range(len(targets)), key=lambda i: (targets[i], -i))
    height = np.array([heights[i] for i in order])
    below = np.cumsum(height) - height / 2
    blocks: list[tuple[float, int]] = []
    for free in np.array([targets[i] for i in order]) - below:
        mean, count = float(free), 1
        while blocks and blocks[-1][0] > mean:
            other, n = blocks.pop()
            mean, count = (mean * count + other * n) / (count + n), count + n
        blocks.append((mean, count))
    shifts = np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
    shifts = np.maximum(np.minimum(shifts, high - height.sum()), low)
    centres = np.empty(len(order))
    centres[order] = shifts + below
    return centres


def dress(ax: Axes, text: float = SMALL) -> Axes:
    """Give axes a plain look: no box, a pale grid behind the lines, small ticks.

    Everything is set explicitly, since axes may be drawn when the caller's settings are restored.

    Args:
        ax: The axes to draw on.
        text: The height of the tick names in points.

    Returns:
        The axes.
    """
    ax.set_facecolor("white")
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    ax.tick_params(
        which="both",
        direction="out",
        color=MUTED,
        labelcolor=INK,
        labelsize=text,
        width=0.8,
        pad=3,
        bottom=True,
        left=True,
        top=False,
        right=False,
    )
    ax.tick_params(which="major", length=3.5)
    ax.tick_params(which="minor", length=2)
    ax.grid(True, which="major", color=GRID, linewidth=0.8, linestyle="solid", alpha=1)
    return ax


class Sheet:
    """Hold a figure whose parts are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Picture(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, share: Axes | None = None) -> Axes:
        """Add axes.

        Args:
            left: Their distance from the left edge in inches.
            top: Their distance from the upper edge in inches.
            width: Their width in inches.
            height: Their height in inches.
            share: Axes with which they share the y axis.
        """
        bottom = self.height - top - height
        rectangle = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(rectangle, sharey=share)

    def text(
        self, left: float, top: float, text: str, colour: Colour = INK, size: float = SMALL, **more: Any
    ) -> Text:
        """Write text, in which ``$`` and ``_`` have no special meaning.

        Args:
            left: The distance from the left edge in inches.
            top: The distance from the upper edge in inches.
            text: The text.
            colour: The colour.
            size: The height of the text in points.
            **more: Options of matplotlib's text.
        """
        x, y = left / self.width, 1 - top / self.height
        return self.figure.text(x, y, text, color=colour, size=size, parse_math=False, **more)

    def line(self, left: Sequence[float], top: Sequence[float], **look: Any) -> None:
        """Draw a line through points, or a marker on each.

        Args:
            left: The distance of each point from the left edge in inches.
            top: The distance of each point from the upper edge, in inches.
            **look: Options of matplotlib's line.
        """
        x, y = np.array(left) / self.width, 1 - np.array(top) / self.height
        self.figure.add_artist(Line2D(x, y, transform=self.figure.transFigure, **look))
