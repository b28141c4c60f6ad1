"""Where tasks run: in this process one after another, or wherever an executor takes them."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from ..core.comparison import Trial
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import State
from ..training.measurement.counters import Progress
from ..training.measurement.record import Record
from .scheduler import Queue, Task, Tasks, TaskTrainer
from .worker import Job, Reply, Stretch, pack, stop, train, versions

_TASK_SECONDS = 1.0
_MOST_TOGETHER = 64
_DEATHS = 2


class Piece(NamedTuple):
    """What a stretch of training brought: the new records of a task, and the state that it is in now."""

    task: Task
    records: list[Record]
    state: State


class Place(Protocol):
    """Somewhere that tasks are trained."""

    def pieces(self, queue: Queue) -> Iterator[Piece]:
        """Trains every task of the queue, until whoever takes the pieces has crossed off all that is going in
        it.
        """
        ...


class Here:
    """Trains tasks in this process; ``stopped``: whether the user asked to stop."""

    def __init__(self, loop: LoopTrainer, lanes: LanesTrainer, stopped: Callable[[], bool]) -> None:
        self._trainers: dict[TaskTrainer, LoopTrainer | LanesTrainer] = {"loop": loop, "lanes": lanes}
        self._stopped = stopped

    def pieces(self, queue: Queue) -> Iterator[Piece]:
        while not self._stopped() and (task := queue.next()) is not None:
            trainer = self._trainers[task.trainer]
            while task.going:
                end = time.perf_counter() + _TASK_SECONDS
                yield Piece(task, *trainer.advance(task.trials, task.state, self._until(end), self._stopped))

    def _until(self, end: float) -> Callable[[], bool]:
        """Ends a piece when the user asks, or when it has lasted long enough for progress to be shown."""
        return lambda: self._stopped() or time.perf_counter() > end


class Elsewhere:
    """Hands tasks to an executor, a bounded number at once, and takes in what comes back in whatever order.

    ``expected``: seconds that a trial of each arm will take, by which short ones are sent together. A task
    whose worker dies is sent once more, alone; if that dies too, its trials have failed.
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

    def pieces(self, queue: Queue) -> Iterator[Piece]:
        under_way: dict[Future[Reply], list[Task]] = {}
        while True:
            while len(under_way) < self._jobs and not self._stopped() and (bundle := self._bundle(queue)):
                under_way[self._sent(bundle)] = bundle
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield from self._landed(future, under_way.pop(future), queue)
        if self._stopped():
            self._stop_compilers()

    def _bundle(self, queue: Queue) -> list[Task]:
        """The next task, and with a short one as many as take a while together."""
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
            train, self._job, self._setup, Stretch(bundle[0].trainer, sent, names, _TASK_SECONDS)
        )

    def _landed(self, future: Future[Reply], bundle: list[Task], queue: Queue) -> Iterator[Piece]:
        try:
            reply = future.result()
        except USER_CODE_ERRORS as error:
            yield from self._died(bundle, explain(error), queue)
            return
        if reply.versions != versions():
            raise ComparisonError(
                f"a worker has {_listed(reply.versions)}, and this process {_listed(versions())}; install "
                "the same there"
            )
        self._tasks.heard(reply.said, reply.checked, reply.apart)
        for task, piece in zip(bundle, reply.pieces, strict=True):
            if piece is not None:
                name, sent = self._names[task]
                self._names[task] = name, sent + 1
                yield Piece(task, [self._on_shared_clock(record) for record in piece[0]], piece[1])
            elif reply.admitted is not None:
                yield from self._readmitted(task, reply, queue)
                continue
            if task.going:
                queue.put_back(task)
            else:
                del self._names[task]

    def _readmitted(self, task: Task, reply: Reply, queue: Queue) -> Iterator[Piece]:
        """Lanes that did not fit, or did not agree, come back in smaller groups, and otherwise go to the
        loop.
        """
        del self._names[task]
        assert reply.admitted is not None
        if task.state is not None:
            yield _into_the_loop(task, "they no longer fit together")
            return
        self._tasks.explain(reply.admitted.refused, aloud=not reply.admitted.slower)
        for trial, _ in reversed(reply.admitted.refused):
            queue.put_back(Task("loop", [trial]))
        for group in reversed(reply.admitted.groups):
            queue.put_back(Task("lanes", group))

    def _died(self, bundle: list[Task], why: str, queue: Queue) -> Iterator[Piece]:
        for task in reversed(bundle):
            self._names.pop(task)
            self._deaths.update(task.going.values())
            if task.trainer == "lanes":
                yield _into_the_loop(task, f"the process that trained them ended: {why}")
            elif self._deaths[task.trials[0]] < _DEATHS:
                queue.put_back(task)
            else:
                reason = f"the process that trained it ended, {_DEATHS} times: {why}"
                yield Piece(task, [], {"progress": Progress(status="failed", reason=reason).to_state()})

    def _on_shared_clock(self, record: Record) -> Record:
        shared = self._jobs > 1 and record["clock"] == "measured"
        return {**record, "clock": "shared"} if shared else record

    def _stop_compilers(self) -> None:
        with suppress(Exception):
            wait([self._executor.submit(stop, self._job.key) for _ in range(self._jobs)], timeout=2.0)


def _into_the_loop(task: Task, why: str) -> Piece:
    """Lanes that are to go on, each alone, from where they are."""
    state: dict[str, Any] = task.state or {
        "lanes": [{"progress": Progress().to_state()} for _ in task.trials]
    }
    strayed = {str(number): why for number in task.going}
    return Piece(task, [], {**state, "strayed": strayed, "again": task.state is None})


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
