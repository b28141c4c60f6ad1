"""Everything that a plugin can register or observe.

Implement any of these functions under ``@optcompare.hookimpl``. pluggy calls each when what it returns is
looked up, or when what it observes happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from torch.optim import Optimizer

    from ..core.comparison import Comparison, Trial
    from ..interfaces.executor import Demand
    from ..interfaces.lane_rule import LaneRule
    from ..interfaces.reproduction import Reproduction
    from ..interfaces.suite import Suite
    from ..interfaces.tracker import Tracker
    from ..report.plots.panel import Panel
    from ..report.result import Result

NAME = "optcompare"
hookspec = pluggy.HookspecMarker(NAME)
hookimpl = pluggy.HookimplMarker(NAME)


@hookspec
def optcompare_strategies() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return strategies by name, called when a strategy is looked up or listed.

    Returns:
        Name to ``Strategy`` dataclass, or to a factory of one.
    """


@hookspec
def optcompare_workloads() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return workloads by name, called when a workload is looked up or listed.

    Returns:
        Name to a function that returns a ``Workload``. Its annotated parameters can be set in the spec, as in
        ``quadratic:n=50``.
    """


@hookspec
def optcompare_optimizers() -> Mapping[str, Callable[..., Any] | str]:  # type: ignore[empty-body]
    """Return optimizers by name, called when an optimizer is looked up or listed.

    Returns:
        Name to ``Optimizer`` class, or to a function ``build(model, *, lr, …)`` that returns an optimizer; or
        to the dotted path of one, such as ``torch.optim.SGD``, which is imported at its first use.
    """


@hookspec
def optcompare_lane_rules() -> Mapping[type[Optimizer] | str, LaneRule | str]:  # type: ignore[empty-body]
    """Return lane rules by optimizer class, called once before a comparison is run.

    Returns:
        ``Optimizer`` class, or its dotted path such as ``torch.optim.SGD``, to its ``LaneRule``, or to the
        dotted path of one. No path is imported unless trials of the optimizer are to run in lanes.
    """


@hookspec
def optcompare_diagnostics() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return diagnostics by name, called when a diagnostic is looked up or listed.

    Returns:
        Name to ``Diagnostic`` dataclass, or to a factory of one.
    """


@hookspec
def optcompare_executors() -> Mapping[str, Callable[[Demand, str], Executor]]:  # type: ignore[empty-body]
    """Return executors by name, called when an executor is looked up or listed.

    Returns:
        Name to ``make(demand, address)``, which returns a ``concurrent.futures.Executor``; ``address`` is
        what follows the name in ``--executor name:address``. An attribute ``jobs`` of the executor is the
        number of tasks that it can run at once. A method ``share(value: bytes)`` may return what arrives in a
        task as those bytes, or as a function that returns them.
    """


@hookspec
def optcompare_panels() -> Mapping[str, Callable[[], Panel]]:  # type: ignore[empty-body]
    """Return panels by name, called when figures are drawn or panels are listed.

    Returns:
        Name to ``Panel`` class, or to a function that returns one. ``optcompare report --figure NAME`` draws
        the panel alone; the comparison plot includes it where it has something to show.
    """


@hookspec
def optcompare_trackers() -> Mapping[str, Callable[[str, Path | None], Tracker]]:  # type: ignore[empty-body]
    """Return trackers by name, called when a tracker is looked up or listed.

    Returns:
        Name to ``Tracker`` class, or to a function ``make(address, directory)`` that returns one. A tracker
        gets a run's events in a separate process, where it can neither slow the run nor stop it.
    """


@hookspec
def optcompare_reproductions() -> Mapping[str, Callable[[], Reproduction] | str]:  # type: ignore[empty-body]
    """Return reproductions by name, called when a reproduction is looked up or listed.

    Returns:
        Name to a function that returns a ``Reproduction``, or to the dotted path of one, which is imported
        where it is trained. The first paragraph of its docstring is what
        ``optcompare list reproductions`` shows: the claim in a sentence, and its source.
    """


@hookspec
def optcompare_suites() -> Mapping[str, Callable[[], Suite] | str]:  # type: ignore[empty-body]
    """Return suites by name, called when a suite is looked up or listed.

    Returns:
        Name to a function that returns a ``Suite``, as ``Suite.read(path)`` does of a JSON file, or to the
        dotted path of one. ``optcompare run --workload suite:NAME`` trains on its workloads.
    """


@hookspec
def optcompare_run_started(comparison: Comparison) -> None:
    """Observe that a run starts, called once after all checks and before any training.

    Args:
        comparison: What the run compares.
    """


@hookspec
def optcompare_measured(trial: Trial, record: Mapping[str, Any]) -> None:
    """Observe a measurement, called after each one.

    Args:
        trial: The trial that was measured.
        record: The row of ``records.parquet``.
    """


@hookspec
def optcompare_trial_finished(trial: Trial, outcome: Mapping[str, Any]) -> None:
    """Observe that a trial has ended, whether it finished, diverged or failed.

    Args:
        trial: The trial.
        outcome: The row of ``trials.parquet``.
    """


@hookspec
def optcompare_run_finished(result: Result) -> None:
    """Observe that a run has ended, called once, after an interruption too.

    Args:
        result: Everything that was measured.
    """
