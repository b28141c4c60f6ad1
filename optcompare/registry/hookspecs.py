"""Everything that a plugin can add or be told.

Implement any of these functions under ``@optcompare.hookimpl``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from ..core.comparison import Comparison, Trial
    from ..interfaces.executor import Demand
    from ..interfaces.tracker import Tracker
    from ..report.plots.panel import Panel
    from ..report.result import Result

NAME = "optcompare"
hookspec = pluggy.HookspecMarker(NAME)
hookimpl = pluggy.HookimplMarker(NAME)


@hookspec
def optcompare_strategies() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Called when a strategy is looked up or listed: name to ``Strategy`` dataclass (or a factory of one)."""


@hookspec
def optcompare_workloads() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Called when a workload is looked up or listed: name to a function that returns a ``Workload``.

    The function's annotated parameters can be set in the spec (``quadratic:n=50``).
    """


@hookspec
def optcompare_optimizers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Called when an optimizer is looked up or listed: name to ``Optimizer`` class, or to a function
    ``build(model, *, lr, …)`` that returns an optimizer."""


@hookspec
def optcompare_diagnostics() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Called when a diagnostic is looked up or listed: name to ``Diagnostic`` dataclass (or a factory of
    one).
    """


@hookspec
def optcompare_executors() -> Mapping[str, Callable[[Demand, str], Executor]]:  # type: ignore[empty-body]
    """Called when an executor is looked up or listed: name to ``make(demand, address)``, which returns a
    ``concurrent.futures.Executor``.

    ``address`` is what follows the name in ``--executor name:address``. An attribute ``jobs`` of the executor
    says how many tasks it has room for; a method ``share(value: bytes)`` may return what arrives in a task as
    those bytes, or as a function that returns them.
    """


@hookspec
def optcompare_panels() -> Mapping[str, Callable[[], Panel]]:  # type: ignore[empty-body]
    """Called when figures are drawn, or panels listed: name to ``Panel`` class, or to a function that makes
    one.

    ``optcompare report --figure NAME`` draws it alone; on the comparison plot it stands where it has
    something to show.
    """


@hookspec
def optcompare_trackers() -> Mapping[str, Callable[[str, Path | None], Tracker]]:  # type: ignore[empty-body]
    """Called when a tracker is looked up or listed: name to ``Tracker`` class, or to a function
    ``make(address, directory)`` that returns one.

    It is told of a run in a process of its own, where nothing that it does can slow the run or stop it.
    """


@hookspec
def optcompare_run_started(comparison: Comparison) -> None:
    """Called once, after everything was checked and before anything is trained."""


@hookspec
def optcompare_measured(trial: Trial, record: Mapping[str, Any]) -> None:
    """Called after each measurement with the row that enters ``records.parquet``."""


@hookspec
def optcompare_trial_finished(trial: Trial, outcome: Mapping[str, Any]) -> None:
    """Called when a trial has ended, however it ended, with the row that enters ``trials.parquet``."""


@hookspec
def optcompare_run_finished(result: Result) -> None:
    """Called once, with everything that was measured; after an interruption too."""
