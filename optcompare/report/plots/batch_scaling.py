"""Draw the batch-size study in six panels.

They show costs, critical batch sizes, the noise scale, seconds and learning rates.
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
from .key import Key
from .layout import PITCH, Heading, below_axes, margin, name_lines, text_size
from .style import Colour, Sheet

_BROAD, _GAP = 5.0, 0.3
"""Inches: the width from which two panels stand side by side, and the gap between them."""
_HIGHEST = 2.3
"""The greatest height of a panel, in inches."""


@dataclass(frozen=True)
class _Part:
    """Describe a panel.

    Attributes:
        title: The title of the panel.
        caption: A function that explains the marks of these curves.
        draw: A function that draws the panel.
        named: Whether the y axis has names.
    """

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
    """Explain the marks of each panel, in the order of the panels.

    Args:
        curves: One for each optimizer.
    """
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
        curves: One for each optimizer.
        colours: The colours by optimizer.
        title: The title of the figure.
        width: The width of the figure in inches; from 5 on, two panels stand side by side.
        caption: Whether the title of the figure and the caption of each panel are drawn.

    Returns:
        The figure, as high as its content needs.
    """
    with style.plain():
        size, edge = text_size(width), margin(width)
        heading, names = Heading(width, title, "", caption), [curve.optimizer for curve in curves]
        key = Key({name: name for name in names} if len(names) > 1 else {}, width - 2 * edge, size)
        texts = what_is_drawn(curves)
        grid = _PanelGrid.of(curves, texts if caption else [""] * len(texts), width)
        top = heading.height + (key.height + 0.05 if len(names) > 1 else 0.0) + 0.05
        sheet = Sheet(width, top + grid.height + edge)
        heading.draw(sheet)
        sheet.figure.caption += "".join(
            f"\n{part.title}: {text}" for part, text in zip(PARTS, texts, strict=True)
        )
        if len(names) > 1:
            looks: dict[str, tuple[Colour, dict[str, Any]]] = {
                name: (style.text_colour(colour), style.sample(colour)) for name, colour in colours.items()
            }
            key.draw(sheet, edge, heading.height + 0.05, looks)
        grid.draw(sheet, top, curves, colours)
        return sheet.figure


@dataclass(frozen=True)
class _PanelGrid:
    """The panels in rows below each other.

    Attributes:
        edge: The margin of the figure, in inches.
        cell: The width of a panel with the names of its y axis, in inches.
        inner: The height of the axes, in inches.
        left: The width of the names of a y axis, in inches.
        rows: The panels of each row, by their places in ``PARTS``.
        captions: The lines of the caption of each panel.
        size: The height of the text, in points.
    """

    edge: float
    cell: float
    inner: float
    left: float
    rows: list[range]
    captions: list[list[str]]
    size: float

    @classmethod
    def of(cls, curves: Sequence[Curve], captions: Sequence[str], width: float) -> _PanelGrid:
        """Lay out the panels in a figure of this width, in inches; an empty caption takes no line."""
        size, edge, columns = text_size(width), margin(width), 2 if width >= _BROAD else 1
        cell = (width - 2 * edge - (columns - 1) * _GAP) / columns
        left = (1.5 * size + 16 + style.text_width("100000", size)) / 72
        inner = max(min(0.62 * (cell - left) + 0.25, _HIGHEST), critical_height(curves, size))
        rows = [range(i, i + columns) for i in range(0, len(PARTS), columns)]
        lines = [name_lines(text, 72 * cell, size) if text else [] for text in captions]
        return cls(edge, cell, inner, left, rows, lines, size)

    @property
    def above(self) -> list[float]:
        """Return the inches above the axes of each row, which hold titles and captions."""
        most = [max(len(self.captions[i]) for i in row) for row in self.rows]
        return [(PITCH * (self.size + 1) + PITCH * self.size * lines + 7) / 72 for lines in most]

    @property
    def below(self) -> float:
        """Return the inches below the axes of a row."""
        return below_axes(1, self.size) + 0.12

    @property
    def height(self) -> float:
        """Return the height of all rows, in inches."""
        return sum(self.above) + len(self.rows) * (self.inner + self.below)

    def draw(self, sheet: Sheet, top: float, curves: Sequence[Curve], colours: Mapping[str, str]) -> None:
        """Draw all panels from ``top`` inches on."""
        for row, above in zip(self.rows, self.above, strict=True):
            for column, i in enumerate(row):
                x, part = self.edge + column * (self.cell + _GAP), PARTS[i]
                _write_heading(sheet, x, top, part.title, self.captions[i], self.size)
                inset = self.left if part.named else 0.05
                axes = sheet.axes(x + inset, top + above, self.cell - inset - 0.03, self.inner)
                part.draw(axes, curves, colours)
            top += above + self.inner + self.below


def _write_heading(sheet: Sheet, x: float, y: float, title: str, caption: Sequence[str], size: float) -> None:
    """Write the title of a panel, and its caption below, from ``x`` and ``y`` inches on."""
    sheet.text(x, y + 0.6 * size / 72, title, size=size + 1, weight="bold", va="center_baseline")
    for i, line in enumerate(caption):
        down = y + (1.3 * (size + 1) + PITCH * (i + 0.5) * size) / 72
        sheet.text(x, down, line, style.MUTED, size, va="center_baseline")
