"""Admit groups of trials to lanes if their first updates agree with the loop trainer's."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...core.schedule import schedule_of
from ...errors import USER_CODE_ERRORS, explain
from ...interfaces.strategy import StepStats
from ..loop.trainer import LoopTrainer
from ..loop.trial import TrialRun
from ..measurement.counters import Progress
from ..measurement.evaluation import averages_of
from .engines.engine import Carry
from .equivalence import (
    TOLERANCES,
    UPDATES,
    Apart,
    Rehearsed,
    disagreements,
    rehearse_adaptive,
    rehearse_in_loop,
)
from .families import Families, Family
from .program import Blueprint
from .program_cache import Programs
from .statistics import refuse_other_stats
from .update_rules import Slower, Unsupported

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLED, _ROWS, _EVALUATED = 4, 64, 100.0
MARGIN = 1.25
"""An update in lanes may take up to this factor longer: lanes measure faster, and clocks are noisy."""


@dataclass
class Admitted:
    """Hold the trials of a group that run in lanes, and those that do not.

    Attributes:
        groups: Groups of trials that lanes train together.
        refused: The other trials, each with the reason why it runs on the loop trainer.
        slower: Whether trials were refused only because the loop takes less time.
    """

    groups: list[list[Trial]] = field(default_factory=list)
    refused: list[tuple[Trial, str]] = field(default_factory=list)
    slower: bool = False

    @property
    def why_apart(self) -> str:
        """Return why lanes of a previous run do not continue as one group."""
        if not self.refused:
            return "the lanes of the previous run do not fit into memory together"
        why = self.refused[0][1]
        return f"a trial of its group is refused: {why}" if self.groups else why


class Admission:
    """Compare lanes with the loop trainer, and split groups so that they fit into memory.

    Args:
        loop: The loop trainer.
        families: The families of trials that share programs.

    Attributes:
        checked: The number of admitted lanes whose first updates were compared with the loop's.
        apart: The largest difference of an admitted lane from the loop, relative to the norm of the weights.
        tolerance: The largest difference that is admitted.
    """

    def __init__(self, loop: LoopTrainer, families: Families) -> None:
        self.loop, self.setup, self.families = loop, loop.setup, families
        self.checked, self.apart = 0, 0.0
        self.tolerance = TOLERANCES[loop.setup.comparison.dtype]

    def admit(self, trials: Sequence[Trial]) -> Admitted:
        """Compare the first updates of some trials with the loop's, and split the group to fit into memory.

        Args:
            trials: Trials that could share a program; see :meth:`.LanesTrainer.grouped`.

        Returns:
            The groups that run in lanes, and the trials that do not.
        """
        with preserved_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the loop trainer shows these warnings
            try:
                return self._admit(list(trials))
            except USER_CODE_ERRORS as error:
                why = str(error) if isinstance(error, Unsupported) else f"lanes failed: {explain(error)}"
                return Admitted([], [(trial, why) for trial in trials], isinstance(error, Slower))

    def _admit(self, trials: list[Trial]) -> Admitted:
        family = self.families.of(trials[0])
        sample = {trial: self._rehearse(trial) for trial in _sample(trials)}
        for label in {trial.arm.label for trial in sample}:
            family.pace[label] = median(
                seen.seconds for trial, seen in sample.items() if trial.arm.label == label
            )
        if family.needs is not None:
            _refuse_other_sizes(list(sample.values()))
        width = self.families.width(family, len(trials))
        programs = self._prepared(family, width, trials[0], sample[trials[0]])
        apart = self._apart(family, programs, sample)
        self._compare_evaluation(family.blueprint, trials[0])
        if max(apart.values()).relative > self.tolerance:
            others = {trial: self._rehearse(trial) for trial in trials if trial not in sample}
            apart |= self._apart(family, programs, others) if others else {}
        none = Apart(0.0)
        good = [trial for trial in trials if apart.get(trial, none).relative <= self.tolerance]
        self.checked += sum(trial in apart for trial in good)
        self.apart = max([self.apart, *(apart.get(trial, none).weights for trial in good)])
        bad = [trial for trial in trials if apart.get(trial, none).relative > self.tolerance]
        reason = max((apart[trial] for trial in bad), default=none).explain(self.tolerance)
        return Admitted(
            [good[first : first + width] for first in range(0, len(good), width)],
            [(trial, reason) for trial in bad],
        )

    def _prepared(self, family: Family, width: int, trial: Trial, seen: Rehearsed) -> Programs:
        """Return programs for this number of lanes, compiled for the batch sizes of the first epoch."""
        programs = self.families.programs(family, width)
        if family.needs is not None:
            return programs
        carry = family.blueprint.stack([seen.states[0]] * width)
        left = Progress().epochs_left(
            self.setup.comparison.budget, len(family.sizes), self.setup.workload.size
        )
        for size in set(family.sizes):
            programs.at(size, left * family.sizes.count(size), lambda: carry)
        if self.setup.comparison.trainer == "auto":
            index = torch.stack([seen.batches[0]] * width).to(self.loop.device)
            rates = family.blueprint.rates(self.families.numbers([trial] * width, family.blueprint), 0, 2)
            lanes, loop = _seconds(programs, carry, rates, index) / width, seen.seconds
            if lanes > MARGIN * loop:
                raise Slower(
                    f"an update takes {lanes * 1e6:,.0f} µs a lane, and {loop * 1e6:,.0f} µs in the loop"
                )
        return programs

    def _apart(
        self, family: Family, programs: Programs, seen: Mapping[Trial, Rehearsed]
    ) -> dict[Trial, Apart]:
        """Return the largest difference of each trial's first updates from the loop's."""
        worst = dict.fromkeys(seen, Apart(0.0))
        trials, width = list(seen), programs.width
        for first in range(0, len(trials), width):
            block = [
                trials[first : first + width][number % len(trials[first : first + width])]
                for number in range(width)
            ]
            numbers = self.families.numbers(block, programs.blueprint)

            factors, seeds = self._factors(block[0], seen[block[0]]), [trial.seed for trial in block]

            def update(
                carry: Carry,
                index: Tensor,
                done: int,
                numbers: Carry = numbers,
                factors: list[float] = factors,
                seeds: list[int] = seeds,
                block: list[Trial] = block,
            ) -> Carry:
                factor = factors[done : done + 1]
                rates = programs.blueprint.rates(numbers, done, len(index), factor, seeds)
                if family.needs is not None:
                    in_loop = [seen[trial].stats[done] for trial in block]
                    return self._with_stats(family, carry, rates, index[0], in_loop)
                return programs.at(index.shape[2], 0, lambda: carry).run(carry, rates, index)[0]

            differences = disagreements(programs.blueprint, [seen[trial] for trial in block], update)
            for trial, difference in zip(block, differences, strict=True):
                worst[trial] = max(worst[trial], difference)
        return worst

    def _with_stats(
        self, family: Family, carry: Carry, rates: Carry, index: Tensor, in_loop: Sequence[StepStats]
    ) -> Carry:
        """Make an update of an adaptive family, and refuse it if its statistics are not those of the loop."""
        program = self.families.programs_with_stats(family, len(index))
        new, in_lanes = program.run(carry, rates, index, 0)
        for one, other in zip(in_lanes, in_loop, strict=True):
            refuse_other_stats(program.names, one, other, _EVALUATED * self.tolerance)
        return new

    def _factors(self, trial: Trial, seen: Rehearsed) -> list[float]:
        """Return the factors of the schedule for the learning rates of the rehearsed updates."""
        schedule, budget = schedule_of(trial.arm.schedule), self.setup.comparison.budget
        samples = [0, *itertools.accumulate(map(len, seen.batches))]
        shares = [
            budget.share(done, samples[done], self.setup.workload.size) for done in range(len(seen.batches))
        ]
        return [schedule(share) for share in shares]

    def _compare_evaluation(self, blueprint: Blueprint, trial: Trial) -> None:
        """Refuse lanes whose loss or metrics on the first rows differ from the loop's."""
        run = self.loop.run(trial, None)
        carry = blueprint.stack([run.state()])[: len(blueprint.weights) + len(blueprint.kept)]
        if run.measurement.sample is not None:
            carry = blueprint.recalibrated(carry, run.source.stream(run.measurement.sample.indices(), 0, 0))
        for source in self.loop.on_split_of(trial.seed).sources.values():
            rows = torch.arange(min(_ROWS, source.n, self.setup.comparison.eval_chunk))
            batch, same = source.stream([rows, rows], 0, 0)
            in_lanes = [float(value) for value in blueprint.evaluate(carry, batch)]
            with run.measurement.recalibrated():
                in_loop = averages_of(run.workload, run.model, same)
            for one, other in zip(in_lanes, in_loop, strict=True):
                if not math.isclose(
                    one, other, rel_tol=_EVALUATED * self.tolerance, abs_tol=_EVALUATED * self.tolerance
                ):
                    raise Unsupported(f"an evaluation gives {one:.8g}, and {other:.8g} in the loop")

    def _rehearse(self, trial: Trial) -> Rehearsed:
        run = self.loop.run(trial, None)
        if run.strategy.adaptive:
            seen = rehearse_adaptive(run)
        else:
            seen = rehearse_in_loop(run, self._first_batches(run))
        for owner, changed in (*seen.states[-1]["attributes"].items(), ("model", seen.states[-1]["flags"])):
            if changed:
                raise Unsupported(
                    f"the {owner} changes {next(iter(changed))} while it trains, which all lanes would share"
                )
        return seen

    def _first_batches(self, run: TrialRun) -> list[Tensor]:
        """Return the batches of the first updates of a trial."""
        budget, n = self.setup.comparison.budget, self.setup.workload.size
        most = {"epochs": budget.amount, "updates": UPDATES, "samples": max(1.0, budget.amount / n)}[
            budget.unit
        ]
        epochs = (run.planner.draw(epoch).batches for epoch in range(min(UPDATES, math.ceil(most))))
        return list(itertools.islice(itertools.chain.from_iterable(epochs), UPDATES))


def _sample(trials: Sequence[Trial]) -> list[Trial]:
    """Choose trials to check: the first of each arm, the lowest and the highest rate, and a few more."""
    firsts = list({trial.arm.label: trial for trial in reversed(trials)}.values())
    by_rate = sorted(trials, key=lambda trial: trial.arm.lr)
    return list(
        dict.fromkeys(
            [trials[0], *firsts, by_rate[0], by_rate[-1], *trials[:: max(1, len(trials) // _SAMPLED)]]
        )
    )


def _refuse_other_sizes(seen: Sequence[Rehearsed]) -> None:
    """Refuse trials of an adaptive strategy whose batch sizes differ in their first updates."""
    sizes = [[len(batch) for batch in trial.batches] for trial in seen]
    if any(each != sizes[0] for each in sizes):
        raise Unsupported("the strategy chooses other batch sizes for each trial from its first updates on")


def _seconds(programs: Programs, carry: Carry, rates: Carry, index: Tensor) -> float:
    """Return the seconds of one update of all lanes, the shortest of three."""
    both, seconds = torch.stack([index, index]), []
    program = programs.at(index.shape[1], 0, lambda: carry)
    for _ in range(3):
        began = perf_counter()
        try:
            program.run(carry, rates, both)[0][0].sum().item()
        except USER_CODE_ERRORS as error:
            raise Unsupported(f"an update of many lanes fails: {explain(error)}") from error
        seconds.append((perf_counter() - began) / 2)
    return min(seconds)
