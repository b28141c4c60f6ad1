"""Draw both critical batch sizes and the noise scale with intervals, and the noise scale along a trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from ...analysis.batch_scaling import Curve
from ...analysis.critical_batch_size import SizeEstimate
from ...analysis.noise_scale import NoiseScale
from ...core.formatting import number
from . import scales, style
from .batch_scaling_axes import DASHED, DOTTED, log_limits, prepare, write
from .layout import PITCH, figure_width, name_x_axis, text_size
from .scales import Limits

FURTHEST = 30.0
"""An axis of batch sizes ends at most this factor beyond those that were tried."""
_BAR, _APART = 9.0, 2.0
"""Points: the height of an interval below its text, and the least gap between two rows."""


class EstimateRow(NamedTuple):
    """Hold one row of the panel of critical batch sizes.

    Attributes:
        optimizer: The label of the optimizer.
        name: The name of the estimate.
        estimate: Value and interval, NaN where unknown.
        missing: The text in place of the numbers if there are none.
    """

    optimizer: str
    name: str
    estimate: SizeEstimate
    missing: str = ""


def critical_rows(curves: Sequence[Curve]) -> Iterator[EstimateRow]:
    """Yield the 20% definition, the knee and the noise scale of each optimizer.

    Args:
        curves: One for each optimizer.
    """
    unknown = SizeEstimate(math.nan, math.nan, math.nan)
    for curve in curves:
        fit, noise = curve.fit, curve.noise
        for name, estimate in (
            ("20% (Zhang 2024)", unknown if fit is None else fit.twenty_percent),
            ("knee (McCandlish 2018)", unknown if fit is None else fit.critical),
        ):
            yield EstimateRow(curve.optimizer, name, estimate, "no fit" if fit is None else "")
        measured = noise is not None and not math.isnan(noise.value)
        estimate = SizeEstimate(noise.value, noise.low, noise.high) if noise is not None else unknown
        yield EstimateRow(curve.optimizer, "noise scale", estimate, "" if measured else "not measured")


def row_text(row: EstimateRow) -> str:
    """Return the text of a row, such as 'knee (McCandlish 2018): 23.3 (20.6 to 26.3)'.

    Args:
        row: The row; if it has no interval, the text states this.
    """
    value, low, high = row.estimate
    if row.missing:
        return f"{row.name}: {row.missing}"
    if math.isnan(low) or math.isnan(high):
        return f"{row.name}: {number(value)}, no interval"
    return f"{row.name}: {number(value)} ({number(low)} to {number(high)})"


def critical_height(curves: Sequence[Curve], size: float) -> float:
    """Return the inches that the rows need.

    Args:
        curves: One for each optimizer.
        size: The height of the text in points.
    """
    return len(curves) * (3 * (PITCH * size + _BAR + _APART) + _APART) / 72


def draw_critical(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw a row for each critical batch size and for the noise scale.

    Below its numbers each row has a point and its 95% interval, or only the point if the interval is unknown.
    An end that is infinite, or beyond the axis, is an arrow.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    size = text_size(figure_width(ax))
    tried = [each for curve in curves for each in curve.sizes]
    rows = list(critical_rows(curves))
    lowest, highest = min(tried) / FURTHEST, max(tried) * FURTHEST
    shown = [end for row in rows for end in row.estimate if lowest < end < highest]
    across = log_limits([*tried, *shown])
    style.dress(ax, size).grid(False)
    scales.scale(ax, "x", across, size)
    name_x_axis(ax, "batch size", size)
    ax.axvspan(min(tried), max(tried), color="#F1F3F4", zorder=0, linewidth=2)
    high = scales.size(ax)[1]
    each = PITCH * size + _BAR
    apart = (high - len(rows) * each) / (len(rows) + len(curves) - 1)  # one more between two optimizers
    ax.set_ylim(high, 0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    for i, row in enumerate(rows):
        top = i * each + (i + i // 3 + 0.5) * apart
        colour = colours[row.optimizer]
        look: dict[str, Any] = {"va": "center_baseline", "color": style.text_colour(colour), "size": size}
        text = style.shortened(row_text(row), scales.size(ax)[0] - 3, size)
        middle = top + PITCH * size / 2
        ax.annotate(
            text,
            (0, middle),
            (3, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            parse_math=False,
            zorder=6,
            **look,
        )
        _draw_interval(ax, row.estimate, top + PITCH * size + _BAR / 2, across, colour)
    return ax


def _draw_interval(ax: Axes, estimate: SizeEstimate, y: float, across: Limits, colour: str) -> None:
    """Draw a point and the bar of its interval, with an arrow for an end beyond the axis."""
    value, low, high = estimate
    look: dict[str, Any] = {"color": colour, "clip_on": False, "zorder": 5}
    if not (math.isnan(low) or math.isnan(high)):
        ends = [min(max(end, across.low), across.high) for end in (low, high)]
        ax.plot(ends, [y, y], solid_capstyle="butt", linewidth=2.0, label="_interval", **look)
    if across.low <= value <= across.high:
        ax.plot([value], [y], style.marker(colour), markersize=5, label="_value", **look)
    if min(value, low) < across.low:
        ax.plot([across.low], [y], "<", markersize=5, label="_beyond", **look)
    if max(value, high) > across.high:
        ax.plot([across.high], [y], ">", markersize=5, label="_beyond", **look)


def critical_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_critical`.

    Args:
        curves: One for each optimizer.
    """
    caption = (
        "20%: 20% more samples than perfect scaling. Knee: twice the least of both. Bars: 95%. Grey: sizes "
        "tried."
    )
    tried = [each for curve in curves for each in curve.sizes]
    low, high = min(tried) / FURTHEST, max(tried) * FURTHEST
    far = any(
        math.isfinite(end) and not low < end < high for row in critical_rows(curves) for end in row.estimate
    )
    endless = any(math.isinf(end) for row in critical_rows(curves) for end in row.estimate)
    return caption + (" Arrow: goes on." if far or endless else "")


def draw_noise(ax: Axes, curves: Sequence[Curve], colours: Mapping[str, str]) -> Axes:
    """Draw the noise scale along one trial of each optimizer, with its mean, its interval and the knee.

    A point at which the noise hides the gradient is drawn on the upper edge.

    Args:
        ax: The axes to draw on.
        curves: One for each optimizer.
        colours: The colours by optimizer.

    Returns:
        The axes.
    """
    known = _measured(curves)
    values, ends = list[float](), [1.0]
    for noise in known.values():
        low, high = noise.low, noise.high
        values += [*_along(noise), noise.value, *((low, high) if high < FURTHEST * noise.value else ())]
        ends.append(float(noise.points["samples"].max()))
    values += _knees_shown(curves)
    up = log_limits(values, air=0.1)
    size = prepare(ax, Limits(0.0, 1.04 * max(ends), "linear"), up, ("samples seen", "noise scale"))
    for curve in curves:
        colour, noise_scale = colours[curve.optimizer], known.get(curve.optimizer)
        if noise_scale is None:
            continue
        if curve.fit is not None:
            ax.axhline(curve.fit.critical.value, color=colour, linestyle=DASHED, linewidth=1.4, zorder=2)
        low, high = noise_scale.low, min(noise_scale.high, up.high)
        if not (math.isnan(noise_scale.low) or math.isnan(noise_scale.high)):
            ax.axhspan(low, high, color=colour, alpha=0.13, linewidth=0, zorder=1)
        if math.isfinite(noise_scale.value):
            ax.axhline(noise_scale.value, color=colour, linestyle=DOTTED, linewidth=1.4, zorder=2)
        samples, along = noise_scale.points["samples"].to_numpy(float), _along(noise_scale)
        ax.plot(
            samples,
            np.where(np.isfinite(along), along, math.nan),
            f"{style.marker(colour)}-",
            color=colour,
            markersize=4,
            linewidth=1.6,
        )
        hidden = samples[np.isinf(along)]
        ax.plot(
            hidden, np.full(len(hidden), up.high), "^", color=colour, clip_on=False, markersize=5, zorder=5
        )
    if not known:
        write(ax, "not measured", size)
    return ax


def _measured(curves: Sequence[Curve]) -> dict[str, NoiseScale]:
    """Return the known noise scales by optimizer."""
    return {
        curve.optimizer: curve.noise
        for curve in curves
        if curve.noise is not None and not math.isnan(curve.noise.value)
    }


def _knees_shown(curves: Sequence[Curve]) -> list[float]:
    """Return the knees that lie near enough to the noise scales to be shown on their axis."""
    known = _measured(curves)
    knees = [
        curve.fit.critical.value for curve in curves if curve.fit is not None and curve.optimizer in known
    ]
    about = [value for noise in known.values() for value in _along(noise) if math.isfinite(value)]
    return [knee for knee in knees if about and min(about) / FURTHEST < knee < max(about) * FURTHEST]


def _along(noise: NoiseScale) -> style.Floats:
    """Return the noise scale at each point, infinite where the estimate of |G|² is not positive."""
    trace, squared = (noise.points[name].to_numpy(float) for name in ("trace", "squared"))
    return np.where(squared > 0, trace / np.where(squared > 0, squared, 1.0), math.inf)


def noise_caption(curves: Sequence[Curve]) -> str:
    """Explain the marks of :func:`draw_noise`, and name the trials that it shows.

    Args:
        curves: One for each optimizer.
    """
    known = _measured(curves)
    if not known:
        return "The noise scale was not measured."
    trials = []
    for noise in known.values():
        seed = "" if noise.seed is None else f", seed\u00a0{noise.seed}"
        points = f"{len(noise.points)}\u00a0point{'' if len(noise.points) == 1 else 's'}"
        trials.append(f"{noise.arm or f'a batch size of {noise.batch_size}'}{seed} ({points})")
    caption = f"Along {' and '.join(trials)}. Dotted: ratio of means"
    caption += ", band: 95%." if any(not math.isnan(noise.low) for noise in known.values()) else "."
    knees = sum(curve.fit is not None and curve.optimizer in known for curve in curves)
    if knees:
        caption += " Dashed: knee." if len(_knees_shown(curves)) == knees else " Dashed: knee, if near."
    if any(np.isinf(_along(noise)).any() for noise in known.values()):
        caption += " ▲:\u00a0infinite."
    low = [
        curve.optimizer
        for curve in curves
        if "beta2" in set(curve.memory["average"]) and curve.optimizer in known
    ]
    return caption + (f" Too low under {' and '.join(low)} (Merrill 2025)." if low else "")
