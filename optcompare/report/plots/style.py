"""What the pictures share: colours and line styles by arm, measured text, places for names, ticks of log
axes.
"""

from __future__ import annotations

import math
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
Entry = tuple[str, Colour, dict[str, Any]]

INK, MUTED, GRID = "#222222", "#5F6368", "#E4E6E9"
LARGE, MEDIUM, SMALL = 13.0, 10.0, 9.0
"""Text sizes in points."""
WIDTH, MARGIN, LEFT = 10.0, 0.2, 0.8
"""Inches: the width of every figure, its margins, and where its leftmost axes begin."""
Y_NAME = 0.27
"""Inches from the left edge to the foot of the name of a y axis."""
X_TICKS, Y_TICKS = 5, 7
DRAWN = 200
"""The most seeds of an arm that are drawn one by one: more would be one grey area, and take minutes."""


@contextmanager
def plain() -> Iterator[None]:
    """Matplotlib's own defaults, whatever the caller's settings are, which come back afterwards.

    Their fonts are used for characters that DejaVu Sans lacks.
    """
    with matplotlib.rc_context():
        chosen = families()
        matplotlib.rcdefaults()
        matplotlib.rcParams["font.family"] = chosen
        yield


def text_colour(colour: str) -> tuple[float, float, float]:
    """The colour darkened, its hue kept, until text in it reads on white: contrast 4.5 to 1 (WCAG 2)."""
    rgb = np.array(to_rgb(colour))
    while 1.05 / (luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.97
    red, green, blue = rgb.tolist()
    return red, green, blue


def spread(count: int) -> NDArray[np.int64]:
    """The numbers below ``count``, or ``DRAWN`` of them, evenly spread from the first to the last."""
    return np.linspace(0, count - 1, min(count, DRAWN)).round().astype(np.int64)


def what_counts(columns: Iterable[Hashable]) -> str:
    """What an arm has several of, from the columns of a table: seeds, or trials where there are tuning
    repeats too.
    """
    return "trials" if "repeat" in set(columns) else "seeds"


def drawn(count: int, what: str = "seeds") -> str:
    """'seeds', or how many of them are drawn."""
    return what if count <= DRAWN else f"{DRAWN} of {count:,} {what}"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width in points of one line of text without mathematics, at any resolution from 72 dots an
    inch up.
    """
    return _width(text, size, weight, tuple(families()))


@lru_cache(maxsize=512)
def _width(text: str, size: float, weight: str, family: tuple[str, ...]) -> float:
    font = FontProperties(family=list(family), size=size, weight=weight)
    # Hinting rounds each letter to whole dots: at 72 to 100 dots an inch text grows by up to a twelfth.
    return 1.08 * float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def folded(text: str, width: float, size: float, weight: str = "normal", before: str = "") -> list[str]:
    """Text in lines of at most ``width`` points, broken after spaces and before the characters given.

    A piece that is wider than a line is cut and ends in an ellipsis.
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
    """The text, or as much of its beginning and end as fits ``width`` points around an ellipsis."""
    if text_width(text, size, weight) <= width:
        return text

    def cut(keep: int) -> str:
        return text[: (keep + 1) // 2] + "…" + text[len(text) - keep // 2 :]

    # The widest cut that fits: the cuts grow with what they keep.
    keep = bisect_right(range(len(text)), width, key=lambda keep: text_width(cut(keep), size, weight)) - 1
    return cut(max(keep, 0))


def dodge(targets: Sequence[float], heights: Sequence[float], low: float, high: float) -> Floats:
    """Centres of boxes of these heights between ``low`` and ``high``, without overlap, as near to their
    targets as they can be in the least-squares sense: isotonic regression on the targets less the heights
    below them.

    Of boxes with the same target the first stands on top. Boxes that together are too high start at ``low``.
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
    """Quiet axes: no box, a pale grid behind the lines, small ticks with names ``text`` points high;
    everything said outright, nothing left to draw time, when the caller's settings are back.
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
    """A figure whose parts are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Picture(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, share: Axes | None = None) -> Axes:
        """Axes of this size, with the y axis of ``share`` where given."""
        bottom = self.height - top - height
        rectangle = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(rectangle, sharey=share)

    def text(
        self, left: float, top: float, text: str, colour: Colour = INK, size: float = SMALL, **more: Any
    ) -> Text:
        """Text whose ``$`` and ``_`` mean themselves."""
        x, y = left / self.width, 1 - top / self.height
        return self.figure.text(x, y, text, color=colour, size=size, parse_math=False, **more)

    def line(self, left: Sequence[float], top: Sequence[float], **look: Any) -> None:
        """A line through these points, or a marker on each."""
        x, y = np.array(left) / self.width, 1 - np.array(top) / self.height
        self.figure.add_artist(Line2D(x, y, transform=self.figure.transFigure, **look))


KEY_ROW, KEY_HANDLE, KEY_GAP = 0.2, 0.36, 0.25
"""Inches: the height of a row of a key, the width of what stands before each of its texts, the gap after
each.
"""


def key_columns(texts: Sequence[str], width: float) -> list[float]:
    """The widths in inches of the columns in which a key of these texts fits ``width``; equal in more than
    one row.
    """
    each = [text_width(text, SMALL) / 72 + KEY_HANDLE + KEY_GAP for text in texts]
    if sum(each) - KEY_GAP <= width or not each:
        return each
    return [max(each)] * max(1, int((width + KEY_GAP) / max(each)))


def key_height(texts: Sequence[str], width: float) -> float:
    """The inches that :func:`draw_key` takes."""
    return math.ceil(len(texts) / len(key_columns(texts, width))) * KEY_ROW if texts else 0.0


def draw_key(sheet: Sheet, left: float, top: float, width: float, entries: Sequence[Entry]) -> None:
    """A legend in columns, read along its rows; an entry is its text, the text's colour, and its line's
    look.
    """
    columns = key_columns([text for text, _, _ in entries], width)
    for i, (text, colour, look) in enumerate(entries):
        row, column = divmod(i, len(columns))
        x, y = left + sum(columns[:column]), top + (row + 0.5) * KEY_ROW
        middle, end = x + (KEY_HANDLE - 0.06) / 2, x + KEY_HANDLE - 0.06
        ends = [x + KEY_HANDLE / 2] if look.get("linestyle") == "none" else [x, middle, end]
        sheet.line(ends, [y] * len(ends), **look)
        sheet.text(x + KEY_HANDLE, y, text, colour, va="center_baseline")
