"""Drives trials through a trainer, task by task; tells observers, keeps records. Only this process does so."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch

from .comparison import Trial
from .fairness import Check, Evidence
from .rehearsal import Estimate
from .start import fingerprint
from .train.loop import LoopTrainer
from .train.progress import Progress

_TASK_SECONDS = 2.0
_KEPT_WEIGHTS_BYTES = 2**30


class Observer(Protocol):
    """What the runner tells while it runs."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None: ...

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None: ...

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None: ...


@dataclass
class Measured:
    """Everything that a run brought: rows of records and trials, paths of two weights, final weights, the certificate."""

    records: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    paths: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    certificate: list[Check] = field(default_factory=list)
    interrupted: bool = False


class Stop:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *signal_arguments: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """The first Ctrl-C asks to stop after the update under way; the second stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def run(trainer: LoopTrainer, estimates: list[Estimate], observer: Observer, stop: Stop) -> Measured:
    """Trains every trial to its end, one after another; after an interruption, returns what there is."""
    comparison = trainer.setup.comparison
    free = [label for label, contender in trainer.setup.contenders.items() if contender.strategy.coverage == "free"]
    measured, evidence = Measured(), Evidence(comparison, free)
    pace = _Pace(estimates, len(comparison.seeds))
    trials = comparison.trials()
    for number, trial in enumerate(trials):
        tick = partial(_tell_progress, observer, pace, number, len(trials))
        progress = _train(trainer, trial, measured, evidence, observer, stop, tick)
        pace.finished(trial)
        if progress.status == "interrupted":
            measured.interrupted = True
            break
    measured.certificate = evidence.certificate()
    return measured


def _train(
    trainer: LoopTrainer,
    trial: Trial,
    measured: Measured,
    evidence: Evidence,
    observer: Observer,
    stop: Stop,
    tick: Callable[[], None],
) -> Progress:
    state: dict[str, Any] | None = None
    while True:
        tick()
        until = _Deadline(stop)
        records, state = trainer.advance([trial], state, until)
        progress = Progress(**state["progress"])
        for record in records:
            if record["update"] == 0:
                evidence.first_record(trial, record)
            observer.measured(trial, record)
        measured.records += records
        if progress.status == "running" and stop.asked:
            progress.status, progress.reason = "interrupted", "stopped by the user"
            progress.final_sha256 = fingerprint(state["model"])
        if progress.status != "running":
            break
    evidence.trial_ended(trial, progress)
    outcome = _outcome(trial, progress, trainer)
    measured.outcomes.append(outcome)
    measured.paths += [
        {"arm": trial.arm.label, "seed": trial.seed, "update": int(update), "x": x, "y": y}
        for update, x, y in progress.path
    ]
    _keep_weights(measured, trial, state.get("model", {}))
    observer.trial_finished(trial, outcome)
    return progress


def _tell_progress(observer: Observer, pace: _Pace, done: int, of: int) -> None:
    observer.advanced(done, of, *pace.left())


class _Deadline:
    """Ends a task when the user asks, or when it has lasted long enough for progress to be shown."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._end = time.perf_counter() + _TASK_SECONDS

    def __call__(self) -> bool:
        return self._stop.asked or time.perf_counter() > self._end


class _Pace:
    """Time left: what the rehearsal expects of each arm, corrected by what finished trials really took."""

    def __init__(self, estimates: list[Estimate], seeds: int) -> None:
        self._expected = {estimate.arm.label: max(estimate.seconds, 1e-6) for estimate in estimates}
        self._total = seeds * sum(self._expected.values())
        self._done = 0.0
        self._began = time.perf_counter()

    def finished(self, trial: Trial) -> None:
        self._done += self._expected[trial.arm.label]

    def left(self) -> tuple[float, float]:
        """The share of the work that is done, and seconds left."""
        elapsed = time.perf_counter() - self._began
        rate = elapsed / self._done if self._done else 1.0
        remaining = self._total - self._done
        return self._done / self._total, remaining * rate if self._done else max(0.0, remaining - elapsed)


def _outcome(trial: Trial, progress: Progress, trainer: LoopTrainer) -> dict[str, Any]:
    orders = hashlib.sha256("".join(progress.orders).encode()).hexdigest()
    return {
        "workload": trainer.setup.comparison.workload.label,
        "phase": "report",
        "arm": trial.arm.label,
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


def _keep_weights(measured: Measured, trial: Trial, model: Mapping[str, Any]) -> None:
    kept = sum(_size(state) for state in measured.weights.values())
    if model and kept + _size(model) <= _KEPT_WEIGHTS_BYTES:
        measured.weights[trial.arm.label, trial.seed] = {
            name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in model.items()
        }


def _size(state: Mapping[str, Any]) -> int:
    return sum(value.numel() * value.element_size() for value in state.values() if isinstance(value, torch.Tensor))
