"""Find suites by name or file, and turn one into a question for each of its workloads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..core.file_paths import join_script_path
from ..core.grammar import parse
from ..errors import USER_CODE_ERRORS, ComparisonError, OptcompareError, PluginError, explain
from ..interfaces.suite import Suite
from ..registry.manager import Registry
from .question import Question

SUITE = "suite:"
_FILE = ".json"


def names_suite(workloads: Sequence[str]) -> bool:
    """Return whether a list of workloads is a suite.

    Args:
        workloads: The items of ``--workload``.

    Raises:
        ComparisonError: It holds a suite and something else.
    """
    suites = [item for item in workloads if item.strip().startswith(SUITE)]
    if suites and len(workloads) > 1:
        raise ComparisonError(
            f"{suites[0].strip()} is a list of workloads of its own, with goals and a score; leave out the "
            "others, or make a run of each"
        )
    return bool(suites)


def find_suite(registry: Registry, name: str) -> Suite:
    """Find a suite.

    Args:
        registry: The registry in which its name is looked up.
        name: A registered name, or the path of a JSON file; ``suite:`` may stand before it.

    Returns:
        The suite; some of its goals may be missing.

    Raises:
        OptcompareError: There is none, it cannot be read, or one of its workloads is not a registered one.
    """
    name = name.strip().removeprefix(SUITE)
    suite = Suite.read(name) if name.endswith(_FILE) else _registered(registry, name)
    for each in suite.workloads:
        _check_registered(registry, suite.name, each.workload)
    return suite


def suite_questions(suite: Suite, question: Question) -> list[Question]:
    """Return the question for each workload of a suite, with its goal, budget and measurements.

    Args:
        suite: The suite.
        question: The arms and all other settings.

    Returns:
        The questions, in the order of the suite.

    Raises:
        ComparisonError: A goal is missing, or the question sets what the suite fixes.
    """
    suite.check_goals()
    fixed = {
        "--goal": question.goal is not None,
        "a budget (--epochs, --updates, --samples, --seconds)": question.budget is not None,
        "--measure": question.measure != Question.measure,
        "--split-seeds": question.split_seeds != Question.split_seeds,
    }
    given = ", ".join(name for name, is_given in fixed.items() if is_given)
    if given:
        raise ComparisonError(
            f"suite {suite.name} fixes goal, budget, measurements and data of each workload, so that scores "
            f"can be compared; leave out {given}"
        )
    return [
        dataclasses.replace(
            question, workload=each.workload, goal=each.goal, budget=each.budget, measure=each.measure
        )
        for each in suite.workloads
    ]


@contextmanager
def names_in_errors(workload: str, among: int) -> Iterator[None]:
    """Begin an error with the workload that it is about, where there are several and it names none.

    Args:
        workload: The workload that is handled in the block.
        among: How many there are.

    Raises:
        OptcompareError: The error of the block, with the workload.
    """
    try:
        yield
    except OptcompareError as error:
        name = re.escape(workload.partition(":")[0])
        if among == 1 or re.match(rf"(?:.*\bworkload '?)?{name}(?![\w-])", str(error)):
            raise
        raise type(error)(f"{workload}: {error}") from error


def _registered(registry: Registry, name: str) -> Suite:
    known = registry.entries("suites")
    if name not in known and (not name or Path(name).exists() or "/" in name):
        raise ComparisonError(
            f"a suite is a registered name or a file that ends in {_FILE}, such as suite:small, got "
            f"{name or 'nothing'}"
        )
    entry = registry.find("suites", name)
    try:
        suite = entry.factory()
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(f"suite {name} failed: {explain(error)}") from error
    if not isinstance(suite, Suite):
        raise PluginError(f"suite {name} must return a Suite, got a {type(suite).__name__}")
    return suite


def _check_registered(registry: Registry, suite: str, workload: str) -> None:
    """Refuse a workload in a Python file, since a file of goals must not name code that is executed."""
    name = join_script_path(parse(workload)).name
    if name.endswith(".py"):
        raise ComparisonError(
            f"suite {suite}: {workload} names a Python file, and a suite holds no code; register the "
            "workload in a plugin, and give it with --plugin"
        )
    registry.find("workloads", name)
