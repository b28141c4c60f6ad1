"""Group trials into tasks, each for one trainer."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..core.comparison import Trial
from ..errors import shorten
from ..planning.estimates import Estimate
from ..training.lanes.cost_model import GROUP_SECONDS, Work, worth_lanes
from ..training.lanes.families import WIDEST
from ..training.lanes.trainer import LanesTrainer
from ..training.lanes.update_rules import Unsupported
from ..training.state import LanesState, State, TrialState

TaskTrainer = Literal["loop", "lanes"]
_FEW_UPDATES = "so few updates do not repay lanes"


@dataclass(eq=False)
class Task:
    """Hold trials that one trainer trains together.

    Attributes:
        trainer: The name of the trainer.
        trials: The trials of the state, in its order.
        state: The last state; None: the shared starts.
        before: The trainers before this one, as the start of the trial's ``trainer`` column: ``lanes+``.
        running: The trials that have not ended, by their index in ``trials``.
    """

    trainer: TaskTrainer
    trials: list[Trial]
    state: State | None = None
    before: str = ""
    running: dict[int, Trial] = field(init=False)

    def __post_init__(self) -> None:
        self.running = dict(enumerate(self.trials))


class Queue:
    """Hold the tasks that are left: first those that were put back, then new ones, made when needed."""

    def __init__(self, new: Iterable[Task]) -> None:
        self._new, self._back = iter(new), deque[Task]()

    def put_back(self, task: Task) -> None:
        """Add a task before all others."""
        self._back.appendleft(task)

    def next(self) -> Task | None:
        """Return the next task; None if there is none now."""
        return self._back.popleft() if self._back else next(self._new, None)


class Tasks:
    """Group trials into tasks: for lanes if possible and faster, otherwise for the loop, seed by seed.

    Args:
        lanes: The lanes trainer.
        estimates: The estimates of each arm's trial on the loop trainer.
        planned: The lists of trials to come, which share compiled programs.
        report: Called with a line for each choice.
        workers: The number of parts into which groups are divided; the process that trains a part checks it.
            0: groups stay whole, and this process checks them.
        longest_first: Whether long groups come first, so that several processes end at about the same time.
    """

    def __init__(
        self,
        lanes: LanesTrainer,
        estimates: Sequence[Estimate],
        planned: Sequence[Sequence[Trial]],
        report: Callable[[str], None] = lambda text: None,
        workers: int = 0,
        longest_first: bool = False,
    ) -> None:
        self._workers, self._longest_first = workers, longest_first
        self._remarks = list[str]()
        self.setup, self.lanes = lanes.setup, lanes
        self._missed = Counter[tuple[str, str]]()
        self._fallbacks: dict[Trial, str] = {}
        self._report, self._trainer = report, lanes.setup.comparison.trainer
        self._estimates = {estimate.arm.label: estimate for estimate in estimates}
        self._worth = set[Hashable]()
        if self._trainer == "auto":
            groups = [group for trials in planned for group in lanes.grouped(trials)[0]]
            worth = worth_lanes([self.work(group) for group in groups], lanes.families.engines.compilers)
            self._worth = {self._kind(group) for group, yes in zip(groups, worth, strict=True) if yes}

    def of(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """Yield trials as tasks; each group is checked just before its task is yielded.

        Args:
            trials: Trials to train from their shared starts.
        """
        alone = dict.fromkeys(trials)
        if self._trainer != "loop":
            for together in self._together(trials):
                for trial in together:
                    del alone[trial]
                yield Task("lanes", together)
        for trial in alone:
            yield Task("loop", [trial])

    def forecast(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[Trial]]:
        """Return the trials that are expected to run in lanes, in groups, and those on the loop.

        Args:
            trials: Any trials; none of their updates is checked.
        """
        groups = self.lanes.grouped(trials)[0] if self._trainer != "loop" else []
        together = [group for group in groups if self._repays(group) and self.lanes.supports(group[0])]
        inside = {trial for group in together for trial in group}
        return together, [trial for trial in trials if trial not in inside]

    def resumed(self, trials: list[Trial], state: State) -> list[Task]:
        """Return tasks for trials that were under way when a previous run was stopped.

        Args:
            trials: The trials of the state, in its order.
            state: The state of their task.
        """
        if "lanes" not in state:
            if self._trainer != "loop":
                self._fallbacks |= dict.fromkeys(trials, "a previous run began it in the loop")
                self._fallbacks |= dict(self.lanes.grouped(trials)[1])
            return [Task("loop", trials, state)]
        if self._workers or (admitted := self.lanes.admit(trials)).groups == [trials]:
            return [Task("lanes", trials, _group_state(state["lanes"]))]
        self.explain([(trial, admitted.why_apart) for trial in trials])
        return [Task("loop", [trial], lane) for trial, lane in zip(trials, state["lanes"], strict=True)]

    def prolonged(self, trials: Sequence[Trial], states: Callable[[Trial], TrialState]) -> Iterator[Task]:
        """Yield tasks for trials that had ended and continue with a larger budget.

        Args:
            trials: The trials.
            states: Returns the state from which a trial continues.
        """
        for task in self.of(trials):
            found = [states(trial) for trial in task.trials]
            task.state = _group_state(found) if task.trainer == "lanes" else found[0]
            yield task

    def _together(self, trials: Sequence[Trial]) -> Iterator[list[Trial]]:
        """Yield groups for lanes, shorter (or longer) ones first, from every kind in turn."""
        groups, refused = self.lanes.grouped(trials)
        self.explain(refused)
        split = []
        by_length = sorted(groups, key=lambda group: self.work(group).updates, reverse=self._longest_first)
        for group in by_length:
            if not self._repays(group):
                self._report(_instead(_arms(group), len(group), _FEW_UPDATES))
                self._fallbacks |= dict.fromkeys(group, _FEW_UPDATES)
                continue
            if self._workers:
                split.append(shares(group, self._workers))
                continue
            admitted = self.lanes.admit(group)
            self.explain(admitted.refused, note=not admitted.slower)
            split.append(admitted.groups)
            if admitted.groups:
                self.report_lanes([trial for each in admitted.groups for trial in each])
        for turn in itertools.zip_longest(*split):
            yield from (group for group in turn if group is not None)

    def _repays(self, group: Sequence[Trial]) -> bool:
        return self._trainer != "auto" or self._kind(group) in self._worth

    def _kind(self, group: Sequence[Trial]) -> Hashable:
        """Return a key of a group that is the same before and after tuning its learning rates."""
        return group[0].phase, self.lanes.families.key(group[0])

    def work(self, group: Sequence[Trial]) -> Work:
        """Return the amount of work of a group, from the estimate of its first arm."""
        estimate = self._estimates[group[0].arm.label]
        return Work(len(group), estimate.updates or 0, estimate.measurements)

    @property
    def notes(self) -> list[str]:
        """Return the remarks of this run, and sentences on lanes that were refused.

        The latter are there if the user chose lanes, or if lanes save time.
        """
        refused = [_instead(label, count, why) for (label, why), count in self._missed.items()]
        return [*refused, *self._remarks]

    def remark(self, text: str) -> None:
        """Report a sentence, and add it to the notes of the run.

        Args:
            text: The sentence, without a full stop.
        """
        self._report(text)
        self._remarks.append(text)

    def report_lanes(self, trials: Sequence[Trial]) -> None:
        """Report that trials run in lanes.

        Args:
            trials: The trials of admitted groups.
        """
        self._report(f"{_arms(trials)}: {_trials(len(trials))} in lanes")

    def program_of(self, task: Task) -> Hashable | None:
        """Return a key that is equal for tasks that share compiled programs.

        Args:
            task: Any task.

        Returns:
            The key; None: the task needs no program, or lanes will refuse it.
        """
        if task.trainer == "loop":
            return None
        try:
            return self.lanes.families.key(task.trials[0])
        except Unsupported:
            return None

    def add_report(self, log: Sequence[str], checked: int, apart: float) -> None:
        """Add the report of a worker.

        Args:
            log: Lines on the choice of trainers.
            checked: The number of lanes that were compared with the loop; see :class:`.Admission`.
            apart: The largest difference among admitted lanes; see :class:`.Admission`.
        """
        for line in log:
            self._report(line)
        admission = self.lanes.admission
        admission.checked += checked
        admission.apart = max(admission.apart, apart)

    def fallback(self, trial: Trial) -> str:
        """Return why a trial ran on the loop instead of lanes; empty if it did not.

        Args:
            trial: A trial that has ended.
        """
        return self._fallbacks.get(trial, "")

    def explain(self, refused: Sequence[tuple[Trial, str]], note: bool = True) -> None:
        """Report why trials run on the loop, in a line for each arm and reason.

        Args:
            refused: Trials, each with the reason.
            note: Whether to add a note, too, if the user chose lanes or the run takes long without them.
        """
        lines: dict[tuple[str, str], list[Trial]] = {}
        self._fallbacks |= {trial: shorten(why) for trial, why in refused}
        for trial, why in refused:
            lines.setdefault((trial.arm.label, why), []).append(trial)
        for (label, why), group in lines.items():
            missed = self._estimates[label].seconds * len(group) > 10 * GROUP_SECONDS
            if note and (self._trainer == "lanes" or missed):
                self._missed[label, why] += len(group)
            self._report(_instead(label, len(group), why))


def _group_state(lanes: list[TrialState]) -> LanesState:
    return {"lanes": lanes, "strayed": {}, "again": False}


def shares(group: list[Trial], workers: int) -> list[list[Trial]]:
    """Divide a group into even parts, one for each worker, or more if these would be too wide.

    Args:
        group: The trials of the group.
        workers: The number of workers.

    Returns:
        The parts, in the order of the group.
    """
    parts = max(min(workers, len(group)), math.ceil(len(group) / WIDEST))
    size = math.ceil(len(group) / parts)
    return [group[first : first + size] for first in range(0, len(group), size)]


def _instead(label: str, count: int, why: str) -> str:
    return f"{label}: {_trials(count)} in the loop instead of lanes: {shorten(why)}"


def _arms(group: Sequence[Trial]) -> str:
    return ", ".join(dict.fromkeys(trial.arm.label for trial in group))


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
