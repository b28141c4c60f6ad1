"""Drives trials through a trainer, task by task; tells observers, keeps records. Only this process does so."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import torch

from .comparison import Trial
from .errors import RunDirectoryError
from .fairness import Agreement, Check, Evidence
from .journal import Journal, State, key_of
from .rehearsal import Estimate
from .resume import Earlier, prolonged
from .start import fingerprint
from .tasks import Task, Tasks
from .train.progress import Progress
from .train.record import outcome_of

_TASK_SECONDS = 1.0
_KEPT_WEIGHTS_BYTES = 2**30
_READ_STATES = 1000


class Observer(Protocol):
    """What the runner tells while it runs."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None: ...

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None: ...

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None: ...


@dataclass
class Measured:
    """What a run brought beside its tables: paths of two weights, final weights."""

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
    """The first Ctrl-C, or SIGTERM, asks to stop after the update under way; the second stops within it. Then all is
    saved."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Runner:
    """Trains lists of trials to their ends, task after task; ``measured`` is what there is so far.

    ``planned``: all trials that are to come, for the time left; ``journal``: keeps what has ended; ``earlier``: what
    an earlier run of the same comparison left, which is not trained again; ``notes``: what the user should hear of that.
    """

    def __init__(
        self,
        tasks: Tasks,
        estimates: Sequence[Estimate],
        planned: Sequence[Trial],
        observer: Observer,
        stop: Stop,
        journal: Journal,
        earlier: Earlier | None = None,
    ) -> None:
        setup = tasks.loop.setup
        self.measured = Measured()
        self._tasks, self._observer, self._stop, self._planned = tasks, observer, stop, len(planned)
        self._setup = setup
        self._journal, self._earlier = journal, earlier
        self.notes: list[str] = []
        self._done = 0
        free = [label for label, contender in setup.contenders.items() if contender.strategy.coverage == "free"]
        self._evidence = Evidence(setup.comparison, free)
        self._pace = _Pace(estimates, planned)
        self._kept_bytes = 0
        self._open: dict[Trial, list[dict[str, Any]]] = {}

    def run(self, trials: Sequence[Trial]) -> None:
        """Trains these, as far as no earlier run did; after an interruption nothing more."""
        if self.measured.interrupted:
            return
        try:
            for task, state in self._dealt(trials):
                self._train(task, state)
                if self.measured.interrupted:
                    break
        except KeyboardInterrupt:
            self.measured.interrupted = True
        finally:
            if self.measured.interrupted:
                self._tasks.lanes.stop()
            self._journal.flush()

    def _dealt(self, trials: Sequence[Trial]) -> Iterator[tuple[Task, State | None]]:
        """What is left to do, first what was under way: tasks with the states from which they go on."""
        if self._earlier is None:
            yield from ((task, None) for task in self._tasks.of(trials))
            return
        fresh, longer = self._left(trials, self._earlier)
        under_way = self._under_way(fresh, self._earlier)
        yield from under_way
        begun = {trial for task, _ in under_way for trial in task.trials}
        for task in self._tasks.of(longer):
            states = [prolonged(self._earlier.kept[trial]) for trial in task.trials]
            yield (
                task,
                states[0] if task.trainer is self._tasks.loop else {"lanes": states, "strayed": {}, "again": False},
            )
        yield from ((task, None) for task in self._tasks.of([trial for trial in fresh if trial not in begun]))

    def _left(self, trials: Sequence[Trial], earlier: Earlier) -> tuple[list[Trial], list[Trial]]:
        """Trials to train from their starts, and trials to train on; those that are done already are counted."""
        fresh, on, again = list[Trial](), list[Trial](), 0
        amount = self._setup.comparison.budget.amount
        for trial in trials:
            row = earlier.row(trial)
            if row is None or row["status"] == "failed":
                fresh.append(trial)
            elif row["budget"] < amount and row["status"] == "finished" and trial.phase == "report":
                kept = trial in earlier.kept and self._setup.comparison.budget.unit == "epochs"
                (on if kept else fresh).append(trial)
                again += not kept
                if kept:
                    self._open[trial] = earlier.records_of(trial)
                    self._first(trial, self._open[trial])
            else:
                self._restore(trial, row, earlier)
        if again:
            self.notes.append(
                f"{again} finished trials are trained again from the start: their final states were not kept"
            )
        return fresh, on

    def _under_way(self, fresh: Sequence[Trial], earlier: Earlier) -> list[tuple[Task, State | None]]:
        """The task of the last checkpoint, if all its trials are still wanted."""
        saved = earlier.kept.checkpoint()
        wanted = {key_of(trial): trial for trial in fresh}
        if saved is None or not set(saved[0]) <= set(wanted):
            return []
        records, state = saved
        trials = [wanted[key] for key in records]
        for key, rows in records.items():
            self._open[wanted[key]] = [dict(row) for row in rows]
            self._first(wanted[key], rows)
        if "lanes" not in state:
            return [(Task(self._tasks.loop, trials), state)]
        admitted = self._tasks.lanes.admit(trials)
        if admitted.groups == [trials]:
            return [(Task(self._tasks.lanes, trials), state)]
        return [(Task(self._tasks.loop, [trial]), lane) for trial, lane in zip(trials, state["lanes"], strict=True)]

    def _restore(self, trial: Trial, row: dict[str, Any], earlier: Earlier) -> None:
        self._pace.finished(trial)
        self._done += 1
        self._evidence.trial_ended(trial, row)
        self._first(trial, earlier.first_of(trial))
        if trial.phase == "report" and len(earlier.trials) <= _READ_STATES:
            with suppress(RunDirectoryError):  # a state that cannot be read is not needed here
                if trial in earlier.kept:
                    state = earlier.kept[trial]
                    self._keep(trial, state["model"], state["progress"]["path"])

    def _first(self, trial: Trial, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records[:1]:
            if record["update"] == 0:
                self._evidence.first_record(trial, record)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All records and all trials so far, those of the earlier run included that were not trained on to their ends."""
        parts = self._journal.tables
        new = [
            pd.concat(tables, ignore_index=True) if tables else pd.DataFrame() for tables in zip(*parts, strict=True)
        ]
        records, trials = new if new else (pd.DataFrame(), pd.DataFrame())
        if self._earlier is None or self._earlier.trials.empty:
            return records, trials
        return self._earlier.with_later(records, trials)

    def certificate(self) -> list[Check]:
        """The fairness of what was run so far."""
        return self._evidence.certificate(self.agreement())

    def agreement(self) -> Agreement:
        """How closely lanes agreed with the loop, in the earlier run too."""
        lanes = self._tasks.lanes
        before = {} if self._earlier is None else self._earlier.environment.get("agreement", {})
        checked, apart = lanes.checked + before.get("checked", 0), max(lanes.apart, before.get("apart", 0.0))
        return Agreement(checked, apart, lanes.tolerance)

    def _train(self, task: Task, state: State | None = None, before: str = "") -> None:
        """Trains a task from ``state`` to its end; ``before``: the trainer that brought it there, if another."""
        trainer, trials = task
        budget, n = self._setup.comparison.budget, self._setup.workload.size
        known = {(trial.arm.label, trial.arm.lr, trial.seed): trial for trial in trials}
        going, share = dict(enumerate(trials)), 0.0
        strayed: list[tuple[Trial, State | None, str]] = []
        while going:
            self._observer.advanced(self._done, self._planned, *self._pace.left(going.values(), share))
            records, state = trainer.advance(trials, state, _Deadline(self._stop), lambda: self._stop.asked)
            for record in records:
                trial = known[record["arm"], record["lr"], record["seed"]]
                if record["update"] == 0:
                    self._evidence.first_record(trial, record)
                self._open.setdefault(trial, []).append(record)
                self._observer.measured(trial, record)
            if not any(lane["progress"]["status"] == "interrupted" for lane in state.get("lanes", [state])):
                self._journal.checkpoint(trials, state, self._open, now=self._stop.asked)
            for number, trial in list(going.items()):
                mine = state.get("lanes", [state])[number]
                progress = Progress(**mine["progress"])
                share = progress.share(budget, n)
                if progress.status == "running" and self._stop.asked:
                    progress.status, progress.reason = "interrupted", "stopped by the user"
                    progress.final_sha256 = fingerprint(mine["model"])
                if progress.status != "running":
                    self._finish(trial, progress, mine, before + trainer.name)
                elif str(number) in state.get("strayed", {}):
                    strayed.append((trial, None if state["again"] else mine, state["strayed"][str(number)]))
                else:
                    continue
                del going[number]
        if not self._stop.asked:
            self._journal.forget_checkpoint()
        self._tasks.explain([(trial, why) for trial, _, why in strayed])
        for trial, reached, _ in strayed:
            if reached is None:
                self._open.pop(trial, None)
            self._train(Task(self._tasks.loop, [trial]), reached, f"{trainer.name}+" if reached else "")

    def _finish(self, trial: Trial, progress: Progress, state: State, trainer: str) -> None:
        self._pace.finished(trial)
        self._done += 1
        self.measured.interrupted |= progress.status == "interrupted"
        outcome = outcome_of(trial, progress, self._setup.comparison, trainer)
        self._evidence.trial_ended(trial, outcome, progress.orders)
        if trial.phase == "report":
            self._keep(trial, state.get("model", {}), progress.path)
        self._journal.add(trial, outcome, self._open.pop(trial, []), state if progress.status == "finished" else None)

    def _keep(self, trial: Trial, model: Mapping[str, Any], path: Sequence[Sequence[float]]) -> None:
        self.measured.paths += [
            {"arm": trial.arm.label, "seed": trial.seed, "update": int(update), "x": x, "y": y} for update, x, y in path
        ]
        size = sum(value.nbytes for value in model.values() if isinstance(value, torch.Tensor))
        if model and self._kept_bytes + size <= _KEPT_WEIGHTS_BYTES:
            self._kept_bytes += size
            self.measured.weights[trial.arm.label, trial.seed] = {
                name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in model.items()
            }


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
