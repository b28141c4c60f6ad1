"""Compare ways of feeding data to the optimizer: which one trains a model best, by how much, how surely.

This module lists all public names; each is imported at its first use.

The code is divided into rooms, one for each stage from a question to its answer. Each room imports only from
those below it:

- ``cli``: the commands
- ``api``: ``compare()``, ``batch_size_study()``, ``reproduce()``, ``score_suite()`` and ``set_goals()``
- ``verification``: checks of run directories and of plugins
- ``execution``: runs trials in this process or in workers; selects learning rates; progress and trackers
- ``planning``: names, specs and objects become a comparison that is ready to train
- ``report``: figures, tables, the page
- ``results``: measurements as data and tables
- ``storage``: the run directory, the journal, resuming
- ``adapters``: make workloads from users' models and data
- ``registry``: plugins and hooks
- ``training``: the trainers, loop and lanes, and their measurements
- ``analysis``: statistics, the certificate, the verdict
- ``interfaces``: strategies, workloads, optimizers, diagnostics, trackers, executors, suites
- ``core``: random numbers, specs, parameters, the comparison as data
- ``errors``: every error that a user can cause

``setup.cfg`` defines this order, and a test checks it.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.workload_from import workload_from as workload_from
    from .api.attempt import Attempt as Attempt
    from .api.batch_size_study import batch_size_study as batch_size_study
    from .api.compare import compare as compare
    from .api.reproduce import Reproduced as Reproduced
    from .api.reproduce import reproduce as reproduce
    from .api.score_suite import score_suite as score_suite
    from .api.set_goals import set_goals as set_goals
    from .core.comparison import Arm as Arm
    from .core.comparison import Budget as Budget
    from .core.comparison import Comparison as Comparison
    from .core.comparison import Trial as Trial
    from .core.hold_out import hold_out as hold_out
    from .errors import ComparisonError as ComparisonError
    from .errors import DiagnosticError as DiagnosticError
    from .errors import OptcompareError as OptcompareError
    from .errors import PluginError as PluginError
    from .errors import RunDirectoryError as RunDirectoryError
    from .errors import SpecError as SpecError
    from .errors import StrategyError as StrategyError
    from .errors import WorkloadError as WorkloadError
    from .interfaces.diagnostic import Diagnostic as Diagnostic
    from .interfaces.diagnostic import Snapshot as Moment  # noqa: F401, the old name
    from .interfaces.diagnostic import Snapshot as Snapshot
    from .interfaces.executor import Demand as Demand
    from .interfaces.lane_rule import LaneRule as LaneRule
    from .interfaces.metrics import accuracy as accuracy
    from .interfaces.reproduction import Expected as Expected
    from .interfaces.reproduction import Found as Found
    from .interfaces.reproduction import Reproduction as Reproduction
    from .interfaces.strategy import Epoch as Epoch
    from .interfaces.strategy import StepStats as StepStats
    from .interfaces.strategy import Strategy as Strategy
    from .interfaces.suite import GoalReference as GoalReference
    from .interfaces.suite import GoalSearch as GoalSearch
    from .interfaces.suite import Suite as Suite
    from .interfaces.suite import SuiteWorkload as SuiteWorkload
    from .interfaces.tracker import Tracker as Tracker
    from .interfaces.workload import Workload as Workload
    from .registry.hookspecs import hookimpl as hookimpl
    from .report.figures import figure as figure
    from .report.loading import load as load
    from .report.plots.panel import Panel as Panel
    from .report.result import Result as Result
    from .report.suite_score import SuiteScore as SuiteScore
    from .verification.lane_rule_check import check_lane_rule as check_lane_rule
    from .verification.plugin_checks import check as check

_HOMES = {
    "adapters.workload_from": ["workload_from"],
    "api.attempt": ["Attempt"],
    "api.compare": ["compare"],
    "api.reproduce": ["Reproduced", "reproduce"],
    "api.score_suite": ["score_suite"],
    "api.set_goals": ["set_goals"],
    "verification.lane_rule_check": ["check_lane_rule"],
    "verification.plugin_checks": ["check"],
    "core.comparison": ["Arm", "Budget", "Comparison", "Trial"],
    "core.hold_out": ["hold_out"],
    "interfaces.diagnostic": ["Diagnostic", "Snapshot"],
    "report.figures": ["figure"],
    "api.batch_size_study": ["batch_size_study"],
    "errors": [
        "ComparisonError",
        "DiagnosticError",
        "OptcompareError",
        "PluginError",
        "RunDirectoryError",
        "SpecError",
        "StrategyError",
        "WorkloadError",
    ],
    "interfaces.executor": ["Demand"],
    "interfaces.lane_rule": ["LaneRule"],
    "interfaces.reproduction": ["Expected", "Found", "Reproduction"],
    "registry.hookspecs": ["hookimpl"],
    "report.plots.panel": ["Panel"],
    "report.loading": ["load"],
    "report.result": ["Result"],
    "report.suite_score": ["SuiteScore"],
    "interfaces.strategy": ["Epoch", "StepStats", "Strategy"],
    "interfaces.suite": ["GoalReference", "GoalSearch", "Suite", "SuiteWorkload"],
    "interfaces.tracker": ["Tracker"],
    "interfaces.metrics": ["accuracy"],
    "interfaces.workload": ["Workload"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


_RENAMED = {"Moment": "Snapshot"}
"""New names by old ones, which work for one release."""


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that the command line starts without torch.

    ``lazy_loader`` would be a dependency and save no lines.
    """
    if name == "__version__":
        return importlib.import_module(".core.version", __name__).installed_version()
    if name in _RENAMED:
        message = f"optcompare.{name} is called optcompare.{_RENAMED[name]} now"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _HOME_OF:
        raise AttributeError(f"module 'optcompare' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
