"""The command ``report``: figures and tables of run directories."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.budget import UNITS
from .option_values import Nearest, plot_formats, read_by
from .runs import name_missing_glyphs, remember_plugins, warn

if TYPE_CHECKING:
    from ..report.paper import Paper
    from ..report.result import Result

FIGURES = ("loss", "paths", "final", "tuning", "pairs", "goal", "scaling", "profile", "ranks")
TABLES = ("csv", "md", "latex")

EXAMPLES = """\b
Examples:
  optcompare report runs/20260101-120000-digits
  optcompare report runs/20260101-120000-digits --format html
  optcompare report runs/20260101-120000-digits --figure pairs --format pdf --width 3.4
  optcompare report runs/* --figure profile --x samples
  optcompare report runs/20260101-120000-digits --figure sharpness --x updates
  optcompare report runs/20260101-120000-digits --label "Ours=halves:3" --color "Ours=#D55E00"
  optcompare report runs/20260101-120000-digits --table latex
"""


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """Hold the parsed command line of ``report``.

    Args:
        directories: Run directories, or folders of them.
        figure: The name of the figure; None: the comparison plot.
        formats: The suffixes of the files, such as ``png``.
        paper: Width, caption, resolution, metric and unit of the axis of figures.
        labels: New labels of arms by their own.
        colours: Colours of arms by their labels.
        table: The form of a table to print in place of figures; None: figures are drawn.
        wide: Print all columns of the summary.
        out: The directory in which files are written.
        plugins: Files and modules to load, as they were typed.
    """

    directories: tuple[Path, ...]
    figure: str | None
    formats: tuple[str, ...]
    paper: Paper
    labels: dict[str, str]
    colours: dict[str, str]
    table: str | None
    wide: bool
    out: Path
    plugins: tuple[str, ...]

    @classmethod
    def of(cls, ctx: click.Context) -> ReportRequest:
        """Read the parsed command line.

        Args:
            ctx: The click context of the command ``report``.

        Returns:
            The request.

        Raises:
            UsageError: Options do not go together.
            ComparisonError: A value is not in its range.
        """
        from ..report.paper import PRINT_DPI, Paper
        from .arm_styles import arm_colours, arm_labels

        values = ctx.params
        of_figure = ("figure", "x", "width", "metric", "dpi")
        if "html" in values["formats"] and (
            any(values[name] is not None for name in of_figure) or not values["caption"]
        ):
            raise click.UsageError(
                "--format html makes a page of the whole comparison; leave out --figure, --x, --width, "
                "--metric, --dpi and --no-caption"
            )
        if values["x"] is not None and values["figure"] is None:
            raise click.UsageError(
                "--x is for one figure, and the comparison plot has three axes; add --figure loss --x "
                f"{values['x']}"
            )
        dpi = PRINT_DPI if values["dpi"] is None else values["dpi"]
        return cls(
            directories=values["directories"],
            figure=values["figure"],
            formats=values["formats"],
            paper=Paper(values["width"], values["caption"], dpi, values["metric"], x=values["x"]),
            labels=arm_labels(values["labels"]),
            colours=arm_colours(values["colours"]),
            table=values["table"],
            wide=values["wide"],
            out=values["out"],
            plugins=values["plugin"],
        )


@click.command(short_help="Draw figures and print tables, without training.", epilog=EXAMPLES)
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option(
    "--figure",
    metavar="NAME",
    help=f"{', '.join(FIGURES)}; or a panel: batch_size, noise_scale, grad_cosine, sharpness, plane, or a "
    "plugin's.  [default: the comparison plot]",
)
@click.option(
    "--x", type=Nearest(UNITS), help="Axis of the loss or of a panel, or what the goal is counted in."
)
@click.option(
    "--format",
    "formats",
    callback=read_by(plot_formats),
    default="png",
    show_default=True,
    metavar="LIST",
    help="png,svg,pdf; html: a page.",
)
@click.option(
    "--width",
    type=float,
    metavar="INCHES",
    help="3.4 is a column of a paper.  [default: 10 for the loss, else 7]",
)
@click.option("--dpi", type=float, metavar="DOTS", help="Dots an inch of PNG files.  [default: 300]")
@click.option(
    "--metric",
    metavar="COLUMN",
    help="What loss and final show: valid_accuracy, any measured column.  [default: losses]",
)
@click.option(
    "--caption/--no-caption",
    default=True,
    help="Without: explanations are a text beside the figure, FIGURE.txt.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="NEW=ARM", help="Renames an arm; may be given several times."
)
@click.option(
    "--color",
    "colours",
    multiple=True,
    metavar="ARM=#HEX",
    help="An arm's colour; may be given several times.",
)
@click.option(
    "--table", type=Nearest(TABLES), help="Prints the summary as a table instead; csv: every column."
)
@click.option(
    "--wide", is_flag=True, help="All columns of the summary, and how final values spread over seeds."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where files are written, as RUN-FIGURE.png; no run directory.  [default: the current directory]",
)
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="A plugin with panels; may be given several times.",
)
@click.pass_context
def report(ctx: click.Context, /, **_: Any) -> None:
    """Draw figures and print tables from run directories, without training.

    Several runs of the same workload are merged, unless their fingerprints show
    that they did not ask the same question. Run directories are only read, also
    while a run is under way; a note then says how many of its trials have ended.
    It executes installed plugins and what --plugin names, nothing that a run names.
    """
    from ..registry.manager import Registry
    from ..report.loading import load_with_paths
    from ..report.naming import named
    from ..report.output_files import names_of_runs, refuse_run_directory
    from ..report.panels import make_panels, panel_entries
    from .terminal import summary_as

    request = ReportRequest.of(ctx)
    remember_plugins(request.plugins)
    registry = Registry.load(request.plugins, kind="panels")
    warn(registry.warnings)
    _check_figure(request.figure, (*FIGURES, *panel_entries(registry)))
    panels = {} if request.table else make_panels(registry)
    if not request.table:
        refuse_run_directory(request.out)
    loaded = load_with_paths(request.directories)
    results = named([result for result, _ in loaded], request.labels, request.colours)
    for result in results:
        result.panels = panels
    _note_unfinished(results)
    if request.table:
        click.echo("\n\n".join(summary_as(request.table, result, request.wide) for result in results))
        return
    name_missing_glyphs(results)
    workloads = [result.comparison.workload.label for result in results]
    _draw(request, results, names_of_runs([paths for _, paths in loaded], workloads))


def _check_figure(figure: str | None, known: Sequence[str]) -> None:
    """Refuse a figure that does not exist, with the nearest name."""
    from ..core.parameters import suggestion

    if figure is not None and figure not in known:
        message = f"'{figure}' is none of {', '.join(known)}{suggestion(figure, known)}"
        raise click.BadParameter(message, param_hint="'--figure'")


def _note_unfinished(results: Sequence[Result]) -> None:
    """Print to standard error which runs have not ended."""
    for result in results:
        if result.unfinished:
            which = f"{result.comparison.workload.label}: " if len(results) > 1 else ""
            click.echo(f"note: {which}{result.unfinished}", err=True)


def _draw(request: ReportRequest, results: Sequence[Result], names: Sequence[str]) -> None:
    """Write the figures, and print their paths; with the comparison plot, also the summaries."""
    from ..report.figures import save_figures
    from ..report.suite_score import COSTS, score_of
    from ..storage.suite_run import is_suite_run
    from .suite_runs import print_score
    from .terminal import Reporter

    score = score_of(request.directories, results)
    if score is None and len(request.directories) == 1 and is_suite_run(request.directories[0]):
        again = f"optcompare run --resume {shlex.quote(str(request.directories[0]))}"
        click.echo(f"note: no score, which needs all workloads of the suite; continue: {again}", err=True)
    profiled = score if request.figure == "profile" else None
    if profiled is not None and request.paper.x not in (None, *COSTS):
        profiled = None
        click.echo("note: without the reference, of which only samples and updates are known", err=True)
    if profiled is not None:
        written = profiled.save_profile(request.out, request.formats, request.paper)
    else:
        written = save_figures(results, request.figure, request.out, request.formats, request.paper, names)
    if request.figure is None:  # printed only once nothing can be refused any more
        reporter = Reporter(quiet=False, wide=request.wide)
        for result in results:
            reporter.summary(result)
        if score is not None:
            print_score(score, reporter)
    for path in written:
        click.echo(f"{'page' if path.suffix == '.html' else 'plot'}: {path}")
