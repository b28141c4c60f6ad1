"""Prepare runs that continue previous ones, extended by what the command line adds to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.budget import UNITS
from ..errors import ComparisonError
from ..planning.question import further_arms, seed_list
from ..storage.run_dir import COMPARISON
from ..storage.suite_run import is_suite_run, read_suite_run
from .prepared_run import PreparedRun
from .requests import QUESTION_OPTIONS, RunRequest, options_of

if TYPE_CHECKING:
    from ..core.comparison import Comparison
    from ..planning.prepare import Prepared

_EXTENDED_BY = {"epochs", "updates", "samples", "seeds", "strategies", "optimizers"}
"""Parameters of a question with which a run can be resumed."""


def resumed_runs(request: RunRequest, directory: Path) -> list[PreparedRun]:
    """Prepare a previous run, or all runs of a suite.

    Args:
        request: The parsed command line.
        directory: The run directory, or the folder of a suite.

    Returns:
        One run; of a suite one for each workload, also for those that were never begun.

    Raises:
        OptcompareError: One cannot be continued.
    """
    typed = request.typed
    fixed = [name for name in typed if name in (QUESTION_OPTIONS - _EXTENDED_BY) | {"config", "out"}]
    if fixed:
        raise ComparisonError(f"--resume takes everything else from the run; leave out {options_of(fixed)}")
    if "optimizers" in typed and "strategies" not in typed:
        raise ComparisonError("--optimizers adds arms to a run together with --strategies; give both")
    if not is_suite_run(directory):
        return [_resumed(request, directory)]
    budgets = [name for name in typed if name in UNITS]
    if budgets:
        raise ComparisonError(
            f"{directory} is the run of a suite, which fixes the budgets; leave out {options_of(budgets)}"
        )
    suite, comparisons = read_suite_run(directory)
    runs = []
    for name, comparison in comparisons.items():
        folder = directory / name
        begun = (folder / COMPARISON).exists()
        run = (
            _resumed(request, folder)
            if begun
            else PreparedRun(_extended(request, comparison, directory), folder)
        )
        runs.append(dataclasses.replace(run, suite=suite))
    return runs


def _resumed(request: RunRequest, directory: Path) -> PreparedRun:
    """Prepare one previous run's comparison."""
    from ..storage.previous_run import PreviousRun

    previous = PreviousRun.read(directory)
    return PreparedRun(_extended(request, previous.comparison, directory), directory, previous)


def _extended(request: RunRequest, comparison: Comparison, where: Path) -> Prepared:
    """Prepare a saved comparison, with the seeds, arms and budget that the command line adds."""
    from ..core.named_code import code_of_lists
    from ..planning.prepare import prepare, prepare_again
    from ..storage.resume import extended
    from ..storage.trusted_code import load_registry

    typed, question = request.typed, request.question
    adds_arms = "strategies" in typed
    strategies, optimizers = str(question.strategies), str(question.optimizers)
    named = code_of_lists(strategies, optimizers) if adds_arms else []
    registry = load_registry(comparison, where, request.plugins, named, request.trust)
    before = dataclasses.replace(comparison, plugins=registry.named)
    seeds = seed_list(question.seeds, before.seeds[0]) if "seeds" in typed else None
    arms = None
    if adds_arms:
        further = further_arms(before, strategies, optimizers if "optimizers" in typed else None)
        arms = prepare(registry, further).setup.comparison
    return prepare_again(registry, extended(before, question.budget, seeds, arms))
