"""Draw performance profiles of arms across workloads, scored as in AlgoPerf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from . import scales, style
from .key import keyed_sheet
from .layout import Heading, figure_width, name_x_axis, shown_arms, text_size
from .scales import Limits
from .style import Floats

LONGEST, WIDE = 4.0, 10.0
"""The ratio to the best arm up to which profiles are scored, and that from which their axis is log."""
SHARES = Limits(-0.04, 1.04, "linear")


def steps(profile: pd.DataFrame, arm: str, end: float = LONGEST) -> Floats:
    """Return the profile of an arm from ratio 1 on; a share holds up to the next ratio.

    Args:
        profile: See :func:`draw_profile`.
        arm: The label of the arm.
        end: The last ratio.

    Returns:
        float[n, 2], ratio and share.
    """
    rows = profile[profile["arm"] == arm].sort_values("ratio", kind="stable")
    points = rows[["ratio", "share"]].to_numpy(float)
    points = points[points[:, 0] < end]
    if not len(points) or points[0, 0] > 1:
        points = np.vstack([[1.0, 0.0], points])
    return np.vstack([points, [end, points[-1, 1]]])


def area(points: Floats) -> float:
    """Score a profile: its integral over ratios 1 to 4, divided by 3, which is exact for a step curve.

    Args:
        points: float[n, 2], as :func:`steps` returns them.
    """
    return float(np.diff(points[:, 0]) @ points[:-1, 1]) / (LONGEST - 1)


def ratio_limits(profile: pd.DataFrame, arms: Sequence[str]) -> Limits:
    """Return limits from 1 to a little beyond the last step of these arms.

    Args:
        profile: See :func:`draw_profile`.
        arms: The labels of the arms.
    """
    last = max([1.1, *profile.loc[profile["arm"].isin(arms), "ratio"]])
    if last > WIDE:
        return Limits(1.0, last**1.05, "log")
    return Limits(1.0, 1 + 1.05 * (last - 1), "linear")


def draw_profile(
    ax: Axes, profile: pd.DataFrame, colours: Mapping[str, str], *, unit: str = "samples"
) -> Axes:
    """Draw the share of workloads on which an arm costs at most a multiple of the best arm's cost.

    Curves that coincide are drawn slightly below each other, at most the width of a line apart.

    Args:
        ax: The axes to draw on.
        profile: The columns ``arm, ratio, share``: the breakpoints of each arm's step curve.
        colours: The colours by arm.
        unit: The unit of the cost of the goal.

    Returns:
        The axes.
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
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw the performance profile as a figure, with each arm's score after its name.

    Args:
        profile: See :func:`draw_profile`.
        colours: The colours by arm.
        width: The width in inches.
        unit: The unit of the cost of the goal.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    arms = shown_arms(list(profile["arm"]), colours)
    texts = {arm: f"{arm}: {area(steps(profile, arm)):.2f}" for arm in arms}
    text = "After each name its score: the mean of its profile over ratios 1 to\u00a04, at\u00a0most\u00a01."
    with style.plain():
        heading = Heading(width, None, f"{text} {note}" if note else text, caption)
        sheet, ax = keyed_sheet(heading, width, texts, colours, SHARES)
        draw_profile(ax, profile, colours, unit=unit)
    return sheet.figure
