"""Print what the runs of a suite show together: the cost of each goal, and the score of each arm."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.formatting import number
from ..report.suite_score import REFERENCE, SuiteScore
from ..storage.run_dir import safe_name
from .runs import result_as_json

if TYPE_CHECKING:
    from ..interfaces.suite import Suite
    from ..report.result import Result
    from .printer import Printer
    from .requests import RunRequest


def by_resume(folder: Path) -> str:
    """Return how a suite in a folder goes on."""
    return f"continue: optcompare run --resume {shlex.quote(str(folder))}"


def show_score(
    suite: Suite, results: Sequence[Result], folder: Path, printer: Printer, request: RunRequest
) -> None:
    """Write and print the score, or say how to go on where the suite was interrupted.

    Args:
        suite: The suite.
        results: The results of its workloads, up to an interruption.
        folder: The folder of its run directories.
        printer: Prints lines and tables.
        request: The parsed command line.
    """
    formats = request.options.formats
    folders = [folder / safe_name(result.comparison.workload.label) for result in results]
    plots = [each / f"comparison.{formats[0]}" for each in folders]
    whole = len(results) == len(suite.workloads) and results[-1].status != "interrupted"
    score = SuiteScore(suite, results) if whole else None
    drawn = score.save(folder, formats) if score is not None else []
    if request.output.as_json:
        found = {
            "score": None if score is None else score.as_json(),
            "runs": [result_as_json(result, plot) for result, plot in zip(results, plots, strict=True)],
        }
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    elif request.output.quiet:
        for plot in drawn or plots:
            click.echo(str(plot), err=printer.to_stderr)
    elif score is None:
        printer.line(f"a score needs all workloads of suite {suite.name}; {by_resume(folder)}")
    else:
        print_score(score, printer)
        for path in drawn:
            printer.line(f"plot: {path}")


def print_score(score: SuiteScore, printer: Printer, cost: str = "samples") -> None:
    """Print a table of the cost of each goal by arm, the scores, and what they mean.

    Args:
        score: The score.
        printer: Prints lines and tables.
        cost: ``samples`` or ``updates``.
    """
    times = score.times(cost)
    columns, found = list(map(str, times)), score.scores(cost).to_dict()
    rows = [
        [each.workload, str(each.goal), *map(number, costs)]
        for each, costs in zip(score.suite.workloads, times.to_numpy(float), strict=True)
    ]
    rows.append(["score", "", *(f"{found[arm]:.2f}" for arm in columns)])
    seeds = len(score.results[0].comparison.seeds)
    printer.line()
    printer.line(f"suite {score.suite.name}: {cost} to the goal, median over {seeds} seeds; ∞: missed")
    printer.table(["workload", "goal", *columns], rows)
    printer.line(
        f"score: mean over workloads of (4 - r)/3, at least 0, for the ratio r of {cost} to the least in its "
        "row; 0 for a miss"
    )
    if REFERENCE in columns:
        printer.line(
            f"{REFERENCE}: on each workload the best of all trials that set its goal, not trained in this run"
        )
    printer.line("a score depends on the arms beside it: compare arms by scores of one command")
    for note in score.notes():
        printer.line(f"note: {note}")
