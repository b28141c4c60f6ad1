"""The result as people use it: its tables, and one thin layer that draws, saves and shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..results.tables import ResultTables
from ..storage import run_dir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .plots.panel import Panel

FORMATS = ("png", "svg", "pdf", "html")


@dataclass(repr=False)
class Result(ResultTables):
    """What a comparison measured, the tables computed from it, and how it is drawn, saved and shown.

    - ``records``: one row per measurement; ``trials``: one row per trial (columns as in the run directory's
      files);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: what was said before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights along the way and the loss around them, else None;
    - ``plane``: where the weights of each arm went, if that was asked for;
    - ``weights``: final weights by arm, seed and tuning repeat (0 without), of those that were kept;
    - ``workload``: what was trained, where it is known;
    - ``panels``: further panels of the comparison plot; None: those that optcompare brings along;
    - ``appearance``: the colours of arms by label, where they are not to follow from the labels.
    """

    panels: Mapping[str, Panel] | None = field(default=None, kw_only=True)
    appearance: Mapping[str, str] | None = field(default=None, kw_only=True)

    def colours(self) -> dict[str, str]:
        """Return the colour of each arm by its label, in every figure; with it go a marker and dashes."""
        from .comparison_plot import colours_of

        return colours_of(self)

    def plot(self, metric: str | None = None, *, width: float | None = None, caption: bool = True) -> Figure:
        """Draw the comparison plot.

        Args:
            metric: A column of the records; by default what arms are compared by, and below it the training
                loss, and the final values on the test set where there is one.
            width: Inches; 10 by default.
            caption: Whether the title, which says what is claimed, and the explanations are drawn.

        Returns:
            A matplotlib Figure; ``.savefig("x.pdf")`` writes it, in the suffix's format.

        Raises:
            ComparisonError: There is no such column.
        """
        from .comparison_plot import comparison_plot

        return comparison_plot(self, metric, width=width, caption=caption)

    def shown_metrics(self) -> list[str]:
        """Return the columns of the comparison plot: what arms are compared by, then the training loss."""
        return list(dict.fromkeys([self.compared, "train_loss"]))

    def headline(self, metric: str | None = None) -> str:
        """Say the finding in a few words; see :func:`optcompare.analysis.headline.headline`.

        Args:
            metric: The column that a figure below it shows. Where arms were compared by another, that one is
                named.
        """
        from .comparison_plot import headline_of

        return headline_of(self, metric)

    def wanted_panels(self) -> list[tuple[str, Panel, pd.DataFrame]]:
        """Return the panels that have something to show of this run, those of plugins first.

        Returns:
            The name of each, the panel, and the table that it draws.
        """
        from .comparison_plot import wanted_panels

        return wanted_panels(self)

    def panel_tables(self) -> dict[str, pd.DataFrame]:
        """Return what panels read, by name; see :class:`optcompare.Panel`."""
        from .comparison_plot import panel_tables

        return panel_tables(self)

    def save_page(self, path: str | Path) -> None:
        """Write one HTML page that opens offline: verdict, certificate, interactive curves, sortable tables.

        Raises:
            RunDirectoryError: It cannot be written.
        """
        from .html.page import page

        text = page([self])
        with run_dir.writing(Path(path)):
            Path(path).write_text(text, encoding="utf-8")

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Write the run directory.

        Args:
            directory: A new or an empty one.
            formats: Of the comparison plot: ``png``, ``svg``, ``pdf``, ``html``.

        Returns:
            Its path.

        Raises:
            RunDirectoryError: The directory is not empty, or cannot be written.
        """
        path = Path(directory)
        run_dir.claim(path)
        self.write(path, formats)
        return path

    def write(self, directory: Path, formats: Sequence[str] = ("png",), metric: str | None = None) -> None:
        """Write every file of the run directory, each atomically, over what is there.

        Args:
            directory: The run directory.
            formats: As :meth:`save` has them.
            metric: As :meth:`plot` has it.
        """
        from .saving import write_run

        write_run(self, directory, formats, metric)

    def _repr_html_(self) -> str:
        from .html.notebook import result_html

        return result_html(self)

    def __repr__(self) -> str:
        from .html.notebook import result_text

        return result_text(self)
