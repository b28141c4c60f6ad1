"""The loop trainer: one trial at a time, update by update.

It is the reference that any other trainer must match.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from traceback import extract_tb

import torch

from ...core.columns import Record
from ...core.comparison import Arm, Comparison, Trial
from ...core.rng import preserved_rng
from ...errors import USER_CODE_ERRORS, explain
from ...interfaces.workload import Workload
from ..contender import Setup
from ..data import Source, first_rows, sources
from ..device import DTYPES
from ..measurement.counters import Progress
from ..settings import settings_kept
from ..shared_init import SharedStart
from ..splits import Splits
from ..state import TrialState
from .epochs import train
from .trial import TrialRun

_KEPT_STARTS, _KEPT_STARTS_BYTES = 256, 2**28
_OUT_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "backend out of memory")
KEPT_RUNS = 4
"""Trials under way whose live objects are kept, so that they may take turns."""


class LoopTrainer:
    """Holds the data on the device and the shared starts of seeds under way; nothing of any trial."""

    name = "loop"

    def __init__(self, setup: Setup) -> None:
        comparison, workload = setup.comparison, setup.workload
        self.setup = setup
        self.device = torch.device(comparison.device)
        self.dtype = DTYPES[comparison.dtype]
        self.sources: dict[str, Source] = sources(workload, self.device, self.dtype)
        self._splits = Splits(workload, self.device, self.dtype)
        self._starts: dict[int, SharedStart] = {}
        self._takes_closure: dict[str, bool] = {}
        self._warmed = dict[str, int]()
        self._live: list[tuple[TrialState, TrialRun]] = []

    @property
    def copied(self) -> bool:
        """Whether modules are copied, since their factory takes long."""
        return any(start.copies for start in self._starts.values())

    def asking(self, comparison: Comparison) -> LoopTrainer:
        """This trainer for another comparison of the same arms: it shares the data and the shared start."""
        other = copy.copy(self)
        other._live = []
        other.setup = dataclasses.replace(self.setup, comparison=comparison)
        return other

    def on_split_of(self, seed: int) -> LoopTrainer:
        """This trainer with the workload on the split of a seed, and its data."""
        number = self.setup.comparison.split_of(seed)
        if number == 0:
            return self
        workload, sources = self._splits.of(number)
        other = self.asking(self.setup.comparison)
        other.setup, other.sources = dataclasses.replace(other.setup, workload=workload), sources
        return other

    def other_splits(self) -> Iterator[Workload]:
        """The workload on the splits of the comparison other than its own."""
        return (self._splits.of(number).workload for number in range(1, self.setup.comparison.split_seeds))

    def start(self, seed: int) -> SharedStart:
        """The shared start of a seed; as many of the last ones asked for are kept as take little memory."""
        if seed not in self._starts:
            workload = self.on_split_of(seed).setup.workload
            start = SharedStart(
                workload,
                seed,
                lambda: first_rows(workload.train, 2, workload.collate),
                self.setup.order,
                self.setup.copies,
            )
            most = max(1, _KEPT_STARTS_BYTES // max(1, start.weight_bytes))
            while len(self._starts) >= min(most, _KEPT_STARTS):
                self._starts.pop(next(iter(self._starts)))
            self._starts[seed] = start
        return self._starts[seed]

    def advance(
        self,
        trials: Sequence[Trial],
        state: TrialState | None,
        until: Callable[[], bool],
        stop: Callable[[], bool] | None = None,
    ) -> tuple[list[Record], TrialState]:
        """Train a group of one trial for a while.

        Where a trial is cut has no influence on what it computes. Neither ``state`` nor the generators of the
        process are changed.

        Args:
            trials: One trial.
            state: What it continues from; None: the shared start.
            until: Called after each update, or after each epoch of an adaptive strategy, whose generator
                cannot be stored half way; True ends the task.
            stop: Called after each update of an adaptive strategy; True ends the trial as interrupted. A
                KeyboardInterrupt is the user's where it returns True, and ends the trial as interrupted;
                otherwise code of the trial raised it, and the trial has failed.

        Returns:
            The new records, and the new state, which says in ``progress.status`` whether the trial has ended.

        Raises:
            KeyboardInterrupt: It came without ``stop``, or before the run of the trial was made.
        """
        (trial,) = trials
        with preserved_rng(), settings_kept():
            run = None
            try:
                run = self._run(trial, state)
                train(run, until, stop or (lambda: False))
            except USER_CODE_ERRORS as error:
                progress = run.progress if run else Progress()
                progress.status, progress.reason = "failed", why(error, trial, self.setup.workload.size)
            except KeyboardInterrupt as error:
                users = stop is None or stop()
                if users and (stop is None or run is None):
                    raise
                progress = run.progress if run else Progress()
                progress.status = "interrupted" if users else "failed"
                progress.reason = (
                    "interrupted within an update" if users else why(error, trial, self.setup.workload.size)
                )
            if run is None:
                return [], {"progress": progress.to_state()}
            state = run.state()
            if run.progress.status == "running":
                self._live = [*self._live[1 - KEPT_RUNS :], (state, run)]
            return run.records, state

    def _run(self, trial: Trial, state: TrialState | None) -> TrialRun:
        """The run that left this very state, as it stands, or a new one that is brought to it.

        Going on with the live module saves making another, and keeps what a model hides where no checkpoint
        finds it. Of a few trials, the last ones trained here, the runs are kept, so that tasks may take
        turns.
        """
        for place, (left, run) in enumerate(self._live):
            if left is state:
                del self._live[place]
                run.start_task(left)
                return run
        return self.run(trial, state)

    def run(self, trial: Trial, state: TrialState | None, reuse: TrialRun | None = None) -> TrialRun:
        """Return a run of a trial, at the shared start or brought to a state.

        Args:
            trial: Of the comparison.
            state: What the trial continues from; None: the shared start.
            reuse: An untrained run of the same seed, whose module the new run takes over.
        """
        mine = self.on_split_of(trial.seed)
        return TrialRun(mine.setup, trial, mine.sources, self.start(trial.seed), state, self._warmed, reuse)

    def evaluations(self, arm: Arm) -> int:
        """How often an update of the arm evaluates loss and gradient, as far as that is known here."""
        return self._warmed.get(arm.label, 1)

    def takes_closure(self, arm: Arm) -> bool:
        """Whether an update of the arm may evaluate its batch several times."""
        if arm.label not in self._takes_closure:
            seed = self.setup.comparison.seeds[0]
            with preserved_rng():
                self._takes_closure[arm.label] = self.run(Trial(arm, seed), None).takes_closure
        return self._takes_closure[arm.label]


def why(error: BaseException, trial: Trial, size: int) -> str:
    """An error as one line; where memory ran out, with what to do about it. ``size``: samples of an epoch."""
    text = explain(error)
    ran_out = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not ran_out and not any(words in text for words in _OUT_OF_MEMORY):
        return text
    measuring = any(frame.filename.endswith("evaluation.py") for frame in extract_tb(error.__traceback__))
    chunk = min(trial.arm.chunk, size)
    if chunk == 1 and not measuring:
        return "out of memory with forward passes of one row; give fewer --jobs, or a smaller model"
    if measuring:
        return "out of memory in evaluation; give a smaller --eval-chunk"
    return (
        f"out of memory with forward passes of up to {chunk} rows; give a smaller --chunk, such as "
        f"{max(1, chunk // 4)}"
    )
