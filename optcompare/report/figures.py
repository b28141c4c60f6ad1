"""Draw every figure by its name, and save figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.parameters import suggestion
from ..errors import USER_CODE_ERRORS, ComparisonError, PluginError, explain
from ..results.csv_text import csv_text
from ..storage.run_dir import make_directory, safe_name, write_atomically
from .figures_across import ACROSS, arms_of
from .figures_of_one import ONE, drawn_on, settings
from .naming import named
from .output_files import joined
from .paper import XS as XS
from .paper import Paper, at_resolution, check_metric, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .result import Result

FIGURES = (*ONE, *ACROSS)


def figure(
    kind: str,
    results: Result | Sequence[Result],
    x: str | None = None,
    width: float | None = None,
    *,
    metric: str | None = None,
    caption: bool = True,
    dpi: float | None = None,
    ax: Axes | None = None,
    labels: Mapping[str, str] | None = None,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a figure by its name.

    Args:
        kind: One of ``loss paths final tuning pairs goal scaling``; a panel such as ``sharpness``; or, for
            results of several workloads, ``profile`` or ``ranks``.
        results: One result, or several.
        x: The axis of ``loss`` (all axes if None) and of a panel, and the cost in ``goal`` and ``profile``:
            ``epochs``, ``updates``, ``samples`` or ``seconds``.
        width: The width in inches; by default 10 for ``loss`` and ``paths``, and 7 for all others.
        metric: The column that ``loss`` and ``final`` show; by default the column that the verdict compares.
        caption: Whether title and explanations are drawn; the figure's ``caption`` holds them in any case.
        dpi: Dots per inch at which it is shown and saved; None: matplotlib's default.
        ax: Axes to draw on, for figures with one panel: ``loss`` with ``x``, ``final``, ``tuning``,
            ``pairs``, ``goal``, ``profile`` and further panels. The figure of these axes is returned, to
            which ``width``, ``caption`` and ``dpi`` do not apply.
        labels: Other labels of arms, by the present ones, such as ``{"mini:32": "small batches"}``.
        colors: Hexadecimal colours, such as "#0072b2", by label; of a study of batch sizes by optimizer.

    Returns:
        A matplotlib Figure; its ``savefig`` embeds fonts in PDF, and leaves text as text in SVG.

    Raises:
        ComparisonError: The comparison does not hold what the figure shows, or an argument is out of range.
    """
    from .result import Result

    are_several = isinstance(results, Sequence) and not isinstance(results, str)
    several: list[Any] = [*results] if are_several else [results]  # type: ignore[misc]
    wrong = [each for each in several if not isinstance(each, Result)]
    if wrong:
        raise ComparisonError(
            f"a figure shows what compare() or load() returns, got {wrong[0]!r}; "
            "give such as optcompare.load('runs/DIR')"
        )
    several = named(several, labels or {}, colors or {}, ("labels", "colors"))
    paper = Paper(width, caption, dpi, metric, ax, x)
    if kind in ACROSS:
        return figure_across(kind, several, paper)
    if len(several) != 1:
        raise ComparisonError(f"the figure {kind} shows one result, got {len(several)}")
    return figure_of(kind, several[0], paper)


def figure_of(kind: str, result: Result, paper: Paper | None = None) -> Figure:
    """Draw a figure of one result, or a panel.

    Args:
        kind: The name of the figure, see :func:`figure`.
        result: The result of a comparison.
        paper: The format; None: the default one.

    Raises:
        ComparisonError: The comparison does not hold what the figure shows, or an argument is out of range.
    """
    paper, known = paper or Paper(), ONE.get(kind)
    if kind != "tuning" and result.reported[1].empty:
        stopped = "this run was interrupted while it was tuned"
        what = f"{result.unfinished}, all of tuning" if result.is_under_way else stopped
        raise ComparisonError(f"{what}; there is only the figure tuning to draw")
    several = known is not None and (known.several_panels or (kind == "loss" and paper.x is None))
    if paper.ax is not None and several:
        more = "; give x, such as x='epochs'" if kind == "loss" else ""
        raise ComparisonError(f"the figure {kind} has several panels, and does not fit one ax{more}")
    if paper.metric is not None:
        if known is None or not known.metric:
            raise _no_metric(kind)
        check_metric(paper.metric, result.reported[0], final=kind == "final")
    return at_resolution(paper, _panel(result, kind, paper) if known is None else known.draw(result, paper))


def figure_across(kind: str, results: Sequence[Result], paper: Paper | None = None) -> Figure:
    """Draw a figure of several workloads.

    Args:
        kind: ``profile`` for the cost of the goal, or ``ranks`` for the final losses.
        results: One for each workload, all with the same arms.
        paper: The format; None: the default one.

    Raises:
        ComparisonError: There are fewer than two results, or their arms differ, or an argument is out of
            range.
    """
    paper = paper or Paper()
    if paper.metric is not None:
        raise _no_metric(kind)
    if len(results) < 2:
        raise ComparisonError(
            f"the figure {kind} shows several workloads; give several run directories, or one run of several"
        )
    return at_resolution(paper, ACROSS[kind](results, paper))


def save_figures(
    results: Sequence[Result],
    kind: str | None,
    out: Path,
    formats: Sequence[str],
    paper: Paper | None = None,
    runs: Sequence[str] | None = None,
) -> list[Path]:
    """Draw a figure of each result, or one of all results, and save it.

    Args:
        results: One for each workload.
        kind: The figure; None: the comparison plot.
        out: The directory, which is created if it does not exist.
        formats: The suffixes; ``html`` is one page of all results, which is written with the comparison plot
            only.
        paper: The format of figures.
        runs: A name for each result, which begins the names of its files, as in ``RUN-pairs.png`` and
            ``RUN-report.html``.

    Returns:
        The files.
    """
    paper = paper or Paper()
    if "html" in formats:
        pictures = [suffix for suffix in formats if suffix != "html"]
        paths = save_figures(results, kind, out, pictures, paper, runs) if pictures else []
        return paths if kind is not None else [*paths, _save_page(results, out, runs)]
    if kind is not None and kind in ACROSS:
        name = kind if runs is None else f"{joined(runs)}-{kind}"
        return save_figure(figure_across(kind, results, paper), out, name, formats, paper)
    drawn = [(result, figure_of(kind or "loss", result, paper)) for result in results]
    paths = []
    for place, (result, picture) in enumerate(drawn):
        suffix = f"-{safe_name(result.comparison.workload.label)}" if len(results) > 1 else ""
        name = f"{kind or 'comparison'}{suffix}" if runs is None else f"{runs[place]}-{kind or 'comparison'}"
        paths += save_figure(picture, out, name, formats, paper)
    return paths


def save_across(results: Sequence[Result], out: Path, formats: Sequence[str]) -> list[Path]:
    """Save the figures of several workloads: a profile if each has a goal, ranks if there are several arms.

    Args:
        results: One for each workload.
        out: The directory, which is created if it does not exist.
        formats: The suffixes of the files, such as ``png``.

    Returns:
        The files.
    """
    kinds = ["profile"] if all(result.goal is not None for result in results) else []
    kinds += ["ranks"] if len(arms_of(results[0])) > 1 else []
    return [path for kind in kinds for path in save_figures(results, kind, out, formats)]


def save_scaling(result: Result, out: Path, formats: Sequence[str]) -> list[Path]:
    """Save ``scaling.csv`` and the figure ``scaling`` of a batch-size study.

    Args:
        result: The result of the study.
        out: The directory.
        formats: The suffixes of the figure.

    Returns:
        The files of the figure.
    """
    from ..analysis.batch_scaling import COLUMNS

    tables = [curve.table for curve in result.scaling()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    write_atomically(out / "scaling.csv", lambda path: path.write_bytes(csv_text(table).encode()))
    return save_figures([result], "scaling", out, formats) if tables else []


def _panel(result: Result, kind: str, paper: Paper) -> Figure:
    """Draw one further panel as a figure."""
    from .plots.builtin_panels import PANELS
    from .plots.panel_figure import panel_figure

    panels = {name: make() for name, make in PANELS.items()} if result.panels is None else result.panels
    if kind not in panels:
        names = (*FIGURES, *panels)
        raise ComparisonError(
            f"there is no figure '{kind}'{suggestion(kind, names)}; there are {', '.join(names)}"
        )
    panel, tables, x = panels[kind], result.panel_tables(), paper.x or "epochs"
    try:
        if panel.reads not in tables or not panel.wants(tables[panel.reads]):
            raise ComparisonError(f"the panel {kind} {panel.missing()}")
        if paper.ax is not None:
            return drawn_on(paper.ax, panel.draw, tables[panel.reads], result.colours(), x)
        table, colours = tables[panel.reads], result.colours()
        return panel_figure(panel, table, colours, x=x, **settings(paper))  # type: ignore[arg-type]
    except (ComparisonError, PluginError):
        raise
    except USER_CODE_ERRORS as error:
        if kind in PANELS:
            raise
        raise PluginError(f"panel {kind}: {explain(error)}") from error


def _no_metric(kind: str) -> ComparisonError:
    return ComparisonError(f"metric is for the figures loss and final; {kind} has no choice of column")


def _save_page(results: Sequence[Result], out: Path, runs: Sequence[str] | None) -> Path:
    from .html.page import page

    make_directory(out)
    path = out / ("comparison.html" if runs is None else f"{joined(runs)}-report.html")
    write_atomically(path, lambda place: place.write_text(page(results), encoding="utf-8"))
    return path
