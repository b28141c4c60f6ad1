"""Drives trials to their ends, piece by piece; tells observers, keeps records. Only this process does so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import torch

from ..analysis.certificate import Agreement, Check, Evidence, Reference
from ..analysis.traits import Traits
from ..core.columns import RECORD_COLUMNS, TRIAL_COLUMNS
from ..core.comparison import Budget, Trial
from ..errors import RunDirectoryError
from ..storage.journal import Journal, Row, Saved, State, key_of
from ..storage.resume import Earlier, goes_on, prolonged, untested
from ..training.measurement.counters import Progress
from ..training.measurement.module_flags import is_partial
from ..training.measurement.record import outcome_of
from ..training.shared_init import fingerprint
from .backends import Piece, Place
from .expected_time import Expected
from .scheduler import Queue, Task, Tasks
from .stopping import Stop

_KEPT_WEIGHTS_BYTES = 2**30
_TENSOR_BYTES = 1000
"""What a tensor takes beside its numbers."""
_TRUSTED_SECONDS = 5.0
"""What was expected counts as much as so many seconds of what was seen: the first of them say little."""
_READ_STATES = 1000


class Observer(Protocol):
    """What the runner tells while it runs."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None: ...

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None: ...

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None: ...


@dataclass
class Measured:
    """What a run brought beside its tables: paths of two weights, weights at the marks by arm, final
    weights.
    """

    paths: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    weights: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    interrupted: bool = False


class Runner:
    """Trains lists of trials to their ends, task after task; ``measured`` is what there is so far.

    ``place``: where tasks are trained; ``planned``: all trials that are to come; ``expected``: how long they
    take; ``journal``: keeps what has ended; ``earlier``: what an earlier run of the same comparison left,
    which is not trained again; ``notes``: what the user should hear of that.
    """

    def __init__(
        self,
        tasks: Tasks,
        place: Place,
        expected: Expected,
        planned: Sequence[Trial],
        observer: Observer,
        stop: Stop,
        journal: Journal,
        earlier: Earlier | None = None,
    ) -> None:
        setup = tasks.setup
        self.measured = Measured()
        self._tasks, self._place, self._observer, self._stop = tasks, place, observer, stop
        self._planned = len(planned)
        self._setup = setup
        self._journal, self._earlier = journal, earlier
        self.notes: list[str] = []
        self._done = 0
        free = [
            label for label, contender in setup.contenders.items() if contender.strategy.coverage == "free"
        ]
        self._evidence = Evidence(setup.comparison, free)
        self._pace = _Pace(expected, planned)
        self._kept_bytes = 0
        self._open: dict[Trial, list[dict[str, Any]]] = {}
        self._shares: dict[Trial, float] = {}
        self._safe: dict[Task, Saved] = {}

    def run(self, trials: Sequence[Trial]) -> None:
        """Trains these, as far as no earlier run did; after an interruption nothing more."""
        if self.measured.interrupted or not trials:
            return
        queue = Queue(self._dealt(trials))
        try:
            self._tell()
            for piece in self._place.pieces(queue):
                self._land(piece, queue)
                self._tell()
        except KeyboardInterrupt:
            self.measured.interrupted = True
        finally:
            self.measured.interrupted |= self._stop.asked and self._done < self._planned
            if self.measured.interrupted:
                self._tasks.lanes.stop()
            self._journal.flush()

    def _dealt(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """What is left to do, first what was under way."""
        if self._earlier is None:
            yield from self._tasks.of(trials)
            return
        fresh, longer = self._left(trials, self._earlier)
        begun = set[Trial]()
        for task in self._under_way(fresh, self._earlier):
            begun.update(task.trials)
            yield task
        kept = self._earlier.kept
        yield from self._tasks.longer(longer, lambda trial: prolonged(kept[trial]))
        yield from self._tasks.of([trial for trial in fresh if trial not in begun])

    def _left(self, trials: Sequence[Trial], earlier: Earlier) -> tuple[list[Trial], list[Trial]]:
        """Trials to train from their starts, and trials to train on; those that are done already are
        counted.
        """
        fresh, on, again, rescheduled, longer = list[Trial](), list[Trial](), 0, 0, 0
        amount = self._setup.comparison.budget.amount
        for trial in trials:
            row = earlier.row(trial)
            if row is None or row["status"] == "failed":
                fresh.append(trial)
            elif (
                row["budget"] < amount
                and row["status"] == "finished"
                and not row["reason"]
                and trial.phase == "report"
            ):
                budget = self._setup.comparison.budget
                same = goes_on(trial.arm, Budget(budget.unit, row["budget"]), budget)
                kept = (
                    same and trial in earlier.kept and budget.unit == "epochs" and not self._is_uncut(trial)
                )
                kept = kept and not is_partial(earlier.kept[trial])
                (on if kept else fresh).append(trial)
                again += same and not kept and not self._is_uncut(trial)
                rescheduled += not same
                if kept:
                    self._open[trial] = [untested(record) for record in earlier.records_of(trial)]
                    self._first(trial, self._open[trial])
                longer += 1
            else:
                self._restore(trial, row, earlier)
        if again:
            self.notes.append(
                f"{again} finished trials are trained again from the start: their final states were not kept"
            )
        if longer and self._setup.workload.test is not None:
            self.notes.append(
                f"{longer} trials had ended, and been measured on the test set, with a smaller budget: "
                "those values are dropped, "
                "and the set is measured again at the new end; if they were a reason to train longer, it "
                "has been selected on"
            )
        if rescheduled:
            self.notes.append(
                f"{rescheduled} trials are trained again from the start: their schedule depends on the budget"
            )
        return fresh, on

    def _under_way(self, fresh: Sequence[Trial], earlier: Earlier) -> Iterator[Task]:
        """The tasks of the last checkpoint, as far as their trials are still wanted."""
        wanted = {key_of(trial): trial for trial in fresh}
        before, now = earlier.comparison.budget, self._setup.comparison.budget
        for records, state in earlier.kept.checkpoint():
            kept = {
                key: wanted[key]
                for key in records
                if key in wanted and goes_on(wanted[key].arm, before, now) and not self._is_uncut(wanted[key])
            }
            kept = {} if is_partial(state) else kept
            if len(kept) < len(
                records
            ):  # else a later resume, under the new budget, would take it for its own
                self._journal.forget_checkpoint()
            trials = list(kept.values())
            if "lanes" in state:
                lanes = zip(records, state["lanes"], strict=True)
                state = {**state, "lanes": [lane for key, lane in lanes if key in kept]}
            for trial in trials:
                self._open[trial] = [dict(row) for row in records[key_of(trial)]]
                self._first(trial, self._open[trial])
            if trials:
                yield from self._tasks.going_on(trials, state)

    def _is_uncut(self, trial: Trial) -> bool:
        """Whether a trial under way, or trained further, begins again: its state would not be all of it."""
        return trial.arm.label in self._setup.uncut

    def _restore(self, trial: Trial, row: dict[str, Any], earlier: Earlier) -> None:
        self._pace.finished(trial)
        self._done += 1
        self._evidence.trial_ended(trial, row)
        self._first(trial, earlier.first_of(trial))
        if trial.phase == "report" and len(earlier.trials) <= _READ_STATES:
            with suppress(RunDirectoryError):  # a state that cannot be read is not needed here
                if trial in earlier.kept:
                    state = earlier.kept[trial]
                    self._keep(trial, state["model"], Progress(**state["progress"]))

    def _first(self, trial: Trial, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records[:1]:
            if record["update"] == 0:
                self._evidence.first_record(trial, record)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All records and all trials so far, those of the earlier run included that were not trained on to
        their ends.
        """
        parts = self._journal.tables
        new = [
            pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
            for tables in zip(*parts, strict=True)
        ]
        records, trials = new or (pd.DataFrame(columns=RECORD_COLUMNS), pd.DataFrame(columns=TRIAL_COLUMNS))
        if self._earlier is None or self._earlier.trials.empty:
            return records, trials
        return self._earlier.with_later(records, trials)

    def certificate(self, reference: Reference, traits: Traits) -> list[Check]:
        """The fairness of what was run so far; ``reference``, ``traits``: what was checked and found before
        it.
        """
        return self._evidence.certificate(self.agreement(), reference, traits)

    def agreement(self) -> Agreement:
        """How closely lanes agreed with the loop, in the earlier run too."""
        lanes = self._tasks.lanes
        before = {} if self._earlier is None else self._earlier.environment.get("agreement", {})
        checked, apart = lanes.checked + before.get("checked", 0), max(lanes.apart, before.get("apart", 0.0))
        return Agreement(checked, apart, lanes.tolerance)

    def _land(self, piece: Piece, queue: Queue) -> None:
        """Takes in what was measured; crosses off what has ended, and puts what strayed from its lanes into
        the loop.
        """
        task, records, state = piece
        known = {(trial.arm.label, trial.arm.lr, trial.seed, trial.repeat): trial for trial in task.trials}
        for record in records:
            trial = known[record["arm"], record["lr"], record["seed"], record.get("repeat", 0)]
            if record["update"] == 0:
                self._evidence.first_record(trial, record)
            self._open.setdefault(trial, []).append(record)
            self._observer.measured(trial, record)
        task.state = state
        lanes = state.get("lanes", [state])
        if not any(lane["progress"]["status"] == "interrupted" for lane in lanes):
            self._safe[task] = self._saved(task, state)
        self._journal.checkpoint(self._safe.values(), now=self._stop.asked)
        strayed = list[int]()
        for number, trial in list(task.going.items()):
            progress = Progress(**lanes[number]["progress"])
            self._shares[trial] = progress.share(self._setup.comparison.budget, self._setup.workload.size)
            if progress.status == "running" and self._stop.asked:
                progress.status, progress.reason = "interrupted", "stopped by the user"
                progress.final_sha256 = fingerprint(lanes[number]["model"])
            if progress.status != "running":
                self._finish(trial, progress, lanes[number], task.before + task.trainer)
            elif str(number) in state.get("strayed", {}):
                strayed.append(number)
            else:
                continue
            del task.going[number]
        self._stray(task, strayed, queue)
        if not task.going and not self._stop.asked:
            self._safe.pop(task, None)
            if not self._safe:
                self._journal.forget_checkpoint()

    def _saved(self, task: Task, state: State) -> Saved:
        """The trials of a task that are under way, with what there is of them; as many records as fit to the
        state.
        """
        records: dict[str, list[Row]] = {
            key_of(trial): [*self._open.get(trial, ())] for trial in task.going.values()
        }
        if "lanes" in state:
            state = {**state, "lanes": [state["lanes"][number] for number in task.going]}
        return records, state

    def _stray(self, task: Task, strayed: Sequence[int], queue: Queue) -> None:
        """Lanes that cannot stay beside the others go on in the loop, or begin there again."""
        state = task.state or {}
        self._tasks.explain([(task.trials[number], state["strayed"][str(number)]) for number in strayed])
        for number in reversed(strayed):
            trial = task.trials[number]
            if state["again"]:
                self._open.pop(trial, None)
                queue.put_back(Task("loop", [trial]))
            else:
                queue.put_back(Task("loop", [trial], state["lanes"][number], before=f"{task.trainer}+"))

    def _tell(self) -> None:
        self._observer.advanced(self._done, self._planned, *self._pace.left(self._shares))

    def _finish(self, trial: Trial, progress: Progress, state: State, trainer: str) -> None:
        self._pace.finished(trial)
        self._shares.pop(trial, None)
        self._done += 1
        self.measured.interrupted |= progress.status == "interrupted"
        outcome = outcome_of(trial, progress, self._setup.comparison, trainer)
        self._evidence.trial_ended(trial, outcome, progress.orders)
        if trial.phase == "report":
            self._keep(trial, state.get("model", {}), progress)
        records = self._open.pop(trial, [])
        if records:  # the last one may have been made in the task before the one that saw the end
            records[-1] = {**records[-1], **progress.tested}
        self._journal.add(trial, outcome, records, state if progress.status == "finished" else None)

    def _keep(self, trial: Trial, model: Mapping[str, Any], progress: Progress) -> None:
        self.measured.paths += [
            {"arm": trial.arm.label, "seed": trial.seed, "update": int(update), "x": x, "y": y}
            for update, x, y in progress.path
        ]
        if progress.snapshots:
            self.measured.snapshots[trial.arm.label] = [
                (at, weights.numpy()) for at, weights in progress.snapshots
            ]
        size = sum(
            value.nbytes + _TENSOR_BYTES for value in model.values() if isinstance(value, torch.Tensor)
        )
        if model and self._kept_bytes + size <= _KEPT_WEIGHTS_BYTES:
            self._kept_bytes += size
            self.measured.weights[trial.arm.label, trial.seed, trial.repeat] = {
                name: value.cpu() if isinstance(value, torch.Tensor) else value
                for name, value in model.items()
            }


class _Pace:
    """Time left: what is expected of each trial in its trainer, corrected by what was done so far really
    took.
    """

    def __init__(self, expected: Expected, planned: Sequence[Trial]) -> None:
        self._expected = expected
        self._total = sum(map(expected.of, planned))
        self._done = 0.0
        self._began = time.perf_counter()

    def finished(self, trial: Trial) -> None:
        self._done += self._expected.of(trial)

    def left(self, shares: Mapping[Trial, float]) -> tuple[float, float]:
        """The share of all work that is done, and seconds left; ``shares``: how much of each trial under
        way.
        """
        elapsed = time.perf_counter() - self._began
        done = self._done + sum(share * self._expected.of(trial) for trial, share in shares.items())
        rate = (elapsed + _TRUSTED_SECONDS) / (done + _TRUSTED_SECONDS)
        left = max(0.0, self._total - done)
        return min(1.0, done / self._total), left * rate
