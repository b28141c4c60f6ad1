"""Backends that train tasks: this process, or an executor."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Protocol

from ..errors import USER_CODE_ERRORS, explain
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.counters import Progress
from .packing import pack
from .scheduler import Queue, Task, Tasks, TaskTrainer
from .task_sender import TaskResult, TaskSender, to_loop
from .worker import Job, Reply, advance

_TASK_SECONDS = 1.0
_DEATHS = 2


def task_seconds() -> float:
    """Return the seconds after which a task is interrupted, for progress, checkpoints and the user."""
    return _TASK_SECONDS


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
            while task.running:
                yield self.train(task)

    def train(self, task: Task, interrupted: Callable[[], bool] = lambda: False) -> TaskResult:
        """Train a task until it ends, until the user wants to stop, or until progress is due.

        Args:
            task: A task that this process trains to its end.
            interrupted: A function that returns whether there is something else to do first.

        Returns:
            The result of the task.
        """
        end = time.perf_counter() + task_seconds()

        def until() -> bool:
            return self._stopped() or time.perf_counter() > end or interrupted()

        trainer = self._trainers[task.trainer]
        return TaskResult(task, *advance(trainer, task.trials, task.state, until, self._stopped))


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
        packed = pack(tasks.setup)
        shared = executor.share(packed) if hasattr(executor, "share") else packed
        job = Job(uuid.uuid4().hex, memory, jobs)
        self._sender = TaskSender(executor, job, shared, tasks, expected, task_seconds())
        self._jobs, self._stopped = jobs, stopped

    def results(self, queue: Queue) -> Iterator[TaskResult]:
        """Yield results of tasks; see :meth:`Backend.results`."""
        under_way: dict[Future[Reply], list[Task]] = {}
        while True:
            while len(under_way) < self._jobs and not self._stopped():
                batch = self._sender.batch(queue.next, queue.put_back)
                if not batch:
                    break
                under_way[self._sender.send(batch)] = batch
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield from self._received(future, under_way.pop(future), queue)
        if self._stopped():
            self._sender.stop_compilers()

    def _received(self, future: Future[Reply], batch: list[Task], queue: Queue) -> Iterator[TaskResult]:
        try:
            reply = future.result()
        except USER_CODE_ERRORS as error:
            yield from self._lost(batch, explain(error), queue)
            return
        yield from self._sender.results(reply, batch, queue, queue.put_back)

    def _lost(self, batch: list[Task], why: str, queue: Queue) -> Iterator[TaskResult]:
        deaths = self._sender.deaths
        for task in reversed(batch):
            self._sender.forget(task)
            deaths.update(task.running.values())
            if task.trainer == "lanes":
                yield to_loop(task, f"the process that trained them ended: {why}")
            elif deaths[task.trials[0]] < _DEATHS:
                queue.put_back(task)
            else:
                reason = f"the process that trained it ended, {_DEATHS} times: {why}"
                failed = Progress(status="failed", reason=reason)
                yield TaskResult(task, [], {"progress": failed.to_state()})
