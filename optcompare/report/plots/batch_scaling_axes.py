"""Draw what the panels of the batch-size study share: log axes, dashes, misses, and notes in empty panels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from ...analysis.batch_scaling import Curve
from . import scales, style
from .layout import figure_width, name_x_axis, text_size
from .scales import Limits
from .style import Dashes, Floats

DASHED: Dashes = (0, (4, 2))
DOTTED: Dashes = (0, (1, 1.6))
_BESIDE = 4.0
"""Points between two optimizers at the same batch size."""


def log_limits(values: Sequence[float] | Floats, air: float = 0.06, least: float = 3.0) -> Limits:
    """Return the limits of a log axis around the finite positive values.

    Args:
        values: Any numbers; those that a log axis cannot show are ignored.
        air: The free space at either end, as a share of the axis.
        least: The smallest ratio of the upper to the lower end.

    Returns:
        The limits; 0.7 to 15 where nothing can be shown.
    """
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array) & (array > 0)]
    if not len(array):
        return Limits(0.7, 15.0, "log")
    low, high = float(array.min()), float(array.max())
    factor = max((high / low) ** air, 1.15) * max(1.0, least / (high / low)) ** 0.5
    return Limits(low / factor, high * factor, "log")


def size_limits(curves: Sequence[Curve]) -> Limits:
    """Return the limits of an axis of all batch sizes.

    Args:
        curves: One for each optimizer.
    """
    return log_limits([size for curve in curves for size in curve.sizes])


def with_room(ax: Axes, limits: Limits, above: float = 0.0, below: float = 0.0) -> Limits:
    """Extend a log y axis by free space above and below.

    Args:
        ax: The axes that get the limits.
        limits: The limits without free space.
        above: Points to keep free above.
        below: Points to keep free below.
    """
    inner = max(scales.size(ax)[1] - above - below, 10.0)
    point = math.log(limits.high / limits.low) / inner
    return Limits(limits.low * math.exp(-point * below), limits.high * math.exp(point * above), "log")


def prepare(ax: Axes, x: Limits, y: Limits, names: tuple[str, str]) -> float:
    """Set the scales and the names of both axes.

    Args:
        ax: The axes to draw on.
        x: The limits of the x axis.
        y: The limits of the y axis.
        names: The names of the x and the y axis.

    Returns:
        The size of their text in points.
    """
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    scales.scale(ax, "x", x, size)
    scales.scale(ax, "y", y, size)
    name_x_axis(ax, names[0], size)
    ax.set_ylabel(names[1], size=size, color=style.INK)
    return size


def beside(ax: Axes, i: int, count: int) -> Transform:
    """Shift data sideways by a few points, so that optimizers of the same batch size do not overlap.

    Args:
        ax: The axes.
        i: The place of the curve among the curves.
        count: The number of curves.

    Returns:
        A transform from data of this curve.
    """
    return ax.transData + ScaledTranslation(
        (i - (count - 1) / 2) * _BESIDE / 72, 0, ax.figure.dpi_scale_trans
    )


def mark_misses(ax: Axes, curve: Curve, colour: str, place: Transform) -> None:
    """Draw an × on the upper edge for each batch size at which a seed missed the goal.

    Args:
        ax: The axes to draw on.
        curve: The curve of an optimizer.
        colour: The colour.
        place: The transform of its data, see :func:`beside`.
    """
    table = curve.table
    sizes = table[table["reached"] < table["seeds"]]["batch_size"].to_numpy(float)
    if len(sizes):
        top = np.full(len(sizes), ax.get_ylim()[1])
        ax.plot(
            sizes,
            top,
            "x",
            color=colour,
            clip_on=False,
            markersize=5,
            zorder=6,
            label="_lost",
            transform=place,
        )


def missed(curves: Sequence[Curve]) -> bool:
    """Return whether any seed of any curve missed the goal.

    Args:
        curves: One for each optimizer.
    """
    return any((curve.table["reached"] < curve.table["seeds"]).any() for curve in curves)


def reached(curve: Curve) -> bool:
    """Return whether the median of any batch size reached the goal.

    Args:
        curve: The curve of an optimizer.
    """
    return bool(np.isfinite(curve.table["updates"]).any())


def say_if_empty(ax: Axes, curves: Sequence[Curve], size: float) -> None:
    """Write a note in the axes if no batch size reached the goal.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        size: The height of the text in points.
    """
    if not any(map(reached, curves)):
        write(ax, "no batch size reached the goal", size)


def write(ax: Axes, text: str, size: float) -> None:
    """Write a short text in the middle of empty axes.

    Args:
        ax: The axes to draw on.
        text: The text.
        size: The height of the text in points.
    """
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=size, color=style.MUTED)
