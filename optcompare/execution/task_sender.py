"""Send tasks to an executor, and read the replies of its workers."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import NamedTuple

from ..core.columns import Record
from ..core.comparison import Trial
from ..errors import ComparisonError
from ..training.lanes.admission import Admitted
from ..training.measurement.counters import Progress
from ..training.state import State, TrialState, lanes_state
from .scheduler import Queue, Task, Tasks
from .worker import Job, Reply, Shared, TaskBatch, stop, train, versions

_MOST_TOGETHER = 64


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


class TaskSender:
    """Send batches of tasks to an executor, and read the replies.

    Args:
        executor: The executor.
        job: The settings that all tasks of the run share.
        shared: The packed setup of the run, or a function that reads it.
        tasks: The tasks of the run.
        expected: By arm, the expected seconds of a trial; short trials are sent together.
        seconds: The seconds after which a worker replies.

    Attributes:
        deaths: How often a worker died while it trained a trial; such trials are sent alone.
    """

    def __init__(
        self,
        executor: Executor,
        job: Job,
        shared: Shared,
        tasks: Tasks,
        expected: Mapping[str, float],
        seconds: float,
    ) -> None:
        self.deaths = Counter[Trial]()
        self._executor, self._job, self._shared = executor, job, shared
        self._tasks, self._expected, self._seconds = tasks, expected, seconds
        self._names: dict[Task, tuple[str, int]] = {}
        self._numbers = itertools.count()

    def batch(self, take: Callable[[], Task | None], put_back: Callable[[Task], None]) -> list[Task]:
        """Return the next task; of short tasks, as many as take about ``seconds`` together.

        Args:
            take: Returns the next task, or None.
            put_back: Receives a task that does not fit to the others.

        Returns:
            The tasks, all for one trainer; none if there are none.
        """
        batch: list[Task] = []
        expected = 0.0
        while (expected < self._seconds and len(batch) < _MOST_TOGETHER) or not batch:
            task = take()
            if task is None:
                break
            alone = task.trainer == "lanes" or task.state is not None or self.deaths[task.trials[0]] > 0
            if alone and batch:
                put_back(task)
                break
            batch.append(task)
            expected += self._seconds if alone else self._expected[task.trials[0].arm.label]
        return batch

    def send(self, batch: Sequence[Task]) -> Future[Reply]:
        """Submit a batch of tasks for one trainer.

        Args:
            batch: The tasks, from :meth:`batch`.

        Returns:
            The reply to come.
        """
        names = [self._names.setdefault(task, (str(next(self._numbers)), 0)) for task in batch]
        sent = [(task.trials, task.state) for task in batch]
        return self._executor.submit(
            train, self._job, self._shared, TaskBatch(batch[0].trainer, sent, names, self._seconds)
        )

    def results(
        self, reply: Reply, batch: Sequence[Task], queue: Queue, unfinished: Callable[[Task], None]
    ) -> Iterator[TaskResult]:
        """Yield the results of a batch, and put back what is left of it.

        Args:
            reply: The reply of the worker.
            batch: The tasks that were sent.
            queue: Receives the tasks that the worker did not train.
            unfinished: Receives the tasks that the worker trained for a while.

        Yields:
            A result for each task that the worker trained.

        Raises:
            ComparisonError: The worker has other versions than this process.
        """
        if reply.versions != versions():
            raise ComparisonError(
                f"a worker has {_listed(reply.versions)}, and this process {_listed(versions())}; install "
                "the same there"
            )
        self._tasks.add_report(reply.log, reply.checked, reply.apart)
        for task, result in zip(batch, reply.results, strict=True):
            if result is not None:
                name, sent = self._names[task]
                self._names[task] = name, sent + 1
                if task.trainer == "lanes" and task.state is None:
                    self._tasks.report_lanes(task.trials)
                records = [self._on_shared_clock(record) for record in result[0]]
                yield TaskResult(task, records, result[1])
            elif reply.admitted is not None:
                del self._names[task]
                yield from readmitted(task, reply.admitted, self._tasks, queue)
                continue
            if not task.running:
                del self._names[task]
            elif result is None:
                queue.put_back(task)
            else:
                unfinished(task)

    def forget(self, task: Task) -> None:
        """Forget a task whose worker died, so that it is sent as a new one.

        Args:
            task: The task.
        """
        self._names.pop(task, None)

    def stop_compilers(self) -> None:
        """End the compilers that the workers started for this run."""
        with suppress(Exception):
            futures = [self._executor.submit(stop, self._job.key) for _ in range(self._job.jobs)]
            wait(futures, timeout=2.0)

    def _on_shared_clock(self, record: Record) -> Record:
        return on_shared_clock(record) if self._job.jobs > 1 else record


def on_shared_clock(record: Record) -> Record:
    """Mark the seconds of a record as measured while other trials ran; estimates stay estimates.

    Args:
        record: A record of a trial.

    Returns:
        The same, or a copy with another ``clock``.
    """
    return {**record, "clock": "shared"} if record["clock"] == "measured" else record


def readmitted(task: Task, admitted: Admitted, tasks: Tasks, queue: Queue) -> Iterator[TaskResult]:
    """Requeue lanes that were not admitted as one group: in smaller groups, or on the loop.

    Args:
        task: The task of the group.
        admitted: The result of the admission.
        tasks: The tasks of the run, which report why.
        queue: Receives the new tasks.

    Yields:
        A result without records, if the group has a state: its lanes continue on the loop.
    """
    if task.state is not None:
        yield to_loop(task, admitted.why_apart)
        return
    tasks.explain(admitted.refused, note=not admitted.slower)
    for trial, _ in reversed(admitted.refused):
        queue.put_back(Task("loop", [trial]))
    for group in reversed(admitted.groups):
        queue.put_back(Task("lanes", group))


def to_loop(task: Task, why: str) -> TaskResult:
    """Return the result of lanes that continue on the loop trainer, each alone, from their last state.

    Args:
        task: A task of lanes.
        why: The reason, in words.
    """
    known = lanes_state(task.state)
    fresh: list[TrialState] = [{"progress": Progress().to_state()} for _ in task.trials]
    lanes = fresh if known is None else known["lanes"]
    strayed = {str(number): why for number in task.running}
    return TaskResult(task, [], {"lanes": lanes, "strayed": strayed, "again": known is None})


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
