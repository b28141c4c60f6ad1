"""Continuation of a previous run: fresh trials, trials to train further, and tasks under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..core.columns import Outcome, Record
from ..core.comparison import Budget, Trial
from ..core.trial_key import TrialKey
from ..storage.previous_run import PreviousRun
from ..storage.resume import goes_on
from ..training.measurement.evaluation_rows import all_rows
from ..training.measurement.module_flags import is_partial
from ..training.setup import Setup
from ..training.state import State


@dataclass
class Continuation:
    """Divide the trials of a run by the results of a previous run.

    Attributes:
        fresh: Trials to train from their shared starts.
        prolonged: Trials to train further from their final states, since the budget is larger now.
        ended: Trials that are done, with their rows.
        notes: Sentences for the notes of the run.
    """

    fresh: list[Trial] = field(default_factory=list)
    prolonged: list[Trial] = field(default_factory=list)
    ended: list[tuple[Trial, Outcome]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class UnderWay(NamedTuple):
    """A task of the last checkpoint.

    Attributes:
        records: The records so far of each trial that continues, in the order of the state.
        state: The state of these trials.
        whole: Whether all trials of the task continue.
    """

    records: dict[Trial, list[Record]]
    state: State
    whole: bool


def continue_from(previous: PreviousRun, trials: Sequence[Trial], setup: Setup) -> Continuation:
    """Divide trials by the results of a previous run.

    Args:
        previous: A run of the same question, with the same or a smaller budget.
        trials: The trials of this run.
        setup: The setup of this run.
    """
    found, budget = Continuation(), setup.comparison.budget
    restarted = rescheduled = longer = 0
    for trial in trials:
        row = previous.row(trial)
        if row is None or row["status"] == "failed":
            found.fresh.append(trial)
        elif not _ends_later(trial, row, budget):
            found.ended.append((trial, row))
        else:
            longer += 1
            same = goes_on(trial.arm, Budget(budget.unit, row["budget"]), budget)
            if same and _has_state(previous, trial, setup):
                found.prolonged.append(trial)
            else:
                found.fresh.append(trial)
                restarted += same and not _is_uncut(trial, setup)
            rescheduled += not same
    if restarted:
        found.notes.append(
            f"{restarted} finished trials are trained again from the start: their final states were not kept"
        )
    if longer and setup.workload.test is not None:
        found.notes.append(
            f"{longer} trials had ended, and been measured on the test set, with a smaller budget: those "
            "values are dropped, and the set is measured again at the new end; if they were a reason to "
            "train longer, it has been selected on"
        )
    if rescheduled:
        found.notes.append(
            f"{rescheduled} trials are trained again from the start: their schedule depends on the budget"
        )
    return found


def rounds_left(setup: Setup, previous: PreviousRun | None) -> list[list[Trial]]:
    """Return the trials to train, by rounds that follow each other: tuning, its second round, the report.

    Args:
        setup: The setup of this run.
        previous: The previous run that continues, whose finished trials are left out; None: the run is new.
    """
    comparison = setup.comparison
    rounds = [comparison.tuning_trials(), comparison.closer_trials(), comparison.trials()]
    if previous is None:
        return rounds
    found = [continue_from(previous, trials, setup) for trials in rounds]
    return [[*each.prolonged, *each.fresh] for each in found]


def tasks_under_way(previous: PreviousRun, fresh: Sequence[Trial], setup: Setup) -> Iterator[UnderWay]:
    """Yield the tasks of the last checkpoint, with those of their trials that still need training.

    Args:
        previous: The run that was stopped.
        fresh: Trials of this run that have not ended.
        setup: The setup of this run.

    Raises:
        RunDirectoryError: The checkpoint is damaged.
    """
    wanted = {TrialKey.of(trial): trial for trial in fresh}
    before, now = previous.comparison.budget, setup.comparison.budget
    counts = all_rows(setup.workload)  # Records of earlier versions lack them.
    for records, state in previous.states.checkpoint():
        left = {
            key: wanted[key]
            for key in records
            if key in wanted and goes_on(wanted[key].arm, before, now) and not _is_uncut(wanted[key], setup)
        }
        left = {} if is_partial(state) else left
        if "lanes" in state:
            lanes = zip(records, state["lanes"], strict=True)
            state = {**state, "lanes": [lane for key, lane in lanes if key in left]}
        own = {trial: [_with(record, counts) for record in records[key]] for key, trial in left.items()}
        yield UnderWay(own, state, len(left) == len(records))


def _ends_later(trial: Trial, row: Outcome, budget: Budget) -> bool:
    """Return whether a trial finished with a smaller budget than it has now."""
    smaller = row["budget"] < budget.amount and trial.phase == "report"
    return smaller and row["status"] == "finished" and not row["reason"]


def _has_state(previous: PreviousRun, trial: Trial, setup: Setup) -> bool:
    """Return whether a trial that has ended can be trained further from its final state."""
    kept = setup.comparison.budget.unit == "epochs" and trial in previous.states
    return kept and not _is_uncut(trial, setup) and not is_partial(previous.states[trial])


def _is_uncut(trial: Trial, setup: Setup) -> bool:
    """Return whether a trial cannot continue from a state, which would be incomplete."""
    return trial.arm.label in setup.uncut


def _with(record: Record, values: Mapping[str, int]) -> Record:
    """Return a copy of a record with further columns after its own, which keep their values."""
    return {**record, **{name: value for name, value in values.items() if name not in record}}
