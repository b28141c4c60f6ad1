"""Which trials are trained together, and by which trainer."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..core.comparison import Trial
from ..planning.estimates import Estimate
from ..training.lanes.cost_model import GROUP_SECONDS, Work, worth_lanes
from ..training.lanes.families import WIDEST
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trial import State

TaskTrainer = Literal["loop", "lanes"]
_LONGEST = 240


@dataclass(eq=False)
class Task:
    """Trials for one trainer, together, and how far they have come.

    ``state``: as the trainer left it last; ``before``: the trainer that brought it there, if another;
    ``going``: by their numbers, the trials that have not ended.
    """

    trainer: TaskTrainer
    trials: list[Trial]
    state: State | None = None
    before: str = ""
    going: dict[int, Trial] = field(init=False)

    def __post_init__(self) -> None:
        self.going = dict(enumerate(self.trials))


class Queue:
    """Tasks in the order of their turns: what is put back comes first, then what is dealt, made when it is
    asked for.
    """

    def __init__(self, dealt: Iterable[Task]) -> None:
        self._dealt, self._back = iter(dealt), deque[Task]()

    def put_back(self, task: Task) -> None:
        self._back.appendleft(task)

    def next(self) -> Task | None:
        """The next task; None if there is none now."""
        return self._back.popleft() if self._back else next(self._dealt, None)


class Tasks:
    """Deals out trials as tasks: to lanes what they can and what repays, the rest to the loop, seed by seed.

    ``planned``: the lists of trials that are to come, for what is shared between them; ``say``: is told each
    choice; ``workers``: how many there are, each of which checks the groups that it is given (0: they are
    checked here).
    """

    def __init__(
        self,
        lanes: LanesTrainer,
        estimates: Sequence[Estimate],
        planned: Sequence[Sequence[Trial]],
        say: Callable[[str], None] = lambda text: None,
        workers: int = 0,
    ) -> None:
        self._workers = workers
        self.setup, self.lanes = lanes.setup, lanes
        self._missed = Counter[tuple[str, str]]()
        self._say, self._asked = say, lanes.setup.comparison.trainer
        self._estimates = {estimate.arm.label: estimate for estimate in estimates}
        self._worth = set[Hashable]()
        if self._asked == "auto":
            groups = [group for trials in planned for group in lanes.grouped(trials)[0]]
            worth = worth_lanes([self.work(group) for group in groups])
            self._worth = {self._kind(group) for group, yes in zip(groups, worth, strict=True) if yes}

    def of(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """These trials as tasks; each group is checked when its turn comes."""
        alone = dict.fromkeys(trials)
        if self._asked != "loop":
            for together in self._together(trials):
                for trial in together:
                    del alone[trial]
                yield Task("lanes", together)
        for trial in alone:
            yield Task("loop", [trial])

    def forecast(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[Trial]]:
        """Say which of these trials are expected to go to lanes, in groups, and which to the loop; checks no
        updates.
        """
        groups = self.lanes.grouped(trials)[0] if self._asked != "loop" else []
        together = [group for group in groups if self._repays(group) and self.lanes.supports(group[0])]
        inside = {trial for group in together for trial in group}
        return together, [trial for trial in trials if trial not in inside]

    def going_on(self, trials: list[Trial], state: State) -> list[Task]:
        """Trials that were under way when an earlier run was stopped, with their state."""
        if "lanes" not in state:
            return [Task("loop", trials, state)]
        if self._workers or self.lanes.admit(trials).groups == [trials]:
            return [Task("lanes", trials, {**state, "strayed": {}, "again": False})]
        return [Task("loop", [trial], lane) for trial, lane in zip(trials, state["lanes"], strict=True)]

    def longer(self, trials: Sequence[Trial], states: Callable[[Trial], State]) -> Iterator[Task]:
        """Trials that had ended, and go on with a larger budget."""
        for task in self.of(trials):
            found = [states(trial) for trial in task.trials]
            task.state = (
                {"lanes": found, "strayed": {}, "again": False} if task.trainer == "lanes" else found[0]
            )
            yield task

    def _together(self, trials: Sequence[Trial]) -> Iterator[list[Trial]]:
        """Groups for lanes, the shorter ones first; of many groups the first of each kind, then the
        second, …
        """
        groups, refused = self.lanes.grouped(trials)
        self.explain(refused)
        split = []
        for group in sorted(groups, key=lambda group: self.work(group).updates):
            if not self._repays(group):
                self._say(
                    f"{_arms(group)}: in the loop, {_trials(len(group))} of few updates do not repay lanes"
                )
                continue
            if self._workers:
                split.append(_shares(group, self._workers))
                continue
            admitted = self.lanes.admit(group)
            self.explain(admitted.refused, aloud=not admitted.slower)
            split.append(admitted.groups)
            if admitted.groups:
                self._say(f"{_arms(group)}: {_trials(sum(map(len, admitted.groups)))} in lanes")
        for turn in itertools.zip_longest(*split):
            yield from (group for group in turn if group is not None)

    def _repays(self, group: Sequence[Trial]) -> bool:
        return self._asked != "auto" or self._kind(group) in self._worth

    def _kind(self, group: Sequence[Trial]) -> Hashable:
        """The same for a group before and after its learning rates were tuned."""
        return group[0].phase, self.lanes.families.key(group[0])

    def work(self, group: Sequence[Trial]) -> Work:
        """What a group does, by the estimate of its first arm."""
        estimate = self._estimates[group[0].arm.label]
        return Work(len(group), estimate.updates or 0, estimate.measurements)

    @property
    def notes(self) -> list[str]:
        """Sentences that the user should hear in any case."""
        return [_instead(label, count, why) for (label, why), count in self._missed.items()]

    def heard(self, said: Sequence[str], checked: int, apart: float) -> None:
        """What a worker said, and how closely its lanes agreed with its loop."""
        for line in said:
            self._say(line)
        self.lanes.checked += checked
        self.lanes.apart = max(self.lanes.apart, apart)

    def explain(self, refused: Sequence[tuple[Trial, str]], aloud: bool = True) -> None:
        """One line for each arm and reason; ``aloud``: also to a user who asked for lanes, or waits long
        without them.
        """
        lines: dict[tuple[str, str], list[Trial]] = {}
        for trial, why in refused:
            lines.setdefault((trial.arm.label, why), []).append(trial)
        for (label, why), group in lines.items():
            missed = self._estimates[label].seconds * len(group) > 10 * GROUP_SECONDS
            if aloud and (self._asked == "lanes" or missed):
                self._missed[label, why] += len(group)
            self._say(_instead(label, len(group), why))


def _shares(group: list[Trial], workers: int) -> list[list[Trial]]:
    """A group in even parts, one for each worker, or as many as are not too wide."""
    parts = max(min(workers, len(group)), math.ceil(len(group) / WIDEST))
    size = math.ceil(len(group) / parts)
    return [group[first : first + size] for first in range(0, len(group), size)]


def _instead(label: str, count: int, why: str) -> str:
    return f"{label}: {_trials(count)} in the loop instead of lanes: {why[:_LONGEST]}"


def _arms(group: Sequence[Trial]) -> str:
    return ", ".join(dict.fromkeys(trial.arm.label for trial in group))


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
