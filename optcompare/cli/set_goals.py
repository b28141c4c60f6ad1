"""The command ``set-goals``: goals of a suite, by the best of many trials."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from .option_values import job_count, read_by
from .runs import remember_plugins

EXAMPLES = """\b
Examples:
  optcompare set-goals small --out goals
  optcompare set-goals mine.json --out goals
  optcompare run --workload suite:goals/mine.json --strategies mini:32 --optimizers adamw --tune 8
"""


@click.command("set-goals", short_help="Set a suite's goals by the best of many trials.", epilog=EXAMPLES)
@click.argument("suite")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where SUITE.json and the runs are written; if it holds an earlier attempt, that one goes on.  "
    "[default: runs/TIME-SUITE-goals]",
)
@click.option(
    "--jobs", callback=read_by(job_count), metavar="N|auto", help="Trials at once.  [default: auto]"
)
@click.option("--force", is_flag=True, help="Goes on even if versions, data or sources changed.")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
@click.option("--quiet", is_flag=True, help="Print only the path of the file.")
def set_goals(
    suite: str,
    out: Path | None,
    jobs: int | str | None,
    force: bool,
    plugin: tuple[str, ...],
    quiet: bool,
) -> None:
    """Set the goals of a suite by the best of many trials, and write the suite with them.

    SUITE is a name that optcompare list suites shows, or a JSON file with workloads,
    budgets and a search: strategies and optimizers, how many learning rates each tries,
    and how many seeds repeat the best. Nothing is set by hand, so that anyone can set
    the goals of a suite again.

    An attempt that was interrupted goes on with the same command and --out DIR.

    It executes installed plugins and what --plugin names.
    """
    from ..api.set_goals import set_goals as goals_set
    from .printer import Printer

    remember_plugins(plugin)
    printer = Printer(quiet)
    say = (lambda line: None) if quiet else printer.line
    with_options = inspect.unwrap(goals_set)  # whose errors name options
    path = with_options(suite, out=out, force=force, plugins=plugin, jobs=jobs, progress=not quiet, say=say)
    printer.line(str(path) if quiet else f"suite: {path}")
