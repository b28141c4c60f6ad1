"""Train tasks in this process and, as soon as they have started, in worker processes beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import USER_CODE_ERRORS, explain
from .backends import LocalBackend
from .scheduler import Queue, Task, Tasks
from .task_sender import TaskResult, TaskSender, on_shared_clock, readmitted
from .worker import Beginning, Job, Reply, Shared, begin, versions


@dataclass(eq=False)
class WorkerProcess:
    """Hold a worker process, and what it trains.

    Attributes:
        executor: The executor of this one process.
        sender: Sends tasks to the executor.
        beginning: The reply that comes once the process has started; None: it has.
        reply: The reply that is awaited; None: the process is idle.
        batch: The tasks that it trains now.
    """

    executor: Executor
    sender: TaskSender
    beginning: Future[Beginning] | None
    reply: Future[Reply] | None = None
    batch: list[Task] = field(default_factory=list)

    @property
    def awaited(self) -> Future[Any] | None:
        """Return what this process waits for; None if the worker is idle."""
        return self.beginning or self.reply


@contextmanager
def started_workers(
    number: int,
    job: Job,
    packed: bytes,
    make_executor: Callable[[], Executor],
    make_sender: Callable[[Executor, Shared], TaskSender],
    remark: Callable[[str], None],
) -> Iterator[list[WorkerProcess]]:
    """Start worker processes without waiting for them, and end them at the end of the context.

    Args:
        number: The number of workers.
        job: The settings that all tasks of the run share.
        packed: The packed setup of the run.
        make_executor: Returns an executor of one process.
        make_sender: Returns what sends tasks to an executor, which gets the packed setup in this form.
        remark: Called with a sentence if a worker cannot be started; those before it remain.

    Yields:
        The workers.
    """
    workers, executors = list[WorkerProcess](), list[Executor]()
    shared: Shared = packed
    try:
        try:
            for _ in range(number):
                executors.append(make_executor())
                if not workers and hasattr(executors[0], "share"):
                    shared = executors[0].share(packed)
                beginning = executors[-1].submit(begin, job, shared)
                workers.append(WorkerProcess(executors[-1], make_sender(executors[-1], shared), beginning))
        except USER_CODE_ERRORS as error:  # such as a limit of the system on processes or files
            remark(f"a further process could not be started: {explain(error)}")
        yield workers
    finally:
        for executor in executors:
            executor.shutdown(wait=False)


class SharedBackend:
    """Train tasks in this process, and in workers as soon as they have started.

    A worker takes part only if its first updates end in the same bits as those of this process. If it fails
    or dies, this process trains its tasks. Tasks that share a compiled program stay in one process.

    Args:
        local: Trains tasks in this process.
        workers: The worker processes, which are being started.
        tasks: The tasks of the run, whose groups are not admitted yet.
        bits: The fingerprint of the first updates in this process.
        stopped: A function that returns whether the user wants to stop.
    """

    def __init__(
        self,
        local: LocalBackend,
        workers: Sequence[WorkerProcess],
        tasks: Tasks,
        bits: str,
        stopped: Callable[[], bool],
    ) -> None:
        self._local, self._workers, self._tasks = local, list(workers), tasks
        self._bits, self._stopped = bits, stopped
        self._reserved: dict[WorkerProcess | None, deque[Task]] = {each: deque() for each in (None, *workers)}
        self._owners: dict[Hashable, WorkerProcess | None] = {}  # by program; None: this process

    def results(self, queue: Queue) -> Iterator[TaskResult]:
        """Yield results of tasks; see :meth:`.Backend.results`."""
        while not self._stopped():
            yield from self._exchange(queue)
            task = self._take(None, queue)
            if task is not None:
                yield from self._train_here(task, queue)
            elif replies := [worker.reply for worker in self._workers if worker.reply is not None]:
                wait(replies, return_when=FIRST_COMPLETED)
            else:
                return
        for worker in list(self._workers):
            if worker.reply is not None:
                wait([worker.reply])
                yield from self._received(worker, queue)
            if worker.beginning is None:
                worker.sender.stop_compilers()

    def close(self, *, at_once: bool) -> None:
        """End idle workers.

        Args:
            at_once: Whether not to wait for them.
        """
        for worker in self._workers:
            if worker.awaited is None and not at_once:
                worker.executor.shutdown(wait=True)

    def _exchange(self, queue: Queue) -> Iterator[TaskResult]:
        """Receive the replies that have come, and send further tasks to idle workers."""
        for worker in list(self._workers):
            if worker.beginning is not None and worker.beginning.done():
                self._begin(worker, worker.beginning, queue)
            elif worker.reply is not None and worker.reply.done():
                yield from self._received(worker, queue)
        for worker in self._workers:
            if worker.awaited is None:
                worker.batch = worker.sender.batch(
                    lambda worker=worker: self._take(worker, queue),  # type: ignore[misc]
                    self._reserved[worker].appendleft,
                )
                if worker.batch:
                    worker.reply = worker.sender.send(worker.batch)

    def _begin(self, worker: WorkerProcess, beginning: Future[Beginning], queue: Queue) -> None:
        """Let a worker that has started take part, if it trains as this process does."""
        try:
            same = beginning.result() == Beginning(versions(), self._bits)
            why = "" if same else "its first updates end in other bits than those of this process"
        except USER_CODE_ERRORS as error:
            why = explain(error)
        worker.beginning = None
        if why:
            self._leave_out(worker, why, queue)

    def _received(self, worker: WorkerProcess, queue: Queue) -> Iterator[TaskResult]:
        assert worker.reply is not None
        try:
            reply = worker.reply.result()
        except USER_CODE_ERRORS as error:
            self._leave_out(worker, explain(error), queue)
            return
        batch, worker.batch, worker.reply = worker.batch, [], None
        yield from worker.sender.results(reply, batch, queue, self._reserved[worker].appendleft)

    def _leave_out(self, worker: WorkerProcess, why: str, queue: Queue) -> None:
        """Send a worker no further tasks; others train those that it had."""
        self._workers.remove(worker)
        for task in reversed([*worker.batch, *self._reserved.pop(worker)]):
            queue.put_back(task)
        worker.batch, worker.reply = [], None
        self._owners = {program: owner for program, owner in self._owners.items() if owner is not worker}
        self._tasks.remark(f"a further process could not take part, and others trained its trials: {why}")

    def _take(self, owner: WorkerProcess | None, queue: Queue) -> Task | None:
        """Return the next task for a worker (None: for this process); reserve others' tasks for them."""
        if self._reserved[owner]:
            return self._reserved[owner].popleft()
        while (task := queue.next()) is not None:
            program = self._tasks.program_of(task)
            if program is None or self._owners.setdefault(program, owner) is owner:
                return task
            self._reserved[self._owners[program]].append(task)
        return None

    def _train_here(self, task: Task, queue: Queue) -> Iterator[TaskResult]:
        """Train a task in this process to its end, and exchange tasks with the workers in between."""
        if task.trainer == "lanes":
            admitted = self._tasks.lanes.admit(task.trials)
            if admitted.groups != [task.trials]:
                yield from readmitted(task, admitted, self._tasks, queue)
                return
            if task.state is None:
                self._tasks.report_lanes(task.trials)
        while task.running:
            result = self._local.train(task, self._must_exchange)
            records = (
                [on_shared_clock(record) for record in result.records] if self._workers else result.records
            )
            yield TaskResult(task, records, result.state)
            if not self._stopped():
                yield from self._exchange(queue)

    def _must_exchange(self) -> bool:
        """Return whether a worker waits for this process."""
        return any(worker.awaited is not None and worker.awaited.done() for worker in self._workers)
