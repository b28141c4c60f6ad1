"""The batch-size study in six panels: costs, critical batch sizes, the noise scale, seconds, learning
rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.batch_scaling import Curve
from . import style
from .batch_scaling_critical import (
    critical_caption,
    critical_height,
    draw_critical,
    draw_noise,
    noise_caption,
)
from .batch_scaling_seconds import draw_rates, draw_seconds, rates_caption, seconds_caption
from .batch_scaling_updates import draw_pareto, draw_updates, pareto_caption, updates_caption
from .layout import PITCH, Heading, Key, below_axes, margin, name_lines, text_size
from .style import Colour, Sheet

_BROAD, _GAP = 5.0, 0.3
"""Inches: from what width two panels stand side by side, and how far apart."""
_HIGHEST = 2.3
"""Inches."""


@dataclass(frozen=True)
class _Part:
    """A panel: its title, what is said below it, its drawing, and whether its y axis has names."""

    title: str
    caption: Callable[[Sequence[Curve]], str]
    draw: Callable[[Axes, Sequence[Curve], Mapping[str, str]], Axes]
    named: bool = True


PARTS = (
    _Part("Updates to the goal", updates_caption, draw_updates),
    _Part("Updates or samples", pareto_caption, draw_pareto),
    _Part("Critical batch size", critical_caption, draw_critical, named=False),
    _Part("Noise scale", noise_caption, draw_noise),
    _Part("Seconds to the goal", seconds_caption, draw_seconds),
    _Part("Best learning rate", rates_caption, draw_rates),
)


def what_is_drawn(curves: Sequence[Curve]) -> list[str]:
    """What is to be read from each panel, in their order."""
    return [part.caption(curves) for part in PARTS]


def scaling_figure(
    curves: Sequence[Curve],
    colours: Mapping[str, str],
    *,
    title: str,
    width: float = 7.0,
    caption: bool = True,
) -> Figure:
    """Draw a batch-size study.

    Args:
        curves: One an optimizer.
        colours: By optimizer.
        title: Of the figure.
        width: Of the figure, in inches; from 5 on two panels stand side by side.
        caption: Whether the title, and what is said below the title of each panel, are drawn.

    Returns:
        The figure, as high as it has to be.
    """
    with style.plain():
        size, edge = text_size(width), margin(width)
        columns = 2 if width >= _BROAD else 1
        heading = Heading(width, title, "", caption)
        several = len(curves) > 1
        key = Key(
            {curve.optimizer: curve.optimizer for curve in curves} if several else {}, width - 2 * edge, size
        )
        each = (width - 2 * edge - (columns - 1) * _GAP) / columns
        left = (1.5 * size + 16 + style.text_width("100000", size)) / 72
        texts = what_is_drawn(curves)
        said = [name_lines(text, 72 * each, size) if caption else [] for text in texts]
        rows = [range(i, i + columns) for i in range(0, len(PARTS), columns)]
        above = [
            (PITCH * (size + 1) + PITCH * size * max(len(said[i]) for i in row) + 7) / 72 for row in rows
        ]
        high = max(min(0.62 * (each - left) + 0.25, _HIGHEST), critical_height(curves, size))
        below = below_axes(1, size) + 0.12
        top = heading.height + (key.height + 0.05 if several else 0.0) + 0.05
        sheet = Sheet(width, top + sum(above) + len(rows) * (high + below) + edge)
        heading.draw(sheet)
        sheet.figure.caption += "".join(
            f"\n{part.title}: {text}" for part, text in zip(PARTS, texts, strict=True)
        )
        if several:
            looks: dict[str, tuple[Colour, dict[str, Any]]] = {
                name: (style.text_colour(colour), style.sample(colour)) for name, colour in colours.items()
            }
            key.draw(sheet, edge, heading.height + 0.05, looks)
        for row, over in zip(rows, above, strict=True):
            for column, i in enumerate(row):
                x, part = edge + column * (each + _GAP), PARTS[i]
                _write_heading(sheet, x, top, part.title, said[i], size)
                inset = left if part.named else 0.05
                part.draw(sheet.axes(x + inset, top + over, each - inset - 0.03, high), curves, colours)
            top += over + high + below
        return sheet.figure


def _write_heading(sheet: Sheet, x: float, y: float, title: str, said: Sequence[str], size: float) -> None:
    """The title of a panel and what is said below it, from ``x`` and ``y`` inches on."""
    sheet.text(x, y + 0.6 * size / 72, title, size=size + 1, weight="bold", va="center_baseline")
    for i, line in enumerate(said):
        down = y + (1.3 * (size + 1) + PITCH * (i + 0.5) * size) / 72
        sheet.text(x, down, line, style.MUTED, size, va="center_baseline")
