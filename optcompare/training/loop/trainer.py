"""The loop trainer: one trial at a time, update by update.

It is the reference that all other trainers must match.
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
from ..data import Source, first_rows, sources
from ..device import DTYPES
from ..measurement.counters import Progress
from ..settings import preserved_settings
from ..setup import Setup
from ..shared_init import SharedStart
from ..splits import Splits
from ..state import TrialState
from .epochs import train
from .trial import TrialRun

_KEPT_STARTS, _KEPT_STARTS_BYTES = 256, 2**28
_OUT_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "backend out of memory")
KEPT_RUNS = 4
"""The number of unfinished trials that keep their live objects, so that tasks may alternate."""


class LoopTrainer:
    """Train one trial at a time, and hold what trials share: the data and recent shared starts.

    Args:
        setup: The comparison with its live objects.
    """

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
        """Return whether modules are copied, since their factory is slow."""
        return any(start.copies for start in self._starts.values())

    def for_comparison(self, comparison: Comparison) -> LoopTrainer:
        """Return a trainer for another comparison of the same arms; it shares data and shared starts."""
        other = copy.copy(self)
        other._live = []
        other.setup = dataclasses.replace(self.setup, comparison=comparison)
        return other

    def in_brief(self, comparison: Comparison) -> LoopTrainer:
        """Return a trainer for trials that measure the loss on a sample of rows alone, as in a dry run.

        They have no metrics, which may need all rows, and no goal, near which all rows are measured.
        """
        other = self.for_comparison(dataclasses.replace(comparison, goal=None, stop_at_goal=False))
        workload = dataclasses.replace(self.setup.workload, metrics={}, errors=())
        other.setup = dataclasses.replace(other.setup, brief=True, workload=workload)
        return other

    def on_split_of(self, seed: int) -> LoopTrainer:
        """Return a trainer with the workload on the split of a seed, and its data."""
        number = self.setup.comparison.split_of(seed)
        if number == 0:
            return self
        workload, sources = self._splits.of(number)
        other = self.for_comparison(self.setup.comparison)
        other.setup, other.sources = dataclasses.replace(other.setup, workload=workload), sources
        return other

    def other_splits(self) -> Iterator[Workload]:
        """Yield the workload on the splits of the comparison other than its own."""
        yield from (
            self._splits.of(number).workload for number in range(1, self.setup.comparison.split_seeds)
        )

    def start(self, seed: int) -> SharedStart:
        """Return the shared start of a seed; the last few are cached within a memory limit."""
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

        The result does not depend on where tasks end. Neither ``state`` nor the generators of the process
        change.

        Args:
            trials: One trial.
            state: The state to continue from; None: the shared start.
            until: Called after each update, or after each epoch of an adaptive strategy, whose generator
                cannot be saved within an epoch; True ends the task.
            stop: Called after each update of an adaptive strategy; True ends the trial as interrupted. If
                it returns True after a KeyboardInterrupt, the user caused the interrupt, and the trial ends
                as interrupted; otherwise code of the trial raised it, and the trial has failed.

        Returns:
            The new records, and the new state, whose ``progress`` has the status of the trial.

        Raises:
            KeyboardInterrupt: There is no ``stop``, or the run of the trial did not exist yet.
        """
        (trial,) = trials
        with preserved_rng(), preserved_settings():
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
        """Return the live run that returned this state, or a new run with the state loaded.

        A live run saves the time of building a model, and keeps values that a model hides from checkpoints.
        The runs of the last few trials are kept, so that tasks may alternate between them.
        """
        for position, (left, run) in enumerate(self._live):
            if left is state:
                del self._live[position]
                run.start_task(left)
                return run
        return self.run(trial, state)

    def run(self, trial: Trial, state: TrialState | None, reuse: TrialRun | None = None) -> TrialRun:
        """Return a new run of a trial, at the shared start or at a state.

        Args:
            trial: The trial.
            state: What the trial continues from; None: the shared start.
            reuse: An untrained run of the same seed, whose module the new run takes over.
        """
        trainer = self.on_split_of(trial.seed)
        return TrialRun(
            trainer.setup, trial, trainer.sources, self.start(trial.seed), state, self._warmed, reuse
        )

    def evaluations(self, arm: Arm) -> int:
        """Return the evaluations of loss and gradient in an update of an arm; 1 before its warm-up."""
        return self._warmed.get(arm.label, 1)

    def takes_closure(self, arm: Arm) -> bool:
        """Return whether an update of an arm may evaluate its batch several times."""
        if arm.label not in self._takes_closure:
            seed = self.setup.comparison.seeds[0]
            with preserved_rng():
                self._takes_closure[arm.label] = self.run(Trial(arm, seed), None).takes_closure
        return self._takes_closure[arm.label]


def why(error: BaseException, trial: Trial, size: int) -> str:
    """Return an error as one line; if memory ran out, with advice.

    Args:
        error: The exception to explain.
        trial: The trial that raised it.
        size: Samples of an epoch.
    """
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
