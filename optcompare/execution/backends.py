"""Backends that train tasks: this process, or an executor."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from typing import NamedTuple, Protocol

from ..core.columns import Record
from ..core.comparison import Trial
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.counters import Progress
from ..training.state import State, TrialState, lanes_state
from .packing import pack
from .scheduler import Queue, Task, Tasks, TaskTrainer
from .worker import Job, Reply, TaskBatch, advance, stop, train, versions

_TASK_SECONDS = 1.0
_MOST_TOGETHER = 64
_DEATHS = 2


class TaskResult(NamedTuple):
    """The result of a task.

    Attributes:
        task: The task, trained for a while.
        records: The new records of its trials.
        state: The new state of the task.
    """

    task: Task
    records: list[Record]
    state: State


class Backend(Protocol):
    """Train tasks."""

    def results(self, queue: Queue) -> Iterator[TaskResult]:
        """Train every task of a queue, and yield its results until the caller has ended all its trials.

        Args:
            queue: The tasks. The backend puts some of them back.
        """
        ...


class LocalBackend:
    """Train tasks in this process, one after another.

    Args:
        loop: The loop trainer.
        lanes: The lanes trainer.
        stopped: A function that returns whether the user wants to stop.
    """

    def __init__(self, loop: LoopTrainer, lanes: LanesTrainer, stopped: Callable[[], bool]) -> None:
        self._trainers: dict[TaskTrainer, LoopTrainer | LanesTrainer] = {"loop": loop, "lanes": lanes}
        self._stopped = stopped

    def results(self, queue: Queue) -> Iterator[TaskResult]:
        """Yield results of tasks; see :meth:`Backend.results`."""
        while not self._stopped() and (task := queue.next()) is not None:
            trainer = self._trainers[task.trainer]
            while task.running:
                end = time.perf_counter() + _TASK_SECONDS
                until = self._until(end)
                yield TaskResult(task, *advance(trainer, task.trials, task.state, until, self._stopped))

    def _until(self, end: float) -> Callable[[], bool]:
        """Return a function that ends a task when the user wants to stop, or when progress is due."""
        return lambda: self._stopped() or time.perf_counter() > end


class ExecutorBackend:
    """Send tasks to an executor, a bounded number at once.

    If a worker dies, its task is sent once more, alone. If the second worker dies, too, the trials have
    failed.

    Args:
        executor: The executor, of the user or made for the run.
        jobs: The number of tasks at once.
        tasks: The tasks of the run.
        memory: Memory limit for vectorized trials; None: the default.
        expected: By arm, the expected seconds of a trial; short trials are sent together.
        stopped: A function that returns whether the user wants to stop.
    """

    def __init__(
        self,
        executor: Executor,
        jobs: int,
        tasks: Tasks,
        memory: str | None,
        expected: Mapping[str, float],
        stopped: Callable[[], bool],
    ) -> None:
        self._executor, self._jobs, self._tasks, self._expected = executor, jobs, tasks, expected
        self._stopped = stopped
        packed = pack(tasks.setup)
        self._setup = executor.share(packed) if hasattr(executor, "share") else packed
        self._job = Job(uuid.uuid4().hex, memory, jobs)
        self._deaths = Counter[Trial]()
        self._names: dict[Task, tuple[str, int]] = {}
        self._numbers = itertools.count()

    def results(self, queue: Queue) -> Iterator[TaskResult]:
        """Yield results of tasks; see :meth:`Backend.results`."""
        under_way: dict[Future[Reply], list[Task]] = {}
        while True:
            while len(under_way) < self._jobs and not self._stopped() and (bundle := self._bundle(queue)):
                under_way[self._sent(bundle)] = bundle
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield from self._received(future, under_way.pop(future), queue)
        if self._stopped():
            self._stop_compilers()

    def _bundle(self, queue: Queue) -> list[Task]:
        """Return the next task; of short tasks, as many as take about a second together."""
        bundle: list[Task] = []
        seconds = 0.0
        while (seconds < _TASK_SECONDS and len(bundle) < _MOST_TOGETHER) or not bundle:
            task = queue.next()
            if task is None:
                break
            alone = task.trainer == "lanes" or task.state is not None or self._deaths[task.trials[0]] > 0
            if alone and bundle:
                queue.put_back(task)
                break
            bundle.append(task)
            seconds += _TASK_SECONDS if alone else self._expected[task.trials[0].arm.label]
        return bundle

    def _sent(self, bundle: list[Task]) -> Future[Reply]:
        names = [self._names.setdefault(task, (str(next(self._numbers)), 0)) for task in bundle]
        sent = [(task.trials, task.state) for task in bundle]
        return self._executor.submit(
            train, self._job, self._setup, TaskBatch(bundle[0].trainer, sent, names, _TASK_SECONDS)
        )

    def _received(self, future: Future[Reply], bundle: list[Task], queue: Queue) -> Iterator[TaskResult]:
        try:
            reply = future.result()
        except USER_CODE_ERRORS as error:
            yield from self._lost(bundle, explain(error), queue)
            return
        if reply.versions != versions():
            raise ComparisonError(
                f"a worker has {_listed(reply.versions)}, and this process {_listed(versions())}; install "
                "the same there"
            )
        self._tasks.add_report(reply.log, reply.checked, reply.apart)
        for task, result in zip(bundle, reply.results, strict=True):
            if result is not None:
                name, sent = self._names[task]
                self._names[task] = name, sent + 1
                records = [self._on_shared_clock(record) for record in result[0]]
                yield TaskResult(task, records, result[1])
            elif reply.admitted is not None:
                yield from self._readmitted(task, reply, queue)
                continue
            if task.running:
                queue.put_back(task)
            else:
                del self._names[task]

    def _readmitted(self, task: Task, reply: Reply, queue: Queue) -> Iterator[TaskResult]:
        """Requeue lanes that a worker did not admit as one group: in smaller groups, or on the loop."""
        del self._names[task]
        assert reply.admitted is not None
        if task.state is not None:
            yield _to_loop(task, "they no longer fit together")
            return
        self._tasks.explain(reply.admitted.refused, note=not reply.admitted.slower)
        for trial, _ in reversed(reply.admitted.refused):
            queue.put_back(Task("loop", [trial]))
        for group in reversed(reply.admitted.groups):
            queue.put_back(Task("lanes", group))

    def _lost(self, bundle: list[Task], why: str, queue: Queue) -> Iterator[TaskResult]:
        for task in reversed(bundle):
            self._names.pop(task)
            self._deaths.update(task.running.values())
            if task.trainer == "lanes":
                yield _to_loop(task, f"the process that trained them ended: {why}")
            elif self._deaths[task.trials[0]] < _DEATHS:
                queue.put_back(task)
            else:
                reason = f"the process that trained it ended, {_DEATHS} times: {why}"
                failed = Progress(status="failed", reason=reason)
                yield TaskResult(task, [], {"progress": failed.to_state()})

    def _on_shared_clock(self, record: Record) -> Record:
        shared = self._jobs > 1 and record["clock"] == "measured"
        return {**record, "clock": "shared"} if shared else record

    def _stop_compilers(self) -> None:
        with suppress(Exception):
            wait([self._executor.submit(stop, self._job.key) for _ in range(self._jobs)], timeout=2.0)


def _to_loop(task: Task, why: str) -> TaskResult:
    """Return the result of lanes that continue on the loop trainer, each alone, from their last state."""
    known = lanes_state(task.state)
    fresh: list[TrialState] = [{"progress": Progress().to_state()} for _ in task.trials]
    lanes = fresh if known is None else known["lanes"]
    strayed = {str(number): why for number in task.running}
    return TaskResult(task, [], {"lanes": lanes, "strayed": strayed, "again": known is None})


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
