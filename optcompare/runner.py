"""Drives trials through a trainer, task by task; tells observers, keeps records. Only this process does so."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from .comparison import Trial
from .fairness import Check, Evidence
from .rehearsal import Estimate
from .start import fingerprint
from .train.loop import LoopTrainer
from .train.progress import Progress

_TASK_SECONDS = 1.0
_KEPT_WEIGHTS_BYTES = 2**30


class Observer(Protocol):
    """What the runner tells while it runs."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None: ...

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None: ...

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None: ...


@dataclass
class Measured:
    """Everything that a run brought: rows of records and trials, paths of two weights, final weights."""

    records: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    paths: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    interrupted: bool = False


class Stop:
    """Whether the user asked to stop; once ``saving``, nothing stops it any more."""

    def __init__(self) -> None:
        self.asked = self.saving = False

    def __call__(self, *signal_arguments: Any) -> None:
        if self.asked and not self.saving:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """The first Ctrl-C asks to stop after the update under way; the second stops within it. Then all is saved."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class Runner:
    """Trains lists of trials to their ends, one trial after another; ``measured`` is what there is so far.

    ``planned``: all trials that are to come, for the time left.
    """

    def __init__(
        self,
        trainer: LoopTrainer,
        estimates: Sequence[Estimate],
        planned: Sequence[Trial],
        observer: Observer,
        stop: Stop,
    ) -> None:
        setup = trainer.setup
        self.measured = Measured()
        self._trainer, self._observer, self._stop, self._planned = trainer, observer, stop, len(planned)
        free = [label for label, contender in setup.contenders.items() if contender.strategy.coverage == "free"]
        self._evidence = Evidence(setup.comparison, free)
        self._pace = _Pace(estimates, planned)
        self._kept_bytes = 0

    def run(self, trials: Sequence[Trial]) -> None:
        """Trains these; after an interruption nothing more."""
        for trial in trials:
            if self.measured.interrupted:
                return
            try:
                progress = self._train(len(self.measured.outcomes), trial)
                self.measured.interrupted = progress.status == "interrupted"
            except KeyboardInterrupt:
                self.measured.interrupted = True

    def certificate(self) -> list[Check]:
        """The fairness of what was run so far."""
        return self._evidence.certificate()

    def _train(self, number: int, trial: Trial) -> Progress:
        progress, state = Progress(), None
        while progress.status == "running":
            share = progress.share(self._trainer.setup.comparison.budget, self._trainer.setup.workload.size)
            self._observer.advanced(number, self._planned, *self._pace.left(trial, share))
            records, state = self._trainer.advance([trial], state, _Deadline(self._stop), lambda: self._stop.asked)
            progress = Progress(**state["progress"])
            for record in records:
                if record["update"] == 0:
                    self._evidence.first_record(trial, record)
                self._observer.measured(trial, record)
            self.measured.records += records
            if progress.status == "running" and self._stop.asked:
                progress.status, progress.reason = "interrupted", "stopped by the user"
                progress.final_sha256 = fingerprint(state["model"])
        self._finish(trial, progress, (state or {}).get("model", {}))
        return progress

    def _finish(self, trial: Trial, progress: Progress, model: Mapping[str, Any]) -> None:
        self._pace.finished(trial)
        self._evidence.trial_ended(trial, progress)
        outcome = _outcome(trial, progress, self._trainer)
        self.measured.outcomes.append(outcome)
        self.measured.paths += [
            {"arm": trial.arm.label, "seed": trial.seed, "update": int(update), "x": x, "y": y}
            for update, x, y in progress.path
        ]
        if trial.phase == "tune":
            model = {}
        size = sum(value.nbytes for value in model.values() if isinstance(value, torch.Tensor))
        if model and self._kept_bytes + size <= _KEPT_WEIGHTS_BYTES:
            self._kept_bytes += size
            self.measured.weights[trial.arm.label, trial.seed] = {
                name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in model.items()
            }
        self._observer.trial_finished(trial, outcome)


class _Deadline:
    """Ends a task when the user asks, or when it has lasted long enough for progress to be shown."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._end = time.perf_counter() + _TASK_SECONDS

    def __call__(self) -> bool:
        return self._stop.asked or time.perf_counter() > self._end


class _Pace:
    """Time left: what the rehearsal expects of each arm, corrected by what was done so far really took."""

    def __init__(self, estimates: Sequence[Estimate], planned: Sequence[Trial]) -> None:
        self._expected = {estimate.arm.label: max(estimate.seconds, 1e-6) for estimate in estimates}
        self._total = sum(self._expected[trial.arm.label] for trial in planned)
        self._done = 0.0
        self._began = time.perf_counter()

    def finished(self, trial: Trial) -> None:
        self._done += self._expected[trial.arm.label]

    def left(self, trial: Trial, share: float) -> tuple[float, float]:
        """The share of all work that is done, and seconds left, when ``share`` of this trial is done."""
        elapsed = time.perf_counter() - self._began
        done = self._done + share * self._expected[trial.arm.label]
        rate = elapsed / done if done else 1.0
        return done / self._total, (self._total - done) * rate


def _outcome(trial: Trial, progress: Progress, trainer: LoopTrainer) -> dict[str, Any]:
    orders = hashlib.sha256("".join(progress.orders).encode()).hexdigest()
    return {
        "workload": trainer.setup.comparison.workload.label,
        "phase": trial.phase,
        "arm": trial.arm.label,
        "lr": trial.arm.lr,
        "seed": trial.seed,
        "status": progress.status,
        "reason": progress.reason,
        "weights_sha256": progress.weights_sha256,
        "order_sha256": orders,
        "batches_sha256": progress.batches,
        "final_sha256": progress.final_sha256,
        "trainer": trainer.name,
        "updates": progress.updates,
        "samples": progress.samples,
        "train_seconds": progress.train_seconds,
        "measure_seconds": progress.measure_seconds,
    }
