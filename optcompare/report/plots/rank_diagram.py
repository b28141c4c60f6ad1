"""Draw mean ranks of arms across workloads, with their critical difference (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import scales, style
from .layout import PITCH, Heading, figure_width, fit, margin, name_lines, text_size
from .style import Sheet

BESIDE = 6.0
"""Points between the ends of a diagram's axis and the names."""


def cliques(ranks: Sequence[float], critical: float) -> list[tuple[float, float]]:
    """Find the largest groups of at least two arms no two of which differ by more than ``critical``.

    A bar over such a group shows that its arms do not differ significantly. A group within another is left
    out.

    Args:
        ranks: The mean ranks.
        critical: The critical difference.

    Returns:
        The lowest and the highest rank of each group, in order.
    """
    ordered, groups = sorted(ranks), list[tuple[float, float]]()
    last = -1
    for i, low in enumerate(ordered):
        j = max(k for k, high in enumerate(ordered) if high - low <= critical + 1e-9) if critical >= 0 else i
        if j > max(i, last):
            groups.append((low, ordered[j]))
            last = j
    return groups


@dataclass(frozen=True)
class Diagram:
    """Describe where the parts of a critical-difference diagram stand, in points below its axis.

    Attributes:
        sides: The names at the left, the best first, and at the right, the worst first, in lines.
        bars: Two ranks and a depth each.
        size: The height of the text in points.
    """

    sides: tuple[dict[str, list[str]], dict[str, list[str]]]
    bars: list[tuple[float, float, float]]
    size: float

    @classmethod
    def of(cls, ranks: pd.Series[float], critical: float, rooms: tuple[float, float], size: float) -> Diagram:
        """Lay out the diagram.

        Args:
            ranks: The mean rank of each arm; 1 is best.
            critical: The critical difference; NaN for none.
            rooms: The greatest width of names at the left and at the right, in points.
            size: The height of the text in points.
        """
        left, right = best_half(ranks)
        groups = cliques(ranks.to_list(), critical) if math.isfinite(critical) else []
        rows = scales.stacked(groups, 0.02 * len(ranks))
        bars = [(low, high, 7.0 + 5.5 * row) for (low, high), row in zip(groups, rows, strict=True)]
        lines = [
            {arm: name_lines(arm, room, size) for arm in arms}
            for arms, room in zip((left, right), rooms, strict=True)
        ]
        return cls((lines[0], lines[1]), bars, size)

    def depths(self, side: int) -> dict[str, float]:
        """Return the depth of the middle of each name.

        Args:
            side: 0 for the left, 1 for the right.
        """
        below, depths = self._first, {}
        for arm, lines in self.sides[side].items():
            depths[arm] = below + self._high(lines) / 2
            below += self._high(lines)
        return depths

    @property
    def height(self) -> float:
        """Return the points from the axis to below the last name."""
        return self._first + max(sum(map(self._high, side.values())) for side in self.sides)

    @property
    def _first(self) -> float:
        return max((depth for _, _, depth in self.bars), default=2.0) + 5

    def _high(self, lines: list[str]) -> float:
        return PITCH * self.size * len(lines) + 3


def best_half(ranks: pd.Series[float]) -> tuple[list[str], list[str]]:
    """Return the better half of the arms, the best first, and the others, the worst first.

    Args:
        ranks: The mean rank of each arm; 1 is best.
    """
    order = [str(arm) for arm in ranks.sort_values(kind="stable").index]
    half = (len(order) + 1) // 2
    return order[:half], order[half:][::-1]


def draw_ranks(ax: Axes, ranks: pd.Series[float], critical: float, colours: Mapping[str, str]) -> Axes:
    """Draw a critical-difference diagram (Demšar 2006): each arm at its mean rank, the best at the left.

    The names of the better half stand at the left, the others at the right. A bar joins arms whose ranks
    differ by no more than ``critical``, which is drawn as a ruler above the axis.

    Args:
        ax: The axes to draw on.
        ranks: The mean rank of each arm; 1 is best.
        critical: The critical difference; NaN for none.
        colours: The colours by arm.

    Returns:
        The axes.
    """
    width, box = figure_width(ax), ax.get_position()
    size, most = text_size(width), max(len(ranks), 2)
    ranks = ranks[[arm for arm in colours if arm in ranks.index]]
    rooms = (
        72 * (box.x0 * width - margin(width)) - BESIDE,
        72 * ((1 - box.x1) * width - margin(width)) - BESIDE,
    )
    diagram = Diagram.of(ranks, critical, rooms, size)
    style.dress(ax, size).grid(False)
    for edge, spine in ax.spines.items():
        spine.set_visible(edge == "top")
    ax.set(xlim=(1, most), ylim=(scales.size(ax)[1], 0.0), yticks=[])
    wide = style.text_width(str(most), size) + 4
    ticks = range(1, most + 1, math.ceil(wide * (most - 1) / scales.size(ax)[0]))
    ax.set_xticks(ticks, labels=[str(rank) for rank in ticks])
    ax.tick_params(axis="x", bottom=False, labelbottom=False, top=True, labeltop=True)
    for side in (0, 1):
        for arm, lines in diagram.sides[side].items():
            _draw_arm(ax, arm, lines, side, float(ranks[arm]), diagram.depths(side)[arm], colours[arm])
    reach = 0.008 * (most - 1)
    for low, high, depth in diagram.bars:
        ax.plot(
            [low - reach, high + reach],
            [depth] * 2,
            color=style.INK,
            linewidth=3,
            label="_bar",
            clip_on=False,
        )
    if math.isfinite(critical):
        _draw_ruler(ax, critical, most, size)
    return ax


def _draw_arm(
    ax: Axes, arm: str, lines: list[str], side: int, rank: float, depth: float, colour: str
) -> None:
    end, size = ax.get_xlim()[side], text_size(figure_width(ax))
    ax.plot([rank, rank, end], [0, depth, depth], color=colour, linewidth=1.2, clip_on=False, label=arm)
    ax.plot(
        [rank],
        [0],
        marker=style.marker(colour),
        markersize=0.5 * size,
        color=colour,
        clip_on=False,
        zorder=5,
        label="_rank",
    )
    for i, line in enumerate(lines):
        ax.annotate(
            line,
            (end, depth + PITCH * size * (i - (len(lines) - 1) / 2)),
            (BESIDE - 1 if side else 1 - BESIDE, 0),
            textcoords="offset points",
            annotation_clip=False,
            ha="left" if side else "right",
            va="center_baseline",
            size=size,
            color=style.text_colour(colour),
            parse_math=False,
        )


def _draw_ruler(ax: Axes, critical: float, most: int, size: float) -> None:
    """Draw the length of the critical difference above the axis; an arrow shows that it exceeds the axis."""
    up, end = -(PITCH * size + 11), min(1 + critical, most)
    look: dict[str, Any] = {"color": style.INK, "markersize": 6, "clip_on": False}
    ax.plot([1, end], [up, up], linewidth=1.2, label="_critical", **look)
    ax.plot([1], [up], marker="|", **look)
    ax.plot([end], [up], marker="|" if 1 + critical <= most else ">", **look)
    text = f"critical difference {critical:.2f}"
    ax.annotate(
        text, (1, up), (0, 5), textcoords="offset points", annotation_clip=False, size=size, color=style.INK
    )


def _sides(ranks: pd.Series[float], width: float, size: float) -> tuple[float, float]:
    """Return the widths for names at the left and at the right, in points.

    Each is about a third of the figure at most, and as small as possible without a name being cut or in more
    than two lines.
    """
    widths = []
    for arms in best_half(ranks):
        shares = (0.15, 0.2, 0.25, 0.31)[2 if width >= 5 else 0 :]
        room = next(
            (72 * share * width for share in shares if fit(arms, 72 * share * width, size)), 72 * 0.31 * width
        )
        lines = [name_lines(arm, room, size) for arm in arms]
        widths.append(max((style.text_width(line, size) for name in lines for line in name), default=0.0))
    return widths[0] + 0.1, widths[1] + 0.1


def ranks_figure(
    ranks: pd.Series[float],
    critical: float,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw the critical-difference diagram as a figure.

    Args:
        ranks: See :func:`draw_ranks`.
        critical: The critical difference; NaN for none.
        colours: The colours by arm.
        width: The width in inches.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    size, edge, bars = text_size(width), margin(width), math.isfinite(critical)
    ranks = ranks[[arm for arm in colours if arm in ranks.index]]
    text = "Mean rank of the median final loss over workloads, 1 is best."
    text += " A bar joins arms that differ by no more than the critical difference." if bars else ""
    rooms = _sides(ranks, width, size)
    left, right = (edge + (room + BESIDE) / 72 for room in rooms)
    height = Diagram.of(ranks, critical, rooms, size).height / 72
    with style.plain():
        heading = Heading(width, None, f"{text} {note}" if note else text, caption)
        top = heading.height + (2 * PITCH * size + 20 if bars else PITCH * size + 10) / 72
        sheet = Sheet(width, top + height + edge)
        heading.draw(sheet)
        draw_ranks(sheet.axes(left, top, width - left - right, height), ranks, critical, colours)
    return sheet.figure
