"""Define the further panels of a run: each decides whether it has something to show, and draws it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import scales, style
from .curve_axes import Window, draw_arms, x_name
from .curve_limits import x_limits
from .curves import X, with_status
from .layout import figure_width, name_x_axis, text_size
from .scales import Limits


class Panel:
    """Draw one further panel about a run.

    A panel with a ``column`` and its ``name`` is complete: it draws a thin line for each seed and a thick one
    for their median. Override what should differ.

    The records are those of the report, with a column ``status`` (the trial's) and a column ``edge`` (2/lr at
    that record, NaN where the optimizer has none); a diagnostic is NaN where it was not measured.

    Attributes:
        reads: The table that it draws: "records", or "plane" (the path of each arm's weights, with the
            columns of ``plane.parquet``).
        column: The column of the table.
        name: The name of the y axis.
        spread: The axis is logarithmic if the largest value is more than this many times the smallest.
        span: The ends of the axis, if they are known.
        steps: Whether a value holds since the previous record, so that its jumps are upright.
    """

    reads = "records"
    column = ""
    name = ""
    spread = 10.0
    span: tuple[float, float] | None = None
    steps = False

    def wants(self, table: pd.DataFrame) -> bool:
        """Return whether there is something to show.

        Args:
            table: The table that the panel reads.
        """
        return self.column in table and bool(np.isfinite(table[self.column].to_numpy(float)).any())

    def missing(self) -> str:
        """Return why there may be nothing to show, in words that follow the panel's name."""
        return (
            f"needs the column {self.column}, which this run has not recorded"
            if self.column
            else "has nothing to show"
        )

    def __init_subclass__(cls, **options: Any) -> None:
        """Accept a method ``said``, the name of ``explanation`` in earlier versions."""
        super().__init_subclass__(**options)
        if "said" in vars(cls) and "explanation" not in vars(cls):
            warnings.warn(
                f"{cls.__name__}.said is deprecated; rename it to explanation",
                DeprecationWarning,
                stacklevel=2,
            )
            cls.explanation = vars(cls)["said"]  # type: ignore[method-assign]

    def explanation(self, table: pd.DataFrame) -> str:
        """Explain the marks of this panel, beyond what every panel of lines explains.

        Args:
            table: The table that the panel reads.
        """
        return ""

    def said(self, table: pd.DataFrame) -> str:
        """Explain the marks of this panel; deprecated, use :meth:`explanation`."""
        return Panel.explanation(self, table)

    def limits(self, table: pd.DataFrame) -> Limits:
        """Return the limits of the y axis.

        They hold what trials measured that did not diverge, or all values if every trial diverged.

        Args:
            table: The table that the panel reads.
        """
        if self.span is not None:
            return Limits(*self.span, "linear")
        kept = table[table["status"] != "diverged"] if (table["status"] != "diverged").any() else table
        return scales.limits_of(kept[self.column].to_numpy(float), self.spread)

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        """Draw the panel.

        Args:
            ax: The axes to draw on.
            table: The table that the panel reads.
            colours: The colours by arm, in the order of the arms.
            x: epochs, updates, samples or seconds.

        Returns:
            The axes.
        """
        rows = with_status(table[table[self.column].notna()])
        across, up, size = x_limits(rows, x), self.limits(rows), text_size(figure_width(ax))
        draw_arms(ax, rows, colours, Window(x, self.column, across, up, self.steps))
        style.dress(ax, size)
        scales.scale(ax, "x", across, size)
        scales.scale(ax, "y", up, size)
        name_x_axis(ax, x_name(x, rows).partition("\n")[0], size)
        ax.set_ylabel(
            self.name or self.column.replace("_", " "), size=size, color=style.INK, parse_math=False
        )
        return ax
