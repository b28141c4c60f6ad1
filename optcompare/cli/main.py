"""The command line: the only place that prints, chooses exit codes, and turns expected errors into one line."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import OptcompareError
from .run import run
from .scaling import scaling
from .training import warn

if TYPE_CHECKING:
    from ..registry.manager import Entry, Registry
    from .terminal import Reporter

FIGURES = ("loss", "paths", "final", "tuning", "pairs", "goal", "scaling", "profile", "ranks")
XS = ("epochs", "updates", "samples", "seconds")
TABLES = ("csv", "md", "latex")
KINDS = ("strategies", "workloads", "optimizers", "diagnostics", "executors", "panels", "trackers")

REPORT_EXAMPLES = """\b
Examples:
  optcompare report runs/20260101-120000-digits
  optcompare report runs/20260101-120000-digits --format html
  optcompare report runs/20260101-120000-digits --figure pairs --format pdf --width 3.4
  optcompare report runs/* --figure profile --x samples
  optcompare report runs/20260101-120000-digits --figure sharpness --x updates
  optcompare report runs/20260101-120000-digits --table latex
"""


VERIFY_EXAMPLES = """\b
Examples:
  optcompare verify runs/20260101-120000-digits
  optcompare verify runs/20260101-120000-digits --trials all
  optcompare verify runs/20260101-120000-digits --trials 0 --json
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nStart with:\n  optcompare run --strategies full,mini\n  optcompare list strategies",
)
@click.version_option(package_name="optcompare", message="optcompare %(version)s")
def cli() -> None:
    """Compares ways of feeding data to the optimizer: same initial weights, same order of samples, one plot."""


cli.add_command(run)
cli.add_command(scaling)


@cli.command(short_help="Draws figures and prints tables, without training.", epilog=REPORT_EXAMPLES)
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option(
    "--figure",
    metavar="NAME",
    help=f"{', '.join(FIGURES)}; or a panel: batch_size, noise_scale, grad_cosine, sharpness, plane, or a plugin's.  "
    "[default: the comparison plot]",
)
@click.option("--x", type=click.Choice(XS), help="Axis of the loss or of a panel, or what the goal is counted in.")
@click.option(
    "--format", "formats", default="png", show_default=True, metavar="LIST", help="png,svg,pdf; html: a page."
)
@click.option("--width", type=float, metavar="INCHES", help="3.4 is a column of a paper.  [default: 7]")
@click.option("--table", type=click.Choice(TABLES), help="Prints the summary as a table instead.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to draw.  [default: the first DIR]")
@click.option(
    "--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin with panels; may be given several times."
)
def report(directories: tuple[Path, ...], **options: Any) -> None:
    """Draws figures and prints tables from run directories, without training.

    Several runs of the same workload are merged, unless their fingerprints show
    that they did not ask the same question.
    """
    from ..registry.manager import Registry
    from ..report.figures import save_figures
    from ..report.panels import make_panels
    from ..report.result import load_all
    from .options import plot_formats
    from .terminal import Reporter, summary_as

    formats, figure = plot_formats(options["formats"]), options["figure"]
    registry = Registry.load(options["plugin"], kind="panels")
    warn(registry.warnings)
    panels = make_panels(registry)
    if figure is not None and figure not in (*FIGURES, *panels):
        raise click.BadParameter(f"'{figure}' is none of {', '.join((*FIGURES, *panels))}", param_hint="'--figure'")
    if "html" in formats and (options["figure"] or options["x"] or options["width"]):
        raise click.UsageError(
            "--format html makes a page of the whole comparison; leave out --figure, --x and --width"
        )
    results = load_all(directories)
    for result in results:
        result.panels = panels
    if options["table"]:
        click.echo("\n\n".join(summary_as(options["table"], result) for result in results))
        return
    say = Reporter(quiet=False)
    if figure is None:
        for result in results:
            say.summary(result)
    out = options["out"] or directories[0]
    for path in save_figures(results, figure, out, formats, options["x"], options["width"]):
        click.echo(f"{'page' if path.suffix == '.html' else 'plot'}: {path}")


@cli.command(short_help="Checks that a run would come out again.", epilog=VERIFY_EXAMPLES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--trials", default="3", show_default=True, metavar="K|all", help="Trials to train again; 0: none.")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load, beside those of the run.")
@click.option("--json", "as_json", is_flag=True, help="Prints the checks as JSON.")
@click.pass_context
def verify(ctx: click.Context, /, directory: Path, trials: str, plugin: tuple[str, ...], as_json: bool) -> None:
    """Checks that a run directory holds what the run would give again.

    Computes every fingerprint, the certificate and the summary anew, and trains
    a sample of the trials again: in the loop to the last bit; trials of lanes up
    to what rounding makes. Loads the plugins and FILE.py workloads that the run
    names. Exit code 0: every check held, 1: one did not, 2: the call is wrong,
    130: interrupted.
    """  # fmt: skip
    from ..verification.verify import verify as checks
    from .options import sample_size
    from .terminal import Reporter

    size = sample_size(trials)
    _report_findings(ctx, Reporter(quiet=as_json), lambda advanced: checks(directory, size, plugin, advanced), as_json)


@cli.command(
    short_help="Tries out whether a plugin keeps its contracts.",
    epilog="\b\nExamples:\n  optcompare check mine.py\n  optcompare check optcompare_cyclic",
)
@click.argument("plugin", metavar="FILE.py|MODULE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Prints the checks as JSON.")
@click.pass_context
def check(ctx: click.Context, /, plugin: str, as_json: bool) -> None:
    """Tries out whether a plugin's strategies, workloads and optimizers keep their contracts.

    Index coverage, the same batches again, copies, checkpoints, short last
    batches, no global random numbers. Exit code 0: every check held, 1: one did not.
    """  # fmt: skip
    from ..verification.plugin_checks import check as checks
    from .terminal import Reporter

    _report_findings(ctx, Reporter(quiet=as_json), lambda advanced: checks(plugin), as_json)


@cli.command(
    "new-plugin",
    short_help="Writes an installable package to begin with.",
    epilog="\b\nExample:\n  optcompare new-plugin large-first",
)
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Where.  [default: here]")
def new_plugin(name: str, out: Path) -> None:
    """Writes an installable package with a strategy, a test and a README, to begin with."""
    from .new_plugin import new_plugin as written

    for path in written(name, out):
        click.echo(path)


@cli.command(
    "list",
    short_help="Lists strategies, workloads, optimizers and more.",
    epilog="\b\nExamples:\n  optcompare list\n  optcompare list strategies\n  optcompare list optimizers --plugin mine.py",
)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def list_(kind: str | None, plugin: tuple[str, ...]) -> None:
    """Lists what there is: strategies, workloads, optimizers, diagnostics, executors, panels, trackers, with their parameters."""
    from .terminal import print_entries

    registry = _registry(plugin)
    for each in [kind] if kind else KINDS:
        print_entries(each, _entries(registry, each), title=kind is None)


@cli.command(epilog="\b\nExample:\n  optcompare plugins --plugin mine.py")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def plugins(plugin: tuple[str, ...]) -> None:
    """Lists the plugins that were found, and what each adds."""
    from .terminal import print_plugins

    registry = _registry(plugin)
    print_plugins(registry.plugins(), {kind: _entries(registry, kind) for kind in KINDS})


def main(arguments: list[str] | None = None) -> None:
    """The whole command: expected errors are one line and exit code 2, anything else keeps its traceback."""
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in another script is drawn as boxes
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = cli.main(arguments, prog_name="optcompare", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 2
    except click.ClickException as error:
        code = _complain(error.format_message())
    except OptcompareError as error:
        code = _complain(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:  # whoever read us has read enough; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def process() -> None:
    """The entry point of the installed command: once the exit code is known, no further Ctrl-C changes it."""
    try:
        main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _complain(message: str) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return 2


def _registry(plugins: tuple[str, ...]) -> Registry:
    from ..registry.manager import Registry

    registry = Registry.load(plugins)
    warn(registry.warnings)
    return registry


def _entries(registry: Registry, kind: str) -> dict[str, Entry]:
    if kind != "panels":
        return registry.entries(kind)
    from ..report.panels import panel_entries

    return panel_entries(registry)


def _report_findings(ctx: click.Context, say: Reporter, checks: Any, as_json: bool) -> None:
    found = say.findings(checks)
    held = not any(finding.held is False for finding in found)
    if as_json:
        click.echo(json.dumps({"held": held, "checks": [vars(finding) for finding in found]}, indent=2))
    ctx.exit(0 if held else 1)
