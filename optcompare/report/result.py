"""Define the result as users see it: its tables, and a thin layer that draws, saves and shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..core.parameters import suggestion
from ..errors import ComparisonError
from ..results.tables import ResultTables
from ..storage import run_dir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .plots.panel import Panel

FORMATS = ("png", "svg", "pdf", "html")


@dataclass(repr=False)
class Result(ResultTables):
    """Hold the results of a comparison, compute tables from them, and draw, save and show them.

    - ``records``: one row for each measurement; ``trials``: one row for each trial (columns as in the files
      of the run directory);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: messages from before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights after each update and the loss around them, else
      None;
    - ``plane``: the path of each arm's weights in a plane, if it was recorded;
    - ``weights``: the kept final weights, by arm, seed and tuning repeat (0 without repeats);
    - ``workload``: what was trained, if it is known;
    - ``panels``: further panels of the comparison plot; None: those that optcompare brings along;
    - ``appearance``: colours of arms by label, where they should not follow from the labels.
    """

    panels: Mapping[str, Panel] | None = field(default=None, kw_only=True)
    appearance: Mapping[str, str] | None = field(default=None, kw_only=True)

    def colours(self) -> dict[str, str]:
        """Return the look of each arm by its label, in every figure: a colour, with a marker and dashes."""
        from .comparison_plot import colours_of

        return colours_of(self)

    def plot(self, metric: str | None = None, *, width: float | None = None, caption: bool = True) -> Figure:
        """Draw the comparison plot.

        Args:
            metric: A column of the records. By default the compared loss, below it the training loss, and the
                final values on the test set if there is one.
            width: The width in inches; 10 by default.
            caption: Whether the title, which states what is claimed, and the explanations are drawn.

        Returns:
            A matplotlib Figure; ``.savefig("x.pdf")`` saves it in the format of the suffix.

        Raises:
            ComparisonError: There is no such column.
        """
        from .comparison_plot import comparison_plot

        return comparison_plot(self, metric, width=width, caption=caption)

    def shown_metrics(self) -> list[str]:
        """Return the columns of the comparison plot: the compared loss, then the training loss."""
        return list(dict.fromkeys([self.compared, "train_loss"]))

    def headline(self, metric: str | None = None) -> str:
        """State the finding in a few words; see :func:`optcompare.analysis.headline.headline`.

        Args:
            metric: The column of the figure. If arms were compared by another column, the headline names that
                one.
        """
        from .comparison_plot import headline_of

        return headline_of(self, metric)

    def wanted_panels(self) -> list[tuple[str, Panel, pd.DataFrame]]:
        """Return the panels that have something to show for this run, those of plugins first.

        Returns:
            The name of each panel, the panel, and the table that it draws.
        """
        from .comparison_plot import wanted_panels

        return wanted_panels(self)

    def panel_tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables that panels read, by name; see :class:`optcompare.Panel`."""
        from .comparison_plot import panel_tables

        return panel_tables(self)

    def save_page(self, path: str | Path) -> None:
        """Write one HTML page that opens offline: verdict, certificate, interactive curves, sortable tables.

        Args:
            path: The file.

        Raises:
            RunDirectoryError: It cannot be written.
        """
        from .html.page import page

        text = page([self])
        with run_dir.writing(Path(path)):
            Path(path).write_text(text, encoding="utf-8")

    def save(self, directory: str | Path, formats: str | Sequence[str] = ("png",)) -> Path:
        """Write the run directory.

        Args:
            directory: A new or an empty directory.
            formats: The formats of the comparison plot: ``png``, ``svg``, ``pdf``, ``html``.

        Returns:
            Its path.

        Raises:
            ComparisonError: There is no such format.
            RunDirectoryError: The directory is not empty, or cannot be written.
        """
        path, formats = Path(directory), (formats,) if isinstance(formats, str) else tuple(formats)
        for name in formats:
            if name not in FORMATS:
                hint = suggestion(name, FORMATS)
                raise ComparisonError(f"unknown plot format {name!r}{hint}; give {', '.join(FORMATS)}")
        run_dir.claim(path)
        self.write(path, formats)
        return path

    def write(self, directory: Path, formats: Sequence[str] = ("png",), metric: str | None = None) -> None:
        """Write every file of the run directory, each atomically, replacing existing files.

        Args:
            directory: The run directory.
            formats: The formats of the comparison plot, as :meth:`save` takes them.
            metric: The column of the comparison plot, as :meth:`plot` takes it.
        """
        from .saving import write_run

        write_run(self, directory, formats, metric)

    def _repr_html_(self) -> str:
        from .html.notebook import result_html

        return result_html(self)

    def __repr__(self) -> str:
        from .html.notebook import result_text

        return result_text(self)
