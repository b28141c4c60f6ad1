"""The backend of a run: this process or an executor, opened and closed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ComparisonError
from ..interfaces.executor import Demand
from ..planning.factories import make_executor
from ..planning.prepare import Prepared
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from .backends import Backend, ExecutorBackend, LocalBackend
from .observers import Observers
from .run_options import RunOptions
from .runner import Observer
from .scheduler import Tasks
from .stopping import Stop


@dataclass(frozen=True)
class OpenBackend:
    """Hold the backend of a run, and the observers of its trials.

    Args:
        tasks: Groups trials into tasks.
        backend: The backend that trains tasks.
        observers: Receive measurements, ends of trials and progress.
        jobs: The number of trials at once.
        choices: Lines on the choice of trainers and its reasons; they are added during the run.
    """

    tasks: Tasks
    backend: Backend
    observers: Observers
    jobs: int
    choices: list[str]


@contextmanager
def open_backend(
    prepared: Prepared, options: RunOptions, stop: Stop, trackers: Sequence[Observer]
) -> Iterator[OpenBackend]:
    """Open this process or an executor as the backend of a run.

    An executor that this function makes is shut down at the end: at once after an error or a second Ctrl-C,
    else after its workers have become idle.

    Args:
        prepared: The prepared comparison.
        options: The run options; jobs, executor, memory and observers count.
        stop: Whether the user wants to stop.
        trackers: Receive events before the observers of the options.

    Yields:
        The backend.

    Raises:
        ComparisonError: Trials with a budget of seconds would share the machine.
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
        tasks = Tasks(lanes, prepared.estimates, planned, report)
        yield OpenBackend(tasks, LocalBackend(loop, lanes, lambda: stop.requested), observers, 1, choices)
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
        workers = ExecutorBackend(executor, jobs, tasks, options.memory, expected, lambda: stop.requested)
        yield OpenBackend(tasks, workers, observers, jobs, choices)
        wait = not stop.at_once
    finally:
        if isinstance(named, str):
            executor.shutdown(wait=wait)
