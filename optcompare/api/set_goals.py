"""The function ``set_goals()``, which sets the goals of a suite by the best of many trials."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.statistics import final_values
from ..analysis.time_to_goal import time_to_goal
from ..core.arm import Arm
from ..core.goal import Goal
from ..errors import ComparisonError, RunDirectoryError
from ..interfaces.suite import GoalReference, GoalSearch, Suite, SuiteWorkload
from ..planning.factories import make_workload
from ..planning.suites import find_suite
from ..registry.manager import Registry
from ..report.result import Result
from ..storage.default_directory import default_directory
from ..storage.run_dir import make_directory, refuse_occupied, safe_name, write_atomically
from .attempt import Attempt, by_out, interruption_named
from .observed import folder, texts
from .python_words import with_python_words
from .versions import versions

METRIC = "valid_loss"
"""What goals are set on: the loss by which rates are tuned, never one of the test set."""
FIRST_REPEAT = 1000
"""The first seed of the repeats, so that they are not those of usual runs."""
_DIGITS = 4
_LIST = re.compile(r"\[[^][{}]*\]")
"""A list of numbers or texts in JSON, which is written on one line."""


@with_python_words
def set_goals(
    suite: str | Path | Suite,
    *,
    out: str | Path | None = None,
    force: bool = False,
    plugins: str | Sequence[str] = (),
    jobs: Any = "auto",
    progress: bool | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Set the goals of a suite, as its ``search`` describes, and write the suite with them.

    For each workload, every arm tries ``tune`` learning rates on ``tune_seeds`` seeds at ``share`` of the
    budget. The arm and rate with the lowest median final validation loss is trained again on ``repeats``
    other seeds; the median of their final validation losses, rounded up to four digits, is the goal. What
    this arm then needed to reach it is the reference of the workload. The procedure follows AlgoPerf (Dahl et
    al. 2023, arXiv 2306.07179), which repeats the best of 200 trials 20 times.

    Args:
        suite: A registered name, the path of a JSON file, or a :class:`Suite`. Goals that it has are set
            anew.
        out: The folder for ``NAME.json`` and the run directories. If it holds an earlier attempt, trials that
            ended are not trained again. None: a new folder in ``runs``.
        force: Go on with an earlier attempt although versions, data or sources changed.
        plugins: Paths of Python files or names of modules to load.
        jobs: The number of trials at once, as in :func:`optcompare.compare`.
        progress: Show the progress and the time left. None: in notebooks only.
        say: A function that receives a line before each part is trained, and each goal.

    Returns:
        The path of the file, which ``optcompare run --workload suite:FILE.json`` takes.

    Raises:
        OptcompareError: The suite has no search, a workload has no validation set, or it cannot be trained.
        KeyboardInterrupt: It was interrupted; the message names the folder from which it goes on.
    """
    plugins = texts("plugins", plugins)
    registry = Registry.load(plugins)
    found = suite if isinstance(suite, Suite) else find_suite(registry, str(suite))
    search = found.search
    if search is None:
        raise ComparisonError(
            f"suite {found.name} has no search, so that its goals cannot be set; give strategies and "
            'optimizers to try, such as "search": {"strategies": ["mini:32"], "optimizers": ["sgd", "adamw"]}'
        )
    for each in found.workloads:  # before hours are spent on those before it
        if "valid" not in make_workload(registry, each.workload)[0].sets:
            raise ComparisonError(f"{each.workload} has no validation set, on which a goal could be set")
    unset = (dataclasses.replace(one, goal=None, reference=None, set_by={}) for one in found.workloads)
    found = dataclasses.replace(found, workloads=tuple(unset))
    directory = folder("out", out) or default_directory(f"{found.name}-goals")
    path = directory / f"{safe_name(found.name)}.json"
    _claim(directory, path, found)
    attempt = Attempt(directory, True, progress, say, force, plugins)
    for each in found.workloads:
        with interruption_named(f"suite {found.name}", by_out(directory)):
            done = _with_goal(attempt, search, each, jobs)
        say(f"{each.workload}: goal {done.goal}")
        workloads = tuple(done if other.workload == each.workload else other for other in found.workloads)
        found = dataclasses.replace(found, workloads=workloads)
        _write(path, found)
    return path


def _claim(directory: Path, path: Path, suite: Suite) -> None:
    """Begin a folder, or check that it holds an attempt at the same suite."""
    if path.is_file():
        before = Suite.read(path)
        if _asked(before) != _asked(suite):
            raise RunDirectoryError(f"{path} is of another suite, budget or search; give another directory")
        begun = any((directory / safe_name(_searched(each))).exists() for each in before.workloads)
        if not begun and any(each.goal or each.set_by for each in before.workloads):
            raise RunDirectoryError(
                f"{path} has goals that were not set there, and would be overwritten; give another directory"
            )
        return
    refuse_occupied(directory)
    make_directory(directory)
    _write(path, suite)


def _searched(workload: SuiteWorkload) -> str:
    """Return the name of the part that searches the best arm of a workload."""
    return f"{workload.workload} search"


def _asked(suite: Suite) -> Any:
    budgets = [(each.workload, each.budget, each.measure) for each in suite.workloads]
    return suite.name, budgets, suite.search


def _write(path: Path, suite: Suite) -> None:
    text = json.dumps(suite.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    text = _LIST.sub(_on_one_line, text)
    write_atomically(path, lambda temporary: temporary.write_text(f"{text}\n", encoding="utf-8"))


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[0][1:-1].split())}]"


def _with_goal(attempt: Attempt, search: GoalSearch, workload: SuiteWorkload, jobs: Any) -> SuiteWorkload:
    """Search the best arm of a workload, repeat it, and return the workload with goal and reference."""
    budget = search.budget(workload.budget)
    asked: dict[str, Any] = {"measure": workload.measure, "measure_rows": "all", "jobs": jobs}
    asked[budget.unit] = int(budget.amount)
    tuned = attempt.compare(
        _searched(workload),
        workload.workload,
        search.strategies,
        search.optimizers,
        tune=search.tune,
        tune_seeds=search.tune_seeds,
        seeds=1,
        **asked,
    )
    tried = _tried(tuned)
    best = min(tried, key=lambda each: each["median"])
    if not np.isfinite(best["median"]):
        raise ComparisonError(f"{workload.workload}: every rate of every arm diverged; no goal can be set")
    arm = next(arm for arm in tuned.comparison.arms if _spec(arm) == best["arm"])
    repeated = attempt.compare(
        f"{workload.workload} repeats",
        workload.workload,
        str(arm.strategy.reference),
        str(arm.optimizer.reference),
        lr=best["lr"],
        schedule=arm.schedule,
        clip=arm.clip,
        seeds=search.repeats,
        first_seed=FIRST_REPEAT,
        **asked,
    )
    values = final_values(*repeated.reported, METRIC)["final"].to_numpy(float)
    goal = Goal(METRIC, rounded_up(float(np.median(values))))
    times = time_to_goal(*repeated.reported, goal)[["samples", "updates"]].median()
    return dataclasses.replace(
        workload,
        goal=str(goal),
        reference=GoalReference(_spec(arm), best["lr"], float(times["samples"]), float(times["updates"])),
        data_sha256=tuned.environment["data_sha256"],
        set_by={
            **versions(machine=False),
            "budget": str(budget),
            "trials": int((tuned.trials["phase"] == "tune").sum()),
            "tried": [{**each, "median": _finite(each["median"])} for each in tried],
            "repeats": [_finite(value) for value in values],
            "repeat_seeds": list(repeated.comparison.seeds),
        },
    )


def _tried(tuned: Result) -> list[dict[str, Any]]:
    """List the arms with the rates that each tried, and the one with the lowest median final loss."""
    rows = []
    table: pd.DataFrame = tuned.tuning()
    for label, group in table.groupby("arm", sort=False):
        medians, rates = group["median"].to_numpy(float), group["lr"].to_numpy(float)
        best = int(medians.argmin())
        rows.append(
            {
                "arm": _spec(tuned.comparison.arm(str(label))),
                "rates": sorted(map(float, rates)),
                "lr": float(rates[best]),
                "median": float(medians[best]),
            }
        )
    return rows


def rounded_up(value: float) -> float:
    """Round a loss up to four digits, so that the median repeat reaches it.

    Args:
        value: The median of the repeats.
    """
    return float(Context(prec=_DIGITS, rounding=ROUND_CEILING).create_decimal(repr(value)))


def _spec(arm: Arm) -> str:
    """Name an arm with its optimizer and schedule, whatever the other arms are."""
    schedule = "" if arm.schedule == "none" else f":schedule={arm.schedule}"
    return f"{arm.strategy.label}@{arm.optimizer.label}{schedule}"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
