"""What the panels of the batch-size study share: log axes, dashes, marks for misses, words in an empty
panel.
"""

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
"""Points between two optimizers of the same batch size."""


def log_limits(values: Sequence[float] | Floats, air: float = 0.06, least: float = 3.0) -> Limits:
    """Limits of a log axis around the finite positive values.

    Args:
        values: Any numbers; those that a log axis cannot show are left out.
        air: What is free at either end, as a share of the axis.
        least: The upper end is at least so many times the lower one.

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
    """Limits of an axis of all batch sizes."""
    return log_limits([size for curve in curves for size in curve.sizes])


def with_room(ax: Axes, limits: Limits, above: float = 0.0, below: float = 0.0) -> Limits:
    """Extend a log y axis so that so many points stay free above and below the limits given."""
    inner = max(scales.size(ax)[1] - above - below, 10.0)
    point = math.log(limits.high / limits.low) / inner
    return Limits(limits.low * math.exp(-point * below), limits.high * math.exp(point * above), "log")


def prepare(ax: Axes, x: Limits, y: Limits, names: tuple[str, str]) -> float:
    """Give axes their scales and the names of x and y; return the size of their text in points."""
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    scales.scale(ax, "x", x, size)
    scales.scale(ax, "y", y, size)
    name_x_axis(ax, names[0], size)
    ax.set_ylabel(names[1], size=size, color=style.INK)
    return size


def beside(ax: Axes, i: int, count: int) -> Transform:
    """Place data of curve ``i`` a little beside those of the others."""
    return ax.transData + ScaledTranslation(
        (i - (count - 1) / 2) * _BESIDE / 72, 0, ax.figure.dpi_scale_trans
    )


def mark_misses(ax: Axes, curve: Curve, colour: str, place: Transform) -> None:
    """Draw an × on the upper edge for each batch size of which some seed missed the goal."""
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
    """Say whether any seed of any curve missed the goal."""
    return any((curve.table["reached"] < curve.table["seeds"]).any() for curve in curves)


def reached(curve: Curve) -> bool:
    """Say whether the median of any batch size reached the goal."""
    return bool(np.isfinite(curve.table["updates"]).any())


def say_if_empty(ax: Axes, curves: Sequence[Curve], size: float) -> None:
    """Write that no batch size reached the goal, where none did."""
    if not any(map(reached, curves)):
        write(ax, "no batch size reached the goal", size)


def write(ax: Axes, text: str, size: float) -> None:
    """Write a few words into the middle of empty axes."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", size=size, color=style.MUTED)
