"""Commands that a user can run after a run; they work when they are pasted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ..storage.suite_run import is_suite_run

if TYPE_CHECKING:
    from ..report.result import Result

_MORE_SEEDS = 2


def next_steps(result: Result, directory: Path) -> list[str]:
    """Name the next commands: draw another figure, open a page, add seeds; or continue an interrupted run.

    Args:
        result: The result of the run.
        directory: The run directory. One in the folder of a suite goes on, or gets seeds, with the suite.

    Returns:
        One to three lines, with the path quoted for a shell.
    """
    run = shlex.quote(str(directory))
    whole = shlex.quote(str(directory.parent)) if is_suite_run(directory.parent) else run
    if result.status == "interrupted":
        return [f"Stopped; results so far are saved. Continue: optcompare run --resume {whole}"]
    figure = "pairs" if len(result.comparison.arms) > 1 else "final"
    now, needed = len(result.comparison.seeds), _seeds_for_a_claim(result)
    seeds = needed if needed > now else now + _MORE_SEEDS
    return [
        f"another figure: optcompare report {run} --figure {figure}",
        f"a page to explore: optcompare report {run} --format html",
        f"more seeds: optcompare run --resume {whole} --seeds {seeds}",
    ]


def _seeds_for_a_claim(result: Result) -> int:
    """Count the seeds from which on a difference may be claimed; 0 where seeds are not observations."""
    pairs = result.pairs()
    if pairs.empty or result.comparison.split_seeds > 1 or result.comparison.repeats > 1:
        return 0
    return int(pairs["seeds_needed"].iloc[0])
