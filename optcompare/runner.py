"""Drives trials through a trainer, task by task; tells observers, keeps records. Only this process does so."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from .comparison import Trial
from .fairness import Agreement, Check, Evidence
from .journal import Journal
from .rehearsal import Estimate
from .start import fingerprint
from .tasks import Task, Tasks
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
    """Trains lists of trials to their ends, task after task; ``measured`` is what there is so far.

    ``planned``: all trials that are to come, for the time left; ``directory``: where each is written once it has ended.
    """

    def __init__(
        self,
        tasks: Tasks,
        estimates: Sequence[Estimate],
        planned: Sequence[Trial],
        observer: Observer,
        stop: Stop,
        directory: Path | None = None,
    ) -> None:
        setup = tasks.loop.setup
        self.measured = Measured()
        self._tasks, self._observer, self._stop, self._planned = tasks, observer, stop, len(planned)
        self._setup = setup
        self._journal = Journal(directory, observer.trial_finished)
        free = [label for label, contender in setup.contenders.items() if contender.strategy.coverage == "free"]
        self._evidence = Evidence(setup.comparison, free)
        self._pace = _Pace(estimates, planned)
        self._kept_bytes = 0
        self._open: dict[Trial, list[dict[str, Any]]] = {}

    def run(self, trials: Sequence[Trial]) -> None:
        """Trains these; after an interruption nothing more."""
        if self.measured.interrupted:
            return
        try:
            for task in self._tasks.of(trials):
                self._train(task)
                if self.measured.interrupted:
                    break
        except KeyboardInterrupt:
            self.measured.interrupted = True
        finally:
            if self.measured.interrupted:
                self._tasks.lanes.stop()
            self._journal.flush()

    def certificate(self) -> list[Check]:
        """The fairness of what was run so far."""
        lanes = self._tasks.lanes
        return self._evidence.certificate(Agreement(lanes.checked, lanes.apart, lanes.tolerance))

    def _train(self, task: Task, state: dict[str, Any] | None = None, before: str = "") -> None:
        """Trains a task from ``state`` to its end; ``before``: the trainer that brought it there, if another."""
        trainer, trials = task
        budget, n = self._setup.comparison.budget, self._setup.workload.size
        known = {(trial.arm.label, trial.arm.lr, trial.seed): trial for trial in trials}
        going, share = dict(enumerate(trials)), 0.0
        strayed: list[tuple[Trial, dict[str, Any], str]] = []
        while going:
            self._observer.advanced(len(self.measured.outcomes), self._planned, *self._pace.left(going.values(), share))
            records, state = trainer.advance(trials, state, _Deadline(self._stop), lambda: self._stop.asked)
            for record in records:
                trial = known[record["arm"], record["lr"], record["seed"]]
                if record["update"] == 0:
                    self._evidence.first_record(trial, record)
                self._open.setdefault(trial, []).append(record)
                self._observer.measured(trial, record)
            for number, trial in list(going.items()):
                mine = state.get("lanes", [state])[number]
                progress = Progress(**mine["progress"])
                share = progress.share(budget, n)
                if progress.status == "running" and self._stop.asked:
                    progress.status, progress.reason = "interrupted", "stopped by the user"
                    progress.final_sha256 = fingerprint(mine["model"])
                if progress.status != "running":
                    self._finish(trial, progress, mine.get("model", {}), before + trainer.name)
                elif str(number) in state.get("strayed", {}):
                    strayed.append((trial, mine, state["strayed"][str(number)]))
                else:
                    continue
                del going[number]
        self._tasks.explain([(trial, why) for trial, _, why in strayed])
        for trial, mine, _ in strayed:
            self._train(Task(self._tasks.loop, [trial]), mine, f"{trainer.name}+")

    def _finish(self, trial: Trial, progress: Progress, model: Mapping[str, Any], trainer: str) -> None:
        self._pace.finished(trial)
        self._evidence.trial_ended(trial, progress, trainer)
        self.measured.interrupted |= progress.status == "interrupted"
        outcome = _outcome(trial, progress, self._setup.comparison.workload.label, trainer)
        records = self._open.pop(trial, [])
        self.measured.outcomes.append(outcome)
        self.measured.records += records
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
        self._journal.add(trial, outcome, records)


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

    def left(self, trials: Iterable[Trial], share: float) -> tuple[float, float]:
        """The share of all work that is done, and seconds left, when ``share`` of these trials is done."""
        elapsed = time.perf_counter() - self._began
        done = self._done + share * sum(self._expected[trial.arm.label] for trial in trials)
        rate = elapsed / done if done else 1.0
        return done / self._total, (self._total - done) * rate


def _outcome(trial: Trial, progress: Progress, workload: str, trainer: str) -> dict[str, Any]:
    orders = hashlib.sha256("".join(progress.orders).encode()).hexdigest()
    return {
        "workload": workload,
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
        "trainer": trainer,
        "updates": progress.updates,
        "samples": progress.samples,
        "train_seconds": progress.train_seconds,
        "measure_seconds": progress.measure_seconds,
    }
