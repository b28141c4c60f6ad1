"""Which trials are trained together, and by which trainer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

from .comparison import Trial
from .rehearsal import Estimate
from .train.lanes import LanesTrainer
from .train.levels import GROUP_SECONDS, Work, worth_lanes
from .train.loop import LoopTrainer

_LONGEST = 240


class Task(NamedTuple):
    """Trials for one trainer, together."""

    trainer: LoopTrainer | LanesTrainer
    trials: list[Trial]


class Tasks:
    """Deals out trials as tasks: to lanes what they can and what repays, the rest to the loop, seed by seed.

    ``planned``: the lists of trials that are to come, for what is shared between them; ``say``: is told each choice;
    ``notes``: sentences that the user should hear in any case.
    """

    def __init__(
        self,
        lanes: LanesTrainer,
        estimates: Sequence[Estimate],
        planned: Sequence[Sequence[Trial]],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.loop, self.lanes, self.notes = lanes.loop, lanes, list[str]()
        self._say, self._asked = say, lanes.setup.comparison.trainer
        self._estimates = {estimate.arm.label: estimate for estimate in estimates}
        self._worth = set[Hashable]()
        if self._asked == "auto":
            groups = [group for trials in planned for group in lanes.grouped(trials)[0]]
            worth = worth_lanes([self._work(group) for group in groups])
            self._worth = {self._kind(group) for group, yes in zip(groups, worth, strict=True) if yes}

    def of(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """These trials as tasks; each group is checked when its turn comes."""
        alone = dict.fromkeys(trials)
        if self._asked != "loop":
            for together in self._together(trials):
                for trial in together:
                    del alone[trial]
                yield Task(self.lanes, together)
        for trial in alone:
            yield Task(self.loop, [trial])

    def _together(self, trials: Sequence[Trial]) -> Iterator[list[Trial]]:
        """Groups for lanes, the shorter ones first; of many groups the first of each kind, then the second, …"""
        groups, refused = self.lanes.grouped(trials)
        self.explain(refused)
        split = []
        for group in sorted(groups, key=lambda group: self._work(group).updates):
            if self._asked == "auto" and self._kind(group) not in self._worth:
                self._say(f"{_arms(group)}: in the loop, {_count(group)} of few updates do not repay lanes")
                continue
            admitted = self.lanes.admit(group)
            self.explain(admitted.refused, aloud=not admitted.slower)
            split.append(admitted.groups)
            if admitted.groups:
                self._say(f"{_arms(group)}: {_count([*itertools.chain(*admitted.groups)])} in lanes")
        for turn in itertools.zip_longest(*split):
            yield from (group for group in turn if group is not None)

    def _kind(self, group: Sequence[Trial]) -> Hashable:
        """The same for a group before and after its learning rates were tuned."""
        return group[0].phase, self.lanes.families.key(group[0])

    def _work(self, group: Sequence[Trial]) -> Work:
        estimate = self._estimates[group[0].arm.label]
        return Work(len(group), estimate.updates or 0, estimate.measurements)

    def explain(self, refused: Sequence[tuple[Trial, str]], aloud: bool = True) -> None:
        """One line for each arm and reason; ``aloud``: also to a user who asked for lanes, or waits long without them."""
        lines: dict[tuple[str, str], list[Trial]] = {}
        for trial, why in refused:
            lines.setdefault((trial.arm.label, why), []).append(trial)
        for (label, why), group in lines.items():
            line = f"{label}: {_count(group)} in the loop instead of lanes: {why[:_LONGEST]}"
            missed = self._estimates[label].seconds * len(group) > 10 * GROUP_SECONDS
            if aloud and (self._asked == "lanes" or missed) and line not in self.notes:
                self.notes.append(line)
            self._say(line)


def _arms(group: Sequence[Trial]) -> str:
    return ", ".join(dict.fromkeys(trial.arm.label for trial in group))


def _count(group: Sequence[Trial]) -> str:
    return f"{len(group)} trial{'' if len(group) == 1 else 's'}"
