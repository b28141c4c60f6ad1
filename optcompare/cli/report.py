"""The command ``report``: figures and tables of runs that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .runs import Nearest, name_missing_glyphs, remember_plugins, warn

FIGURES = ("loss", "paths", "final", "tuning", "pairs", "goal", "scaling", "profile", "ranks")
XS = ("epochs", "updates", "samples", "seconds")
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


@click.command(short_help="Draws figures and prints tables, without training.", epilog=EXAMPLES)
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option(
    "--figure",
    metavar="NAME",
    help=f"{', '.join(FIGURES)}; or a panel: batch_size, noise_scale, grad_cosine, sharpness, plane, or a "
    "plugin's.  "
    "[default: the comparison plot]",
)
@click.option("--x", type=Nearest(XS), help="Axis of the loss or of a panel, or what the goal is counted in.")
@click.option(
    "--format", "formats", default="png", show_default=True, metavar="LIST", help="png,svg,pdf; html: a page."
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
def report(directories: tuple[Path, ...], **options: Any) -> None:
    """Draws figures and prints tables from run directories, without training.

    Several runs of the same workload are merged, unless their fingerprints show
    that they did not ask the same question. Run directories are only read, also
    while a run is under way; it is said then how many of its trials have ended.
    It executes installed plugins and what --plugin names, nothing that a run names.
    """
    from ..core.parameters import suggestion
    from ..registry.manager import Registry
    from ..report.figures import save_figures
    from ..report.loading import load_with_paths
    from ..report.naming import named
    from ..report.output_files import names_of_runs, refuse_run_directory
    from ..report.panels import make_panels
    from ..report.paper import PRINT_DPI, Paper
    from .looks import arm_colours, arm_labels
    from .options import plot_formats
    from .terminal import Reporter, summary_as

    formats, figure = plot_formats(options["formats"]), options["figure"]
    labels, colours = arm_labels(options["labels"]), arm_colours(options["colours"])
    remember_plugins(options["plugin"])
    registry = Registry.load(options["plugin"], kind="panels")
    warn(registry.warnings)
    panels = make_panels(registry)
    known = (*FIGURES, *panels)
    if figure is not None and figure not in known:
        said = f"'{figure}' is none of {', '.join(known)}{suggestion(figure, known)}"
        raise click.BadParameter(said, param_hint="'--figure'")
    asked = any(options[name] is not None for name in ("figure", "x", "width", "metric", "dpi"))
    asked = asked or not options["caption"]
    if "html" in formats and asked:
        raise click.UsageError(
            "--format html makes a page of the whole comparison; leave out --figure, --x, --width, "
            "--metric, --dpi and "
            "--no-caption"
        )
    if options["x"] is not None and figure is None:
        raise click.UsageError(
            "--x is for one figure, and the comparison plot has three axes; add --figure loss --x "
            f"{options['x']}"
        )
    dpi = PRINT_DPI if options["dpi"] is None else options["dpi"]
    paper = Paper(options["width"], options["caption"], dpi, options["metric"], x=options["x"])
    if not options["table"]:
        refuse_run_directory(options["out"])
    loaded = load_with_paths(directories)
    results = named([result for result, _ in loaded], labels, colours)
    for result in results:
        result.panels = panels
        if result.unfinished:
            which = f"{result.comparison.workload.label}: " if len(results) > 1 else ""
            click.echo(f"note: {which}{result.unfinished}", err=True)
    if options["table"]:
        click.echo("\n\n".join(summary_as(options["table"], result, options["wide"]) for result in results))
        return
    name_missing_glyphs(results)
    names = names_of_runs(
        [paths for _, paths in loaded], [result.comparison.workload.label for result in results]
    )
    written = save_figures(results, figure, options["out"], formats, paper, names)
    say = Reporter(quiet=False, wide=options["wide"])
    if figure is None:  # after what may be refused
        for result in results:
            say.summary(result)
    for path in written:
        click.echo(f"{'page' if path.suffix == '.html' else 'plot'}: {path}")
