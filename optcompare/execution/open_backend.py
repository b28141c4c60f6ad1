"""The backend of a run: this process or an executor, opened and closed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import ComparisonError
from ..interfaces.executor import Demand
from ..planning.factories import make_executor
from ..planning.prepare import Prepared
from ..storage.previous_run import PreviousRun
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from .backends import Backend, ExecutorBackend, LocalBackend, task_seconds
from .choose_jobs import JobChoice
from .first_bits import first_bits
from .job_facts import automatic_jobs
from .observers import Observers
from .packing import pack
from .run_options import RunOptions
from .runner import Observer
from .scheduler import Tasks
from .shared_backend import SharedBackend, started_workers
from .stopping import Stop
from .task_sender import TaskSender
from .worker import Job, Shared


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
    prepared: Prepared,
    options: RunOptions,
    stop: Stop,
    trackers: Sequence[Observer],
    previous: PreviousRun | None = None,
) -> Iterator[OpenBackend]:
    """Open this process, this process with workers, or an executor as the backend of a run.

    An executor that this function makes is shut down at the end: at once after an error or a second Ctrl-C,
    else after its workers have become idle.

    Args:
        prepared: The prepared comparison.
        options: The run options; jobs, executor, memory and observers count.
        stop: Whether the user wants to stop.
        trackers: Receive events before the observers of the options.
        previous: The previous run that continues; None: the run is new.

    Yields:
        The backend.

    Raises:
        ComparisonError: Trials with a budget of seconds would share the machine, or the comparison cannot be
            sent to other processes.
        PluginError: The executor cannot be made.
    """
    opening = _Opening(prepared, options, stop)
    observers = Observers(prepared.registry, [*trackers, *options.observers])
    if options.executor is not None or (options.fixed_jobs or 1) > 1:
        opened = _opened_executor(opening)
    elif options.fixed_jobs == 1:
        opened = _opened_here(opening)
    else:
        opened = _opened_shared(opening, previous)
    with opened as (tasks, backend, jobs):
        yield OpenBackend(tasks, backend, observers, jobs, opening.choices)


class _Opening:
    """Hold what each kind of backend is made of.

    Attributes:
        choices: Lines on the choice of trainers and its reasons.
    """

    def __init__(self, prepared: Prepared, options: RunOptions, stop: Stop) -> None:
        self.prepared, self.options, self.stop = prepared, options, stop
        self.choices: list[str] = []
        comparison = prepared.setup.comparison
        self._planned = [comparison.tuning_trials(), comparison.trials()]
        self.expected = {estimate.arm.label: estimate.seconds for estimate in prepared.estimates}

    def report(self, line: str) -> None:
        self.choices.append(line)
        if self.options.report_trainer is not None:
            self.options.report_trainer(line)

    def stopped(self) -> bool:
        return self.stop.requested

    def lanes(self, share: int = 1) -> LanesTrainer:
        """Return a lanes trainer that uses an equal share of the memory of lanes."""
        loop = self.prepared.trainer
        return LanesTrainer(loop, memory_limit(self.options.memory, loop.device) / share, self.report)

    def tasks(self, lanes: LanesTrainer, workers: int = 0, longest_first: bool = False) -> Tasks:
        return Tasks(lanes, self.prepared.estimates, self._planned, self.report, workers, longest_first)

    def demand(self, jobs: int | None, *, imports_main: bool = True) -> Demand:
        comparison = self.prepared.setup.comparison
        return Demand(jobs, comparison.threads, comparison.device, imports_main)


_Opened = tuple[Tasks, Backend, int]


@contextmanager
def _opened_here(opening: _Opening, lanes: LanesTrainer | None = None) -> Iterator[_Opened]:
    """Open this process alone."""
    lanes = lanes or opening.lanes()
    yield opening.tasks(lanes), LocalBackend(opening.prepared.trainer, lanes, opening.stopped), 1


@contextmanager
def _opened_executor(opening: _Opening) -> Iterator[_Opened]:
    """Open an executor of the user, or local processes for a number of jobs."""
    prepared, options = opening.prepared, opening.options
    if prepared.setup.comparison.budget.unit == "seconds":
        raise ComparisonError(
            "a budget of seconds needs the machine for one trial at a time; leave out --jobs and --executor"
        )
    named = options.executor or "processes"
    demand = opening.demand(options.fixed_jobs)
    executor = make_executor(prepared.registry, named, demand) if isinstance(named, str) else named
    jobs = options.fixed_jobs or getattr(executor, "jobs", None) or os.cpu_count() or 1
    wait = False
    try:
        tasks = opening.tasks(opening.lanes(), workers=jobs)
        yield (
            tasks,
            ExecutorBackend(executor, jobs, tasks, options.memory, opening.expected, opening.stopped),
            jobs,
        )
        wait = not opening.stop.at_once
    finally:
        if isinstance(named, str):
            executor.shutdown(wait=wait)


@contextmanager
def _opened_shared(opening: _Opening, previous: PreviousRun | None) -> Iterator[_Opened]:
    """Open as many processes as the run repays, this one among them."""
    prepared, lanes = opening.prepared, opening.lanes()
    choice, packed = automatic_jobs(prepared, lanes, previous), b""
    if choice.jobs > 1:
        try:
            packed = pack(prepared.setup)
        except ComparisonError as error:
            choice = JobChoice(1, str(error).partition(";")[0])
    if opening.options.report_trainer is not None:
        opening.options.report_trainer(str(choice))
    if choice.jobs == 1:
        with _opened_here(opening, lanes) as opened:
            yield opened
        return
    lanes = opening.lanes(choice.jobs)
    tasks = opening.tasks(lanes, workers=1, longest_first=True)
    local = LocalBackend(prepared.trainer, lanes, opening.stopped)
    job = Job(uuid.uuid4().hex, opening.options.memory, choice.jobs)

    def executor() -> Executor:
        return make_executor(prepared.registry, "processes", opening.demand(1, imports_main=False))

    def sender(executor: Executor, shared: Shared) -> TaskSender:
        return TaskSender(executor, job, shared, tasks, opening.expected, task_seconds())

    with started_workers(choice.jobs - 1, job, packed, executor, sender, tasks.remark) as workers:
        backend = SharedBackend(local, workers, tasks, first_bits(prepared.trainer), opening.stopped)
        yield tasks, backend, choice.jobs
        backend.close(at_once=opening.stop.at_once)
