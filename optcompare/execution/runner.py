"""Train all trials of a run, task by task, in the process that keeps records and calls observers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import pandas as pd

from ..analysis.certificate import Agreement, Evidence, Reference
from ..analysis.check import Check
from ..analysis.traits import Traits
from ..core.columns import RECORD_COLUMNS, TRIAL_COLUMNS, Outcome, Record
from ..core.comparison import Trial
from ..core.trial_key import TrialKey
from ..errors import RunDirectoryError
from ..storage.journal import Journal
from ..storage.previous_run import PreviousRun, prolonged, records_before_end
from ..storage.state_files import SavedTask
from ..training.measurement.counters import Progress
from ..training.measurement.record import outcome_of
from ..training.shared_init import fingerprint
from ..training.state import LanesState, State, TrialState, can_continue, trial_states
from .backends import Backend
from .continuation import continue_from, tasks_under_way
from .expected_time import ExpectedTime
from .measured import Measured
from .remaining_time import RemainingTime
from .scheduler import Queue, Task, Tasks
from .stopping import Stop
from .task_sender import TaskResult

_READ_STATES = 1000
"""The most trials of a previous run for which final weights are read."""


class Observer(Protocol):
    """Observe a run."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Receive a record of a trial."""
        ...

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        """Receive the row of a trial that has ended, after it was written to disk."""
        ...

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        """Receive the number of ended trials and of all, the share of work done, and the seconds left."""
        ...


class Runner:
    """Train lists of trials to their ends, task by task.

    Args:
        tasks: Groups trials into tasks.
        backend: The backend that trains tasks.
        expected: The expected time of trials.
        planned: All trials of the run.
        observer: Called for every record and every trial.
        stop: Whether the user wants to stop.
        journal: Writes trials that have ended.
        previous: A previous run of the same question; its trials are not trained again.

    Attributes:
        measured: The measurements so far that are not in the tables.
        notes: Sentences for the notes of the run.
    """

    def __init__(
        self,
        tasks: Tasks,
        backend: Backend,
        expected: ExpectedTime,
        planned: Sequence[Trial],
        observer: Observer,
        stop: Stop,
        journal: Journal,
        previous: PreviousRun | None = None,
    ) -> None:
        self.measured, self.notes = Measured(), list[str]()
        self._tasks, self._backend, self._observer, self._stop = tasks, backend, observer, stop
        self._setup, self._journal, self._previous = tasks.setup, journal, previous
        self._planned, self._done = len(planned), 0
        arm_objects = tasks.setup.arm_objects.items()
        free = [label for label, each in arm_objects if each.strategy.coverage == "free"]
        self._evidence = Evidence(tasks.setup.comparison, free)
        self._time = RemainingTime(expected, planned)
        self._records: dict[Trial, list[Record]] = {}  # of trials in progress
        self._shares: dict[Trial, float] = {}  # of their budgets
        self._saved: dict[Task, SavedTask] = {}  # for the next checkpoint

    def run(self, trials: Sequence[Trial]) -> None:
        """Train the trials that no previous run trained; do nothing after an interruption.

        Args:
            trials: Some of the planned trials.
        """
        if self.measured.interrupted or not trials:
            return
        queue = Queue(self._tasks_left(trials))
        try:
            self._report_progress()
            for result in self._backend.results(queue):
                self._record(result, queue)
                self._report_progress()
        except KeyboardInterrupt:
            self.measured.interrupted = True
        finally:
            self.measured.interrupted |= self._stop.requested and self._done < self._planned
            if self.measured.interrupted:
                self._tasks.lanes.stop()
            self._journal.flush()

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return all records and trials so far, with those of the previous run that are still valid."""
        parts = self._journal.tables
        new = [
            pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
            for tables in zip(*parts, strict=True)
        ]
        records, trials = new or (pd.DataFrame(columns=RECORD_COLUMNS), pd.DataFrame(columns=TRIAL_COLUMNS))
        if self._previous is None or self._previous.trials.empty:
            return records, trials
        return self._previous.with_later(records, trials)

    def certificate(self, reference: Reference, traits: Traits) -> list[Check]:
        """Return the fairness checks of the trials so far.

        Args:
            reference: The comparison with a plain loop before the run.
            traits: The properties of the arms that the dry run found.
        """
        return self._evidence.certificate(self.agreement(), reference, traits)

    def agreement(self) -> Agreement:
        """Return the agreement of lanes with the loop, in this run and the previous one."""
        admission = self._tasks.lanes.admission
        before = {} if self._previous is None else self._previous.environment.get("agreement", {})
        checked = admission.checked + before.get("checked", 0)
        return Agreement(checked, max(admission.apart, before.get("apart", 0.0)), admission.tolerance)

    def _tasks_left(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """Yield the tasks that are left, first those that were under way."""
        previous = self._previous
        if previous is None:
            yield from self._tasks.of(trials)
            return
        left = continue_from(previous, trials, self._setup)
        self.notes += left.notes
        for trial, outcome in left.ended:
            self._restore(trial, outcome, previous)
        for trial in left.prolonged:
            self._reopen(trial, records_before_end(previous.records_of(trial), previous.states[trial]))
        begun = set[Trial]()
        for records, state, whole in tasks_under_way(previous, left.fresh, self._setup):
            if not whole:  # Otherwise a later resume, with the new budget, would continue from it.
                self._journal.forget_checkpoint()
            for trial, own in records.items():
                self._reopen(trial, own)
            begun.update(records)
            if records:
                yield from self._tasks.resumed(list(records), state)
        states = previous.states
        yield from self._tasks.prolonged(left.prolonged, lambda trial: prolonged(states[trial]))
        yield from self._tasks.of([trial for trial in left.fresh if trial not in begun])

    def _restore(self, trial: Trial, outcome: Outcome, previous: PreviousRun) -> None:
        """Count a trial that ended in the previous run, and read its final weights."""
        self._time.finished(trial, restored=True)
        self._done += 1
        self._evidence.trial_ended(trial, outcome)
        self._add_first_record(trial, previous.first_of(trial))
        self._add_last_record(trial, outcome, previous.last_of(trial))
        if trial.phase == "report" and len(previous.trials) <= _READ_STATES:
            with suppress(RunDirectoryError):  # The final weights are optional.
                if trial in previous.states:
                    state = previous.states[trial]
                    self.measured.add(trial, state["model"], Progress(**state["progress"]))

    def _reopen(self, trial: Trial, records: list[Record]) -> None:
        """Take over the records of a trial that continues."""
        self._records[trial] = records
        self._add_first_record(trial, records)

    def _add_first_record(self, trial: Trial, records: Sequence[Record]) -> None:
        for record in records[:1]:
            if record["update"] == 0:
                self._evidence.first_record(trial, record)

    def _add_last_record(self, trial: Trial, outcome: Outcome, records: Sequence[Record]) -> None:
        for record in records if outcome["status"] == "finished" else ():
            self._evidence.last_record(trial, record)

    def _record(self, result: TaskResult, queue: Queue) -> None:
        """Record the result of a task, finish trials that ended, and requeue lanes that left their group."""
        task = result.task
        task.state = result.state
        self._add_records(task, result.records)
        self._checkpoint(task, result.state)
        strayed = result.state["strayed"] if "lanes" in result.state else {}
        requeued = list[int]()
        for number, trial in list(task.running.items()):
            state = trial_states(result.state)[number]
            progress = self._progress(trial, state)
            if progress.status != "running":
                self._finish(trial, progress, state, task.before + task.trainer)
            elif str(number) in strayed:
                requeued.append(number)
            else:
                continue
            del task.running[number]
        if requeued and "lanes" in result.state:
            self._requeue(task, result.state, requeued, queue)
        if not task.running and not self._stop.requested:
            self._saved.pop(task, None)
            if not self._saved:
                self._journal.forget_checkpoint()

    def _add_records(self, task: Task, records: Sequence[Record]) -> None:
        trials = {TrialKey.of(trial): trial for trial in task.trials}
        for record in records:
            trial = trials[TrialKey.of_row(record)]
            if record["update"] == 0:
                self._evidence.first_record(trial, record)
            self._records.setdefault(trial, []).append(record)
            self._observer.measured(trial, record)

    def _checkpoint(self, task: Task, state: State) -> None:
        """Update the saved state of a task, and write a checkpoint of all tasks under way if it is due."""
        if can_continue(state):
            records = {TrialKey.of(trial): [*self._records.get(trial, ())] for trial in task.running.values()}
            if "lanes" in state:
                state = {**state, "lanes": [state["lanes"][number] for number in task.running]}
            self._saved[task] = SavedTask(records, state)
        self._journal.checkpoint(self._saved.values(), now=self._stop.requested)

    def _progress(self, trial: Trial, state: TrialState) -> Progress:
        """Return the counters of a trial; mark it as interrupted if the user wants to stop."""
        progress = Progress(**state["progress"])
        self._shares[trial] = progress.share(self._setup.comparison.budget, self._setup.workload.size)
        if progress.status == "running" and self._stop.requested:
            progress.status, progress.reason = "interrupted", "stopped by the user"
            progress.final_sha256 = fingerprint(state["model"])
        return progress

    def _requeue(self, task: Task, state: LanesState, numbers: Sequence[int], queue: Queue) -> None:
        """Requeue lanes on the loop trainer, from their last states or from their shared starts."""
        why = state["strayed"]
        self._tasks.explain([(task.trials[number], why[str(number)]) for number in numbers])
        for number in reversed(numbers):
            trial = task.trials[number]
            if state.get("again"):
                self._records.pop(trial, None)
                queue.put_back(Task("loop", [trial]))
            else:
                queue.put_back(Task("loop", [trial], state["lanes"][number], before=f"{task.trainer}+"))

    def _finish(self, trial: Trial, progress: Progress, state: TrialState, trainer: str) -> None:
        """Add a trial that has ended to the journal."""
        self._time.finished(trial)
        self._shares.pop(trial, None)
        self._done += 1
        self.measured.interrupted |= progress.status == "interrupted"
        fallback = self._tasks.fallback(trial)
        outcome = outcome_of(trial, progress, self._setup.comparison, trainer, fallback)
        self._evidence.trial_ended(trial, outcome, progress.orders)
        if trial.phase == "report":
            self.measured.add(trial, state.get("model", {}), progress)
        records = self._records.pop(trial, [])
        if records:  # The test set may be measured in a later task than the last record.
            records[-1] = {**records[-1], **progress.tested}
        self._add_last_record(trial, outcome, records[-1:])
        self._journal.add(trial, outcome, records, state if progress.status == "finished" else None)

    def _report_progress(self) -> None:
        self._observer.advanced(self._done, self._planned, *self._time.left(self._shares))
