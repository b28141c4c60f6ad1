"""What trains the trials of a run: this process or an executor, and what is notified of their progress."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..core.comparison import Trial
from ..errors import ComparisonError
from ..interfaces.executor import Demand
from ..planning.factories import make_executor
from ..planning.prepare import Prepared
from ..registry.manager import Registry
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from .backends import Elsewhere, Here, Place
from .run_options import RunOptions
from .runner import Observer
from .scheduler import Tasks
from .stopping import Stop


@dataclass(frozen=True)
class Workplace:
    """Hold what trains the trials of a run.

    Args:
        tasks: Groups trials into tasks.
        place: Trains tasks.
        observers: Notified of measurements, ends of trials and progress.
        jobs: Trials at once.
        choices: Which trainer trains which trials, and why, a line each; they are added as they are made.
    """

    tasks: Tasks
    place: Place
    observers: Observers
    jobs: int
    choices: list[str]


@contextmanager
def workplace(
    prepared: Prepared, options: RunOptions, stop: Stop, trackers: Sequence[Observer]
) -> Iterator[Workplace]:
    """Open this process or an executor as a place of work.

    An executor that was made here is shut down at the end: at once after an error or a second Ctrl-C, else
    once its workers are idle.

    Args:
        prepared: The comparison.
        options: Jobs, executor, memory and observers.
        stop: Whether the user asked to stop.
        trackers: Notified before the observers of the options.

    Yields:
        The place of work.

    Raises:
        ComparisonError: Trials that are timed would share the machine.
        PluginError: The executor cannot be made.
    """
    comparison, loop = prepared.setup.comparison, prepared.trainer
    choices: list[str] = []

    def report(line: str) -> None:
        choices.append(line)
        if options.report_trainer is not None:
            options.report_trainer(line)

    observers = Observers(prepared.registry, [*trackers, *options.observers])
    planned = [comparison.tuning_trials(), comparison.trials()]
    lanes = LanesTrainer(loop, memory_limit(options.memory, loop.device), report)
    if options.executor is None and (options.jobs or 1) == 1:
        place = Here(loop, lanes, lambda: stop.asked)
        yield Workplace(Tasks(lanes, prepared.estimates, planned, report), place, observers, 1, choices)
        return
    if comparison.budget.unit == "seconds":
        raise ComparisonError(
            "a budget of seconds needs the machine for one trial at a time; leave out --jobs and --executor"
        )
    demand = Demand(options.jobs, comparison.threads, comparison.device)
    named = options.executor or "processes"
    executor = make_executor(prepared.registry, named, demand) if isinstance(named, str) else named
    jobs = options.jobs or getattr(executor, "jobs", None) or os.cpu_count() or 1
    wait = False
    try:
        tasks = Tasks(lanes, prepared.estimates, planned, report, workers=jobs)
        expected = {estimate.arm.label: estimate.seconds for estimate in prepared.estimates}
        workers = Elsewhere(executor, jobs, tasks, options.memory, expected, lambda: stop.asked)
        yield Workplace(tasks, workers, observers, jobs, choices)
        wait = not stop.at_once
    finally:
        if isinstance(named, str):
            executor.shutdown(wait=wait)


class Observers:
    """Pass on what happens in a run to plugins, trackers and the caller's observers.

    Args:
        registry: The plugins.
        observers: Trackers and observers, notified in this order.
    """

    def __init__(self, registry: Registry, observers: Sequence[Observer]) -> None:
        self._registry, self._observers = registry, observers
        self._plugins_observe = registry.observes("measured")

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Pass on one measurement.

        Args:
            trial: That was measured.
            record: Its row of the records, by column.
        """
        if self._plugins_observe:
            self._registry.notify("measured", trial=trial, record=record)
        for observer in self._observers:
            observer.measured(trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        """Pass on the end of a trial.

        Args:
            trial: That ended.
            outcome: Its row of the trials, by column.
        """
        self._registry.notify("trial_finished", trial=trial, outcome=outcome)
        for observer in self._observers:
            observer.trial_finished(trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        """Pass on the progress of the whole run; plugins have no hook for it.

        Args:
            done: Trials that have ended.
            of: Trials in all.
            fraction: The share of the work that is done, from 0 to 1.
            seconds_left: Expected seconds to the end.
        """
        for observer in self._observers:
            observer.advanced(done, of, fraction, seconds_left)
