"""The command ``reproduce``: a published result, trained again."""

from __future__ import annotations

import inspect
import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .runs import remember_plugins

if TYPE_CHECKING:
    from ..api.reproduce import Reproduced
    from .printer import Printer

EXAMPLES = """\b
Examples:
  optcompare list reproductions
  optcompare reproduce notebook
  optcompare reproduce three-regions --full --out three-regions
"""


@click.command(short_help="Train a published result again, and say whether it holds.", epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--quick/--full",
    "quick",
    default=True,
    help="A small setting, in minutes on two cores; or the whole one, in up to four hours.  [default: quick]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where report, figure and runs are written; if it holds an earlier attempt, that one goes on.  "
    "[default: runs/TIME-NAME-SIZE]",
)
@click.option("--force", is_flag=True, help="Goes on even if versions, data or sources changed.")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
@click.option(
    "--quiet", is_flag=True, help="Print only the path of the figure, or of the report if there is none."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def reproduce(
    ctx: click.Context,
    name: str,
    quick: bool,
    out: Path | None,
    force: bool,
    plugin: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a published result again, and say whether it holds.

    It prints the claim, its source, what is trained here, and for each number that the
    claim predicts the range in which it holds, what was found, and yes or no. Where a
    number is not as expected, it prints the likely reason. Exit code 0: all hold; 1:
    at least one does not; 130: interrupted.

    An attempt that was interrupted goes on with the same command and --out DIR.

    It executes installed plugins and what --plugin names.
    """
    from ..api.reproduce import reproduce as reproduced
    from .printer import Printer

    remember_plugins(plugin)
    printer = Printer(quiet or as_json, to_stderr=as_json)
    say = (lambda line: None) if printer.quiet else printer.line
    prints_go_to = redirect_stdout(sys.stderr) if printer.quiet else nullcontext()
    with prints_go_to:  # the output is the report or a path alone
        result = inspect.unwrap(reproduced)(  # whose errors name options
            name,
            full=not quick,
            out=out,
            force=force,
            plugins=plugin,
            progress=not printer.quiet,
            say=say,
        )
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2, ensure_ascii=False, allow_nan=False))
    elif quiet:
        click.echo(str(_picture(result)))
    else:
        _print(result, printer)
    ctx.exit(0 if result.holds else 1)


def _print(result: Reproduced, printer: Printer) -> None:
    from ..core.formatting import duration

    about = result.about
    setting = about.setting if result.full or not about.quick else f"{about.setting} Quick: {about.quick}"
    printer.line()
    for title, text in (("claim", about.claim), ("source", about.source), ("setting", setting)):
        printer.line(f"{title}: {text}")
    printer.line()
    printer.table(["expected", "range", "found", "holds"], result.rows())
    for note in result.found.notes:
        printer.line(f"note: {note}")
    printer.line()
    printer.line(f"{result.name} {result.verdict()}")
    printer.line(f"{_picture(result)} after {duration(result.seconds)}")


def _picture(result: Reproduced) -> Path:
    """Return the path of the figure, or of the report where there is none."""
    from ..api.reproduce import FIGURE, REPORT

    return result.directory / (FIGURE if result.found.figure is not None else REPORT)
