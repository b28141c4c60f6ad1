"""Describe the format of a figure, check its column of records, and save it in several formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.statistics import final_columns, measured_columns
from ..core.columns import run_key
from ..core.parameters import suggestion
from ..errors import ComparisonError
from ..storage.run_dir import make_directory, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XS = ("epochs", "updates", "samples", "seconds")
PRINT_DPI = 300.0
"""Dots per inch of the pictures that ``report`` writes, as journals require."""
_SETTINGS = {"mark", "update", "epoch", "samples", "seconds", "split"}


@dataclass(frozen=True)
class Paper:
    """Describe the format of a figure.

    Attributes:
        width: The width in inches; None: the default width of the figure.
        caption: Whether the explanations are drawn below the figure; else they are written to a text file.
        dpi: Dots per inch; None: matplotlib's default.
        metric: The column of the records that the figure shows; None: the column that the verdict compares.
        ax: Axes to draw on instead of a new figure.
        x: The axis of a figure of curves, or the cost in a figure of goals: epochs, updates, samples or
            seconds; None: the default of the figure.
    """

    width: float | None = None
    caption: bool = True
    dpi: float | None = None
    metric: str | None = None
    ax: Axes | None = None
    x: str | None = None

    def __post_init__(self) -> None:
        if self.width is not None and not 2.5 <= self.width <= 40:
            raise ComparisonError(f"width takes 2.5 to 40 inches, got {self.width:g}")
        if self.dpi is not None and not 30 <= self.dpi <= 2400:
            raise ComparisonError(f"dpi takes 30 to 2400 dots an inch, got {self.dpi:g}")
        if self.x is not None and self.x not in XS:
            raise ComparisonError(f"x must be one of {', '.join(XS)}, got {self.x!r}")


def check_metric(metric: str, records: pd.DataFrame, *, final: bool = False) -> None:
    """Refuse a column that cannot be drawn.

    Args:
        metric: The name of the column.
        records: The records of a run.
        final: Whether the figure shows final values; then columns of the test set are accepted too.

    Raises:
        ComparisonError: There is no such column, or it is measured only at the end of a trial.
    """
    settings = {*_SETTINGS, *run_key(records), *final_columns(records)}
    measured = measured_columns(records)
    others = [
        str(name)
        for name, column in records.items()
        if name not in {*measured, *settings}
        and pd.api.types.is_numeric_dtype(column)
        and not column.isna().all()
    ]
    if metric in final_columns(records) and not final:
        raise ComparisonError(
            f"metric: {metric} is measured once, when a trial has ended; the figure final draws it"
        )
    refuse_unknown(metric, [*measured, *others, *(final_columns(records) if final else [])])


def refuse_unknown(metric: str, known: Sequence[str]) -> None:
    """Refuse a column whose name is unknown.

    Args:
        metric: The name of the column.
        known: The names of the columns that can be drawn.

    Raises:
        ComparisonError: The column is not in ``known``; the message suggests the nearest name.
    """
    if metric not in known:
        hint = suggestion(metric, known) or f"; there are {', '.join(known)}"
        raise ComparisonError(f"metric: no column '{metric}' is measured{hint}")


def at_resolution(paper: Paper, picture: Figure) -> Figure:
    """Return a figure with the resolution of its format.

    Args:
        paper: The format.
        picture: The figure.
    """
    from .plots.picture import Picture

    if paper.dpi is not None and isinstance(picture, Picture):
        picture.set_resolution(paper.dpi)
    return picture


def save_figure(picture: Figure, out: Path, name: str, formats: Sequence[str], paper: Paper) -> list[Path]:
    """Save a figure in each format, with its caption in a text file if the caption is not drawn.

    Args:
        picture: The figure.
        out: The directory, which is created if it does not exist.
        name: The name of the files, without a suffix.
        formats: The suffixes of the files, such as ``png``.
        paper: The format of the figure.

    Returns:
        The paths of the files of the figure, one for each format.
    """
    make_directory(out)
    paths = [out / f"{name}.{suffix}" for suffix in formats]
    for path in paths:
        write_atomically(path, picture.savefig)
    caption = getattr(picture, "caption", "")
    if not paper.caption and paths:
        write_atomically(out / f"{name}.txt", lambda path: path.write_text(f"{caption}\n", encoding="utf-8"))
    return paths
