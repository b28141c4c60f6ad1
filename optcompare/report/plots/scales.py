"""Set scales, limits and ticks of axes, so that the names of ticks do not touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator, NullFormatter

from .style import LEFT, SMALL, X_TICKS, Y_NAME, Y_TICKS, Floats, text_width


@dataclass(frozen=True)
class Limits:
    """Describe an axis: its ends and its scale.

    Attributes:
        low: The lower end.
        high: The upper end.
        scale: linear, log or symlog.
        first: On an axis that also shows zero, the smallest other value, else 0. On a symlog axis zero lies
            in a linear part below ``first``; on a log axis it is drawn at the low end.
    """

    low: float
    high: float
    scale: Literal["linear", "log", "symlog"]
    first: float = 0.0


def named_ticks(limits: Limits, most: int) -> tuple[list[float], list[str]]:
    """Return ticks and their names.

    On a log axis these are powers of ten if there are at least two, else 1-2-5 or even steps.

    Args:
        limits: The limits and the scale of the axis.
        most: About how many ticks to return.
    """
    if limits.scale == "linear":
        ticks = _even(limits.low, limits.high, most)
        return ticks, [_number(tick) for tick in ticks]
    low, high = limits.first or limits.low, limits.high
    zero = [max(0.0, limits.low)] if limits.first else []
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(exponents) > 1:
        step = math.ceil(len(exponents) / most)
        exponents = range(math.ceil(exponents[0] / step) * step, exponents[-1] + 1, step)
        ticks = [10.0**e for e in exponents]
        plain = low >= 0.9e-3 and high < 2e4
        names = [f"{10.0**e:g}" if plain else f"$10^{{{e}}}$" for e in exponents]
    else:
        around = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        steps = [m * 10.0**e for e in around for m in (1, 2, 5)] if high > 4 * low else _even(low, high, most)
        ticks = [tick for tick in steps if low <= tick * (1 + 1e-9) and tick <= high * (1 + 1e-9)]
        names = [_number(tick) for tick in ticks]
    return [*zero, *ticks], [*("0" for _ in zero), *names]


def _even(low: float, high: float, most: int) -> list[float]:
    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [0.0 if abs(tick) < 1e-9 * (high - low) else float(tick) for tick in ticks if low <= tick <= high]


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.8g}".replace("-", "−")
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10.0**exponent:.6g}"
    return f"$10^{{{exponent}}}$" if factor == "1" else f"${factor}\\cdot10^{{{exponent}}}$"


def limits_of(values: Sequence[float] | Floats, spread: float = 10.0) -> Limits:
    """Return limits around the finite values, with a little space at the ends.

    They are log if all values are positive and the largest is more than ``spread`` times the smallest, log
    down to zero if some of these are zero, else linear.

    Args:
        values: The numbers; they need not be finite.
        spread: The ratio from which the axis is log.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return Limits(0.0, 1.0, "linear")
    low, high = float(finite.min()), float(finite.max())
    first = float(finite[finite > 0].min()) if high > 0 else math.inf
    if low < 0 or high <= spread * first:
        air = 0.05 * (high - low) or 0.1 * (abs(high) or 1.0)
        return Limits(low - air, high + air, "linear")
    air = (high / first) ** 0.05
    if low > 0:
        return Limits(low / air, high * air, "log")
    first = 10.0 ** math.floor(math.log10(first))
    return Limits(-0.15 * first, high * air, "symlog", first)


def names_width(limits: Limits, most: int, size: float = SMALL) -> float:
    """Return the width of the widest tick name, in points.

    Args:
        limits: The limits and the scale of the axis.
        most: About how many ticks it has.
        size: The height of the text in points.
    """
    return max((_name_width(name, size) for name in named_ticks(limits, most)[1]), default=0.0)


def _name_width(name: str, size: float) -> float:
    return text_width(name.translate(str.maketrans("", "", "${}^\\")).replace("cdot", "·"), size)


def left_of(limits: Limits) -> float:
    """Return the inches to the left of a y axis that its name and its tick names need, at least ``LEFT``.

    Args:
        limits: The y axis.
    """
    return max(LEFT, Y_NAME + 0.15 + names_width(limits, Y_TICKS) / 72)


def scale(ax: Axes, which: Literal["x", "y"], limits: Limits, text: float = SMALL) -> None:
    """Set the scale, the limits and the ticks of one axis.

    A tick is left out if its name would touch another one.

    Args:
        ax: The axes to draw on.
        which: ``x`` or ``y``.
        limits: Scale and ends.
        text: The height of the tick names in points.
    """
    axis: Axis = ax.xaxis if which == "x" else ax.yaxis
    options = {"linthresh": limits.first, "linscale": 0.5} if limits.scale == "symlog" else {}
    (ax.set_xscale if which == "x" else ax.set_yscale)(limits.scale, **options)
    ax.set(**{f"{which}lim": (limits.low, limits.high)})
    most = X_TICKS if which == "x" else Y_TICKS
    ticks, names = _apart(ax, which, *named_ticks(limits, most), text)
    for fewer in range(most - 1, 1, -1):
        # If a name had to be left out, fewer even steps read better than steps with a gap.
        if limits.scale != "linear" or len(ticks) == len(named_ticks(limits, fewer + 1)[0]):
            break
        ticks, names = _apart(ax, which, *named_ticks(limits, fewer), text)
    axis.set_ticks(ticks, labels=names)
    if limits.scale != "linear":
        axis.set_ticks(_small_ticks(limits.first or limits.low, limits.high), minor=True)
        axis.set_minor_formatter(NullFormatter())


def _apart(
    ax: Axes, which: Literal["x", "y"], ticks: list[float], names: list[str], text: float
) -> tuple[list[float], list[str]]:
    """Return the ticks and names, without those whose name would touch an earlier one."""
    across = "xy".index(which)
    shares = (ax.transScale + ax.transLimits).transform(np.column_stack([ticks, ticks]))[:, across]
    stands = size(ax)[across] * shares
    sizes = [_name_width(name, text) + 4 if which == "x" else 1.2 * text for name in names]
    kept: list[int] = []
    for i, place in enumerate(stands):
        if all(abs(place - stands[j]) >= (sizes[i] + sizes[j]) / 2 for j in kept):
            kept.append(i)
    return [ticks[i] for i in kept], [names[i] for i in kept]


def stacked(bars: Sequence[tuple[float, float]], apart: float) -> list[int]:
    """Assign bars to rows: each to the first row in which it keeps a distance to all earlier bars.

    Args:
        bars: The lower and the upper end of each bar, lower ends rising.
        apart: Two bars in a row are further apart than this.

    Returns:
        The row of each bar.
    """
    ends: list[float] = []
    rows = []
    for low, high in bars:
        row = next((i for i, end in enumerate(ends) if low - end > apart), len(ends))
        ends[row : row + 1] = [high]
        rows.append(row)
    return rows


def _small_ticks(low: float, high: float) -> list[float]:
    """Return the ticks between powers of ten, or none if there were too many."""
    around = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = [m * 10.0**e for e in around for m in range(2, 10)] if len(around) <= 6 else []
    return [tick for tick in ticks if low <= tick <= high]


def stepped(points: Floats) -> Floats:
    """Return points as a step function: each y holds from the x of the point before.

    Args:
        points: The points, float[n, 2].

    Returns:
        float[2n - 1, 2].
    """
    places = np.repeat(np.arange(len(points)), 2)
    return np.column_stack([points[places[:-1], 0], points[places[1:], 1]])


def places(ax: Axes, x: Sequence[float] | Floats) -> Floats:
    """Return the positions of x values, in points from the left end of the axes.

    Args:
        ax: The axes.
        x: The x coordinates, float[n].

    Returns:
        float[n].
    """
    both = np.column_stack([np.asarray(x, dtype=float), np.full(len(x), ax.get_ylim()[0])])
    shares: Floats = (ax.transScale + ax.transLimits).transform(both)[:, 0]
    return shares * size(ax)[0]


def size(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes in points.

    Args:
        ax: The axes.
    """
    inches = ax.bbox.transformed(ax.figure.dpi_scale_trans.inverted())
    return 72 * inches.width, 72 * inches.height
