"""Arms across workloads: performance profiles (AlgoPerf), and mean ranks with their critical difference
(Demšar).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from . import scales, style
from .layout import (
    PITCH,
    Heading,
    figure_width,
    fit,
    keyed_sheet,
    margin,
    name_lines,
    name_x_axis,
    shown_arms,
    text_size,
)
from .scales import Limits
from .style import Floats, Sheet

LONGEST, WIDE = 4.0, 10.0
"""The ratios to the best arm up to which profiles are scored, and beyond which their axis is logarithmic."""
SHARES = Limits(-0.04, 1.04, "linear")
BESIDE = 6.0
"""Points between the ends of a diagram's axis and the names."""


def steps(profile: pd.DataFrame, arm: str, end: float = LONGEST) -> Floats:
    """An arm's profile from ratio 1 to ``end`` as float[n, 2]: each share holds from its ratio to the next
    one's.
    """
    rows = profile[profile["arm"] == arm].sort_values("ratio", kind="stable")
    points = rows[["ratio", "share"]].to_numpy(float)
    points = points[points[:, 0] < end]
    if not len(points) or points[0, 0] > 1:
        points = np.vstack([[1.0, 0.0], points])
    return np.vstack([points, [end, points[-1, 1]]])


def area(points: Floats) -> float:
    """The score of a profile: its integral over ratios 1 to 4 divided by 3, exact for the step curve."""
    return float(np.diff(points[:, 0]) @ points[:-1, 1]) / (LONGEST - 1)


def ratio_limits(profile: pd.DataFrame, arms: Sequence[str]) -> Limits:
    """From 1 to a little beyond the last step of these arms: no curve changes after it."""
    last = max([1.1, *profile.loc[profile["arm"].isin(arms), "ratio"]])
    if last > WIDE:
        return Limits(1.0, last**1.05, "log")
    return Limits(1.0, 1 + 1.05 * (last - 1), "linear")


def draw_profile(
    ax: Axes, profile: pd.DataFrame, colours: Mapping[str, str], *, unit: str = "samples"
) -> Axes:
    """Draws, for each arm, on what share of workloads its ``unit`` to the goal are at most so many times the
    best's.

    ``profile`` holds arm, ratio and share, the breakpoints of each arm's step curve. Curves that coincide are
    drawn slightly below each other, no further apart than their lines are wide.
    """
    size, arms = text_size(figure_width(ax)), shown_arms(list(profile["arm"]), colours)
    style.dress(ax, size)
    across = ratio_limits(profile, arms)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", SHARES, size)
    dashes, width = style.line_styles(colours), 1.8 if len(arms) <= 6 else 1.3
    for i, arm in enumerate(arms):
        lowered = (i - (len(arms) - 1) / 2) * min(width, 8 / max(len(arms) - 1, 1)) / 72
        ax.plot(
            *steps(profile, arm, across.high).T,
            drawstyle="steps-post",
            color=colours[arm],
            linestyle=dashes[arm],
            linewidth=width,
            marker=style.marker(colours[arm]),
            markersize=4.5,
            markeredgewidth=0,
            markevery=(0.02 + 0.04 * (i % 4), 0.2),
            label=arm,
            transform=ax.transData + ScaledTranslation(0, -lowered, ax.figure.dpi_scale_trans),
            clip_on=False,
        )
    name_x_axis(ax, f"{unit} to the goal, ratio to the best arm", size)
    ax.set_ylabel("share of workloads", size=size, color=style.INK)
    return ax


def profile_figure(
    profile: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    unit: str = "samples",
    title: str | None = None,
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """The performance profile as one figure, ``width`` inches wide, with each arm's score in its name."""
    arms = shown_arms(list(profile["arm"]), colours)
    texts = {arm: f"{arm}: {area(steps(profile, arm)):.2f}" for arm in arms}
    said = "After each name its score: the mean of its profile over ratios 1 to\u00a04, at\u00a0most\u00a01."
    with style.plain():
        heading = Heading(width, title, f"{said} {note}" if note else said, caption)
        sheet, ax = keyed_sheet(heading, width, texts, colours, SHARES)
        draw_profile(ax, profile, colours, unit=unit)
    return sheet.figure


def cliques(ranks: Sequence[float], critical: float) -> list[tuple[float, float]]:
    """The largest groups of at least two arms no two of which differ by more than ``critical``: their ends,
    in order.

    A bar over such a group says that its arms cannot be told apart; a group within another is left out.
    """
    ordered, found = sorted(ranks), list[tuple[float, float]]()
    last = -1
    for i, low in enumerate(ordered):
        j = max(k for k, high in enumerate(ordered) if high - low <= critical + 1e-9) if critical >= 0 else i
        if j > max(i, last):
            found.append((low, ordered[j]))
            last = j
    return found


@dataclass(frozen=True)
class Diagram:
    """Where the parts of a critical-difference diagram stand, in points below its axis.

    ``sides`` are the names at its left, the best first, and at its right, the worst first, in lines; ``bars``
    have two ranks and a depth.
    """

    sides: tuple[dict[str, list[str]], dict[str, list[str]]]
    bars: list[tuple[float, float, float]]
    size: float

    @classmethod
    def of(cls, ranks: pd.Series[float], critical: float, rooms: tuple[float, float], size: float) -> Diagram:
        """The diagram for names of at most so many points at the left and at the right."""
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
        """The middle of each name."""
        below, found = self._first, {}
        for arm, lines in self.sides[side].items():
            found[arm] = below + self._high(lines) / 2
            below += self._high(lines)
        return found

    @property
    def height(self) -> float:
        """From the axis to below the last name."""
        return self._first + max(sum(map(self._high, side.values())) for side in self.sides)

    @property
    def _first(self) -> float:
        return max((depth for _, _, depth in self.bars), default=2.0) + 5

    def _high(self, lines: list[str]) -> float:
        return PITCH * self.size * len(lines) + 3


def best_half(ranks: pd.Series[float]) -> tuple[list[str], list[str]]:
    """The better half of the arms, the best first, and the others, the worst first."""
    order = [str(arm) for arm in ranks.sort_values(kind="stable").index]
    half = (len(order) + 1) // 2
    return order[:half], order[half:][::-1]


def draw_ranks(ax: Axes, ranks: pd.Series[float], critical: float, colours: Mapping[str, str]) -> Axes:
    """Draws a critical-difference diagram (Demšar 2006): each arm at its mean rank, 1 is best, at the left.

    ``ranks`` is indexed by arm. Names stand at the left for the better half and at the right for the others.
    A bar joins arms whose ranks differ by no more than ``critical``, whose length stands above the axis; NaN
    for none.
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
    """The length of the critical difference, above the axis from its left end on; an arrow where it is
    longer.
    """
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
    """The points that names need at the left and at the right: as few as leave none cut or in more than two
    lines, or else about a third of the width each.
    """
    found = []
    for arms in best_half(ranks):
        shares = (0.15, 0.2, 0.25, 0.31)[2 if width >= 5 else 0 :]
        room = next(
            (72 * share * width for share in shares if fit(arms, 72 * share * width, size)), 72 * 0.31 * width
        )
        lines = [name_lines(arm, room, size) for arm in arms]
        found.append(max((style.text_width(line, size) for name in lines for line in name), default=0.0))
    return found[0] + 0.1, found[1] + 0.1


def ranks_figure(
    ranks: pd.Series[float],
    critical: float,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    title: str | None = None,
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """The critical-difference diagram as one figure, ``width`` inches wide; see :func:`draw_ranks`."""
    size, edge, bars = text_size(width), margin(width), math.isfinite(critical)
    ranks = ranks[[arm for arm in colours if arm in ranks.index]]
    said = "Mean rank of the median final loss over workloads, 1 is best."
    said += " A bar joins arms that differ by no more than the critical difference." if bars else ""
    rooms = _sides(ranks, width, size)
    left, right = (edge + (room + BESIDE) / 72 for room in rooms)
    height = Diagram.of(ranks, critical, rooms, size).height / 72
    with style.plain():
        heading = Heading(width, title, f"{said} {note}" if note else said, caption)
        top = heading.height + (2 * PITCH * size + 20 if bars else PITCH * size + 10) / 72
        sheet = Sheet(width, top + height + edge)
        heading.draw(sheet)
        draw_ranks(sheet.axes(left, top, width - left - right, height), ranks, critical, colours)
    return sheet.figure
