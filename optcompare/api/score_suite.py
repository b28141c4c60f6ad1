"""The function ``score_suite()``, which trains arms on all workloads of a suite and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.budget import UNITS
from ..errors import ComparisonError
from ..interfaces.suite import Suite
from ..planning.factories import StrategyLike
from ..planning.optimizer_factory import OptimizerLike
from ..planning.question import Question
from ..planning.suites import find_suite, names_in_errors, suite_questions
from ..registry.manager import Registry
from ..report.suite_score import SuiteScore
from ..storage.run_dir import COMPARISON, safe_name
from ..storage.suite_run import write_suite_run
from .compare import compare
from .observed import folder, texts

_FIXED = ("workload", "goal", "measure", "split_seeds", "resume", *UNITS)


def score_suite(
    suite: str | Path | Suite,
    strategies: str | Sequence[StrategyLike] | StrategyLike,
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",),
    *,
    out: str | Path | None = None,
    **question: Any,
) -> SuiteScore:
    """Train arms on all workloads of a suite, each to its goal, and score them beside the reference.

    Args:
        suite: A registered name such as "small", the path of a JSON file, or a :class:`Suite`.
        strategies: As in :func:`optcompare.compare`, with their batch sizes, so that arms are the same
            everywhere.
        optimizers: As in :func:`optcompare.compare`.
        out: A folder for a run directory of each workload, ``score.csv`` and the profile. If it holds runs of
            the same question, they go on. None: nothing is written.
        **question: Further arguments of :func:`optcompare.compare`, such as ``tune`` and ``seeds``. The suite
            fixes goal, budget, ``measure`` and ``split_seeds``.

    Returns:
        The score, with the result of each workload.

    Raises:
        OptcompareError: There is no such suite, a comparison cannot be run, or one was interrupted.

    Example:
        >>> score = score_suite("small", "mini:32", ["adamw", "sgd:momentum=0.9"], tune=8)
        >>> score.scores()
    """
    given = ", ".join(name for name in _FIXED if name in question)
    if given:
        raise ComparisonError(f"a suite fixes workload, goal, budget and measurements; leave out {given}")
    plugins = texts("plugins", question.get("plugins", ()))
    found = suite if isinstance(suite, Suite) else find_suite(Registry.load(plugins), str(suite))
    directory, results = folder("out", out), []
    for asked in suite_questions(found, Question()):
        assert asked.budget is not None
        fixed: dict[str, Any] = {asked.budget.unit: int(asked.budget.amount), **question}
        with names_in_errors(str(asked.workload), len(found.workloads)):
            result = compare(
                asked.workload,
                strategies,
                optimizers,
                goal=asked.goal,
                measure=asked.measure,
                **_where(directory, str(asked.workload)),
                **fixed,
            )
        if result.status == "interrupted":
            raise ComparisonError(f"{asked.workload} was interrupted; a score needs all workloads of a suite")
        results.append(result)
    score = SuiteScore(found, results)
    if directory is not None:
        folders = {safe_name(one.comparison.workload.label): one.comparison for one in results}
        write_suite_run(directory, found, folders)
        score.save(directory)
    return score


def _where(directory: Path | None, workload: str) -> dict[str, Any]:
    """Return the run directory of a workload, as an argument of ``compare()``: new, or of an earlier run."""
    if directory is None:
        return {}
    folder = directory / safe_name(workload)
    return {"resume" if (folder / COMPARISON).exists() else "out": folder}
