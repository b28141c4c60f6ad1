"""Train tasks in a worker process, which makes the trainers of a run only once."""

from __future__ import annotations

import pickle
import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ..core.columns import Record
from ..core.comparison import Trial
from ..core.version import installed_version
from ..registry.plugin_files import install_neighbor_finder
from ..training.device import torch_settings
from ..training.lanes.admission import Admitted
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trainer import KEPT_RUNS, LoopTrainer
from ..training.measurement.module_flags import is_partial
from ..training.setup import Setup
from ..training.state import State, lanes_state, trial_state
from .first_bits import first_bits
from .scheduler import TaskTrainer

Shared = bytes | Callable[[], bytes]
"""A packed setup, or a function that reads it, so that large data need not be sent with every task."""

_WORKERS: dict[str, _Worker] = {}
_ONE_AT_A_TIME = threading.RLock()
"""A lock that lets an executor of threads train one task at a time: the process has one set of torch RNGs."""


@dataclass(frozen=True)
class Job:
    """Hold the settings that all tasks of a run share.

    Attributes:
        key: The identity of the run.
        memory: Memory limit for vectorized trials, as ``4GB`` or ``25%``; None: the default.
        jobs: The number of workers that share this memory.
    """

    key: str
    memory: str | None
    jobs: int


@dataclass(frozen=True)
class TaskBatch:
    """Hold tasks for one trainer, which trains them one after another.

    Attributes:
        trainer: The name of the trainer.
        tasks: The trials and the state of each task.
        names: The name of each task and how often it was sent. A worker finds the state that it kept by them.
        seconds: The seconds after which no further task is started.
    """

    trainer: TaskTrainer
    tasks: Sequence[tuple[list[Trial], State | None]]
    names: Sequence[tuple[str, int]]
    seconds: float


@dataclass
class Reply:
    """Hold the reply of a worker.

    Attributes:
        results: The new records and the new state of each task; None: the task was not started.
        admitted: The result of the admission, if the group was not admitted to lanes as a whole.
        checked: How many lanes were compared with the loop trainer; see :class:`.Admission`.
        apart: The largest difference among admitted lanes; see :class:`.Admission`.
        log: Lines about the choice of trainers.
        versions: The versions in the worker process; see :func:`versions`.
    """

    results: list[tuple[list[Record], State] | None]
    admitted: Admitted | None = None
    checked: int = 0
    apart: float = 0.0
    log: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def advance(
    trainer: LoopTrainer | LanesTrainer,
    trials: list[Trial],
    state: State | None,
    until: Callable[[], bool],
    stop: Callable[[], bool],
) -> tuple[list[Record], State]:
    """Train a task until it ends or is stopped; see :meth:`.LoopTrainer.advance`.

    Args:
        trainer: The trainer of the task.
        trials: The trials of the task.
        state: The state to continue from; None: the shared starts.
        until: Called during training; True ends the task.
        stop: A function that returns whether the user wants to stop.

    Returns:
        The new records and the new state.
    """
    if isinstance(trainer, LanesTrainer):
        return trainer.advance(trials, lanes_state(state), until, stop)
    return trainer.advance(trials, trial_state(state), until, stop)


def versions() -> dict[str, str]:
    """Return the versions that must be equal in all processes that train one comparison."""
    return {
        "optcompare": installed_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Beginning:
    """Describe a worker that has begun.

    Attributes:
        versions: The versions in the worker process; see :func:`versions`.
        bits: The fingerprint of its first updates; see :func:`.first_bits`.
    """

    versions: dict[str, str]
    bits: str


def begin(job: Job, setup: Shared) -> Beginning:
    """Make the trainers of a run in this process before its first task arrives.

    Args:
        job: The settings that all tasks of the run share.
        setup: The packed setup of the run, or a function that reads it.

    Returns:
        The versions and the first bits, which must be those of the process that sends the tasks.
    """
    with _ONE_AT_A_TIME:
        return Beginning(versions(), _worker_of(job, setup).first_bits())


def train(job: Job, setup: Shared, batch: TaskBatch) -> Reply:
    """Train tasks in this process.

    Errors of a trial are recorded in its state; an error raised here is a failure of the worker.

    Args:
        job: The settings that all tasks of the run share.
        setup: The packed setup of the run, or a function that reads it.
        batch: The tasks to train.
    """
    with _ONE_AT_A_TIME:
        return _worker_of(job, setup).train(batch)


def stop(key: str) -> None:
    """End the compiler processes that this process started for a run.

    Args:
        key: The identity of the run; see :class:`Job`.
    """
    with _ONE_AT_A_TIME:
        if key in _WORKERS:
            _WORKERS.pop(key).lanes.stop()


def _worker_of(job: Job, setup: Shared) -> _Worker:
    """Return the worker of a run in this process, which is made at its first use."""
    if job.key not in _WORKERS:
        _WORKERS.clear()
        _WORKERS[job.key] = _Worker(job, setup)
    return _WORKERS[job.key]


class _Worker:
    """Hold the trainers of one run in this process, and the last states of its tasks.

    If a checkpoint would not contain the whole state of a trial, the trial is trained to its end without a
    break, since another process could not continue it.
    """

    def __init__(self, job: Job, shared: Shared) -> None:
        install_neighbor_finder()
        setup: Setup = pickle.loads(
            shared() if callable(shared) else shared
        )  # the bytes come from the process that sends the tasks
        self._thread_settings = setup.comparison.threads, setup.comparison.deterministic
        self._log: list[str] = []
        with torch_settings(*self._thread_settings):
            self.loop = LoopTrainer(setup)
        self.lanes = LanesTrainer(
            self.loop, memory_limit(job.memory, self.loop.device) / job.jobs, self._log.append
        )
        self._last_states: dict[str, tuple[int, State]] = {}

    def first_bits(self) -> str:
        with torch_settings(*self._thread_settings):
            return first_bits(self.loop)

    def train(self, batch: TaskBatch) -> Reply:
        self._log.clear()
        admission = self.lanes.admission
        admission.checked, admission.apart = 0, 0.0
        end = time.perf_counter() + batch.seconds
        with torch_settings(*self._thread_settings):
            if batch.trainer == "lanes":
                reply = self._train_in_lanes(batch, end)
            else:
                reply = Reply([self._train_in_loop(batch, number, end) for number in range(len(batch.tasks))])
        reply.checked, reply.apart = admission.checked, admission.apart
        reply.log, reply.versions = list(self._log), versions()
        return reply

    def _train_in_loop(self, batch: TaskBatch, number: int, end: float) -> tuple[list[Record], State] | None:
        if number and time.perf_counter() > end:
            return None
        trials, state = batch.tasks[number]
        return self._advance(
            self.loop, trials, self._own_state(batch.names[number], state), batch.names[number], end
        )

    def _train_in_lanes(self, batch: TaskBatch, end: float) -> Reply:
        (trials, state), name = batch.tasks[0], batch.names[0]
        known = self._own_state(name, state)
        if known is state:
            admitted = self.lanes.admit(trials)
            if admitted.groups != [trials]:
                return Reply([None], admitted)
            end = max(end, time.perf_counter() + batch.seconds / 2)
        return Reply([self._advance(self.lanes, trials, known, name, end)])

    def _own_state(self, name: tuple[str, int], state: State | None) -> State | None:
        """Return the state that this process kept of a task, or the sent one if it was trained elsewhere.

        The trainers continue from a kept state without making their live objects again.
        """
        sent, own = self._last_states.get(name[0], (-1, None))
        return own if sent == name[1] else state

    def _advance(
        self,
        trainer: LoopTrainer | LanesTrainer,
        trials: list[Trial],
        state: State | None,
        name: tuple[str, int],
        end: float,
    ) -> tuple[list[Record], State]:
        uncut = any(trial.arm.label in self.loop.setup.uncut for trial in trials)

        def over() -> bool:
            return time.perf_counter() > end and not uncut

        records, state = advance(trainer, trials, state, over, lambda: False)
        if is_partial(state):
            more, state = advance(trainer, trials, state, lambda: False, lambda: False)
            records = [*records, *more]
        others = [(task, left) for task, left in self._last_states.items() if task != name[0]]
        self._last_states = dict([*others[1 - KEPT_RUNS :], (name[0], (name[1] + 1, state))])
        return records, state
