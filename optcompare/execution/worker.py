"""What happens in another process, or on another machine: trainers are made there once, and take tasks a
stretch further.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import pickle
import platform
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..core.comparison import Trial
from ..core.memmap import file_slice_of, open_file_slice
from ..core.version import installed_version
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..registry.plugin_files import PREFIX, install_neighbor_finder
from ..training.contender import Setup
from ..training.device import torch_as_agreed
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import Admitted, LanesTrainer
from ..training.loop.trainer import KEPT_RUNS, LoopTrainer
from ..training.loop.trial import State
from ..training.measurement.module_flags import is_partial
from ..training.measurement.record import Record
from .scheduler import TaskTrainer

Shared = bytes | Callable[[], bytes]
"""A packed setup, or what reads it: large data need not travel with every task."""

_BENCHES: dict[str, _Bench] = {}
_ONE_AT_A_TIME = threading.RLock()
"""Torch's generators and settings belong to the process: in an executor of threads, tasks wait for each
other.
"""


@dataclass(frozen=True)
class Job:
    """What every task of a run is trained with.

    ``key``: names the run; ``memory``: memory limit for vectorized trials, shared by so many ``jobs``;
    ``setup``: as :func:`pack` returned it.
    """

    key: str
    memory: str | None
    jobs: int


@dataclass(frozen=True)
class Stretch:
    """Tasks for one trainer, one after another, for so many seconds; those that are not begun by then are
    left.

    ``names``: each task's name and how often it was sent, by which a worker knows again what it still holds.
    """

    trainer: TaskTrainer
    tasks: Sequence[tuple[list[Trial], State | None]]
    names: Sequence[tuple[str, int]]
    seconds: float


@dataclass
class Reply:
    """``pieces``: of each task its new records and its state, None if it was not begun; ``admitted``: where
    lanes were not admitted as they came, how they may; ``checked``, ``apart``: as :class:`LanesTrainer` has
    them; ``said``: lines;
    ``versions``: with which it was trained.
    """

    pieces: list[tuple[list[Record], State] | None]
    admitted: Admitted | None = None
    checked: int = 0
    apart: float = 0.0
    said: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def pack(setup: Setup) -> bytes:
    """The setup in bytes, with what could not be imported elsewhere: lambdas, what a notebook, a plugin file
    or any other module defines that is not installed.

    Raises :class:`ComparisonError` where something in it cannot travel.
    """
    own = _own_modules()
    if setup.comparison.split_seeds == 1:  # what it would split again is all of its data once more
        setup = dataclasses.replace(setup, workload=dataclasses.replace(setup.workload, resplit=None))
    try:
        return _pickled(setup, own)
    except USER_CODE_ERRORS:
        try:
            return _pickled(setup, [module for module in own if module.__name__.startswith(PREFIX)])
        except USER_CODE_ERRORS as error:
            raise ComparisonError(
                f"workload {setup.workload.name} or its strategies cannot be sent to other processes: "
                f"{explain(error)}; "
                "leave out --jobs and --executor"
            ) from error


def _own_modules() -> list[types.ModuleType]:
    """Modules of the user's project, rather than of anything that is installed."""
    elsewhere = {
        *sys.stdlib_module_names,
        *importlib.metadata.packages_distributions(),
        "__main__",
        "__mp_main__",
    }
    found = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] not in elsewhere]
    return [
        module for module in found if getattr(module, "__file__", None) and module.__name__ in sys.modules
    ]


def _pickled(setup: Setup, by_value: Sequence[types.ModuleType]) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, types.CodeType):
                make, values = self.dispatch_table[types.CodeType](value)[:2]
                return _code_of_file, (value.co_filename, make, values)
            place = file_slice_of(value) if isinstance(value, torch.Tensor) else None
            return super().reducer_override(value) if place is None else (open_file_slice, (place,))

    packed = io.BytesIO()
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        Pickler(packed).dump(setup)
        return packed.getvalue()
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _code_of_file(name: str, make: Callable[..., types.CodeType], values: tuple[Any, ...]) -> types.CodeType:
    """Code with the name of its file, which cloudpickle leaves out and errors are told by."""
    return make(*values).replace(co_filename=name)


def versions() -> dict[str, str]:
    """What must be the same wherever trials of one comparison are trained."""
    return {
        "optcompare": installed_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def train(job: Job, setup: Shared, stretch: Stretch) -> Reply:
    """Takes tasks further.

    What a trial itself raises is in its state; an error from here is one of the workplace.
    """
    with _ONE_AT_A_TIME:
        if job.key not in _BENCHES:
            _BENCHES.clear()
            _BENCHES[job.key] = _Bench(job, setup)
        return _BENCHES[job.key].train(stretch)


def stop(key: str) -> None:
    """Ends compilers that this process has under way."""
    with _ONE_AT_A_TIME:
        if key in _BENCHES:
            _BENCHES.pop(key).lanes.stop()


class _Bench:
    """The trainers of one run in this process, and the states that they left last, with the live objects
    behind them.

    A trial that keeps something where no checkpoint finds it is trained to its end in one go: elsewhere it
    would be lost.
    """

    def __init__(self, job: Job, shared: Shared) -> None:
        install_neighbor_finder()
        setup: Setup = pickle.loads(
            shared() if callable(shared) else shared
        )  # from the process that sends the tasks
        self._agreed = setup.comparison.threads, setup.comparison.deterministic
        self._said: list[str] = []
        with torch_as_agreed(*self._agreed):
            self.loop = LoopTrainer(setup)
        self.lanes = LanesTrainer(
            self.loop, memory_limit(job.memory, self.loop.device) / job.jobs, self._said.append
        )
        self._left: dict[str, tuple[int, State]] = {}

    def train(self, stretch: Stretch) -> Reply:
        self._said.clear()
        self.lanes.checked, self.lanes.apart = 0, 0.0
        end = time.perf_counter() + stretch.seconds
        with torch_as_agreed(*self._agreed):
            if stretch.trainer == "lanes":
                reply = self._lanes(stretch, end)
            else:
                reply = Reply([self._one(stretch, number, end) for number in range(len(stretch.tasks))])
        reply.checked, reply.apart = self.lanes.checked, self.lanes.apart
        reply.said, reply.versions = list(self._said), versions()
        return reply

    def _one(self, stretch: Stretch, number: int, end: float) -> tuple[list[Record], State] | None:
        if number and time.perf_counter() > end:
            return None
        trials, state = stretch.tasks[number]
        return self._advanced(
            self.loop, trials, self._known(stretch.names[number], state), stretch.names[number], end
        )

    def _lanes(self, stretch: Stretch, end: float) -> Reply:
        (trials, state), name = stretch.tasks[0], stretch.names[0]
        known = self._known(name, state)
        if known is state:
            admitted = self.lanes.admit(trials)
            if admitted.groups != [trials]:
                return Reply([None], admitted)
            end = max(end, time.perf_counter() + stretch.seconds / 2)
        return Reply([self._advanced(self.lanes, trials, known, name, end)])

    def _known(self, name: tuple[str, int], state: State | None) -> State | None:
        """The very state that this process left, if it was the last to train the task; the trainers go on
        from it at once.
        """
        sent, mine = self._left.get(name[0], (-1, None))
        return mine if sent == name[1] else state

    def _advanced(
        self,
        trainer: LoopTrainer | LanesTrainer,
        trials: list[Trial],
        state: State | None,
        name: tuple[str, int],
        end: float,
    ) -> tuple[list[Record], State]:
        in_one_go = any(trial.arm.label in self.loop.setup.uncut for trial in trials)

        def over() -> bool:
            return time.perf_counter() > end and not in_one_go

        records, state = trainer.advance(trials, state, over, lambda: False)
        if is_partial(state):
            more, state = trainer.advance(trials, state, lambda: False, lambda: False)
            records = [*records, *more]
        others = [(task, left) for task, left in self._left.items() if task != name[0]]
        self._left = dict([*others[1 - KEPT_RUNS :], (name[0], (name[1] + 1, state))])
        return records, state
