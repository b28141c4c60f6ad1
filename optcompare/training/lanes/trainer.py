"""The lanes trainer: trials that differ only in numbers are trained side by side, as one program.

A group is admitted only where its first updates agree with the loop trainer's; whatever cannot be, goes to
the loop.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, cast

import torch

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...core.schedule import schedule_of
from ...errors import USER_CODE_ERRORS, explain
from ..data import TensorSource
from ..loop.planner import Planner
from ..loop.trainer import LoopTrainer
from ..loop.trial import State, TrialRun
from ..measurement.counters import Progress
from ..measurement.evaluation import averages_of
from ..measurement.record import Record
from ..settings import settings_kept
from .equivalence import (
    TOLERANCES,
    UPDATES,
    Rehearsed,
    disagreements,
    rehearse_in_loop,
)
from .families import Families, Family
from .program import Blueprint, Carry
from .program_cache import Programs
from .run import Lane, LanesRun
from .update_rules import Slower, Unsupported

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLED, _ROWS, _EVALUATED = 4, 64, 100.0
_MARGIN = 1.25
"""Lanes may be so much slower an update than the loop, since they measure faster, and a clock is noisy."""


@dataclass
class Admitted:
    """``groups``: trials to train side by side; ``refused``: the others, each with why it goes to the loop;
    ``slower``: where that is only because the loop takes less time.
    """

    groups: list[list[Trial]] = field(default_factory=list)
    refused: list[tuple[Trial, str]] = field(default_factory=list)
    slower: bool = False


class LanesTrainer:
    """Stands beside a loop trainer, whose data and starts it shares.

    ``memory``: bytes that lanes may take; ``say``: is told each choice in one line. ``checked``: lanes whose
    first updates were compared with the loop's, ``apart``: the largest difference that was admitted.
    """

    name = "lanes"

    def __init__(
        self, loop: LoopTrainer, memory: float, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.loop, self.setup = loop, loop.setup
        self.checked, self.apart = 0, 0.0
        self.tolerance = TOLERANCES[loop.setup.comparison.dtype]
        self.families = Families(loop, memory, self.tolerance, say)
        self._live: tuple[State, LanesRun] | None = None

    def grouped(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[tuple[Trial, str]]]:
        """Trials that could share a program, together; and those that cannot run in lanes, with why."""
        found: dict[Hashable, list[Trial]] = {}
        refused = []
        for trial in trials:
            try:
                found.setdefault(self.families.key(trial), []).append(trial)
            except Unsupported as why:
                refused.append((trial, str(why)))
        return list(found.values()), refused

    def supports(self, trial: Trial) -> bool:
        """Whether the model and optimizer of a trial can run in lanes; no update is made."""
        with preserved_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.families.of(trial)
            except USER_CODE_ERRORS:
                return False
            return True

    def admit(self, trials: Sequence[Trial]) -> Admitted:
        """Checks the first updates of one of these groups against the loop, and splits it to fit into
        memory.
        """
        with preserved_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the loop will say them
            try:
                return self._admit(list(trials))
            except USER_CODE_ERRORS as error:
                why = str(error) if isinstance(error, Unsupported) else f"lanes failed: {explain(error)}"
                return Admitted([], [(trial, why) for trial in trials], isinstance(error, Slower))

    def advance(
        self,
        trials: Sequence[Trial],
        state: State | None,
        until: Callable[[], bool],
        stop: Callable[[], bool] | None = None,
    ) -> tuple[list[Record], State]:
        """Trains an admitted group on from ``state`` for a while, as :meth:`LoopTrainer.advance` does one
        trial.

        ``until`` is asked every quarter of a second. The state holds the lanes' states under "lanes", each of
        which the loop trainer can go on from, and under "strayed" which of them must, by their numbers, and
        why; "again" says that they must begin again, since something failed half way.
        """
        with preserved_rng(), settings_kept():
            again = False
            try:
                if self._live is not None and state is self._live[0]:
                    run = self._live[1]
                    run.records = []
                else:
                    run = self._run(trials, state)
            except (*USER_CODE_ERRORS, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt) and (stop is None or stop()):
                    raise
                why = f"lanes failed: {explain(error)}"
                lost: list[State] = [{"progress": Progress().to_state()} for _ in trials]
                return [], {
                    "lanes": lost,
                    "strayed": {str(n): why for n in range(len(trials))},
                    "again": True,
                }
            try:
                run.train(until)
            except (*USER_CODE_ERRORS, KeyboardInterrupt) as error:
                users = isinstance(error, KeyboardInterrupt) and (stop is None or stop())
                if users and stop is None:
                    raise
                again = not users
                for lane in filter(lambda lane: lane.running, run.lanes):
                    if users:
                        lane.progress.status, lane.progress.reason = (
                            "interrupted",
                            "interrupted within an update",
                        )
                    else:
                        lane.strayed = f"lanes failed: {explain(error)}"
            state = {**run.state(), "again": again}
            self._live = state, run
            return run.records, state

    def wait(self) -> None:
        """Waits for programs that are being compiled."""
        for programs in self.families.all_programs():
            programs.wait()

    def stop(self) -> None:
        """Ends compilers under way."""
        for programs in self.families.all_programs():
            programs.stop()

    def _run(self, trials: Sequence[Trial], state: State | None) -> LanesRun:
        """The lanes of a group, from their shared starts or as they were left."""
        family = self.families.of(trials[0])
        records, planners, lanes = list[Record](), dict[int, Planner](), list[Lane]()
        first = dict[
            int, TrialRun
        ]()  # of each seed: lanes' optimizers leave a module as it is when they are made
        for number, trial in enumerate(trials):
            run = self.loop.run(
                trial, None if state is None else state["lanes"][number], first.get(trial.seed)
            )
            first.setdefault(trial.seed, run)
            if state is None:
                run.begin()
                run.seal()
                (record,) = run.records
                records.append({**record, "clock": "estimated"})
            ended = run.progress.status != "running"
            planner = run.planner if ended else planners.setdefault(trial.seed, run.planner)
            pace = family.pace[trial.arm.label]
            lanes.append(Lane(trial, planner, run.progress, run.state(), pace, run.follows, frozen=ended))
        width = next((width for width in family.programs if width >= len(trials)), len(trials))
        sources = cast(Mapping[str, TensorSource], family.loop.sources)
        numbers = [self.families.settings_of(trial).numbers for trial in trials]
        group = LanesRun(
            self.setup.comparison,
            sources,
            self.families.programs(family, width),
            lanes,
            numbers,
            family.fits[1],
        )
        group.records = records
        return group

    def _admit(self, trials: list[Trial]) -> Admitted:
        family = self.families.of(trials[0])
        sample = {trial: self._rehearse(trial) for trial in _sample(trials)}
        for label in {trial.arm.label for trial in sample}:
            family.pace[label] = median(
                seen.seconds for trial, seen in sample.items() if trial.arm.label == label
            )
        width = self.families.width(family, len(trials))
        programs = self._prepared(family, width, trials[0], sample[trials[0]])
        apart = self._apart(programs, sample)
        self._compare_evaluation(family.blueprint, trials[0])
        if max(apart.values()) > self.tolerance:
            others = {trial: self._rehearse(trial) for trial in trials if trial not in sample}
            apart |= self._apart(programs, others) if others else {}
        good = [trial for trial in trials if apart.get(trial, 0.0) <= self.tolerance]
        self.checked += sum(trial in apart for trial in good)
        self.apart = max([self.apart, *(apart.get(trial, 0.0) for trial in good)])
        bad = [trial for trial in trials if apart.get(trial, 0.0) > self.tolerance]
        worst = max((apart[trial] for trial in bad), default=0.0)
        reason = (
            f"an update differs from the loop's by {worst:.1e} of the weights' norm ({self.tolerance:.0e} "
            "is allowed)"
        )
        return Admitted(
            [good[first : first + width] for first in range(0, len(good), width)],
            [(trial, reason) for trial in bad],
        )

    def _prepared(self, family: Family, width: int, trial: Trial, seen: Rehearsed) -> Programs:
        """The programs of a width, ready for what the first epoch tells of the whole trial."""
        programs = self.families.programs(family, width)
        carry = family.blueprint.stack([seen.states[0]] * width)
        left = Progress().epochs_left(
            self.setup.comparison.budget, len(family.first.sizes), self.setup.workload.size
        )
        for size in set(family.first.sizes):
            programs.at(size, left * family.first.sizes.count(size), carry)
        if self.setup.comparison.trainer == "auto":
            index = torch.stack([seen.batches[0]] * width).to(self.loop.device)
            rates = family.blueprint.rates(self.families.numbers([trial] * width, family.blueprint), 0, 2)
            lanes, loop = _seconds(programs, carry, rates, index) / width, seen.seconds
            if lanes > _MARGIN * loop:
                raise Slower(
                    f"an update takes {lanes * 1e6:,.0f} µs a lane, and {loop * 1e6:,.0f} µs in the loop"
                )
        return programs

    def _apart(self, programs: Programs, seen: Mapping[Trial, Rehearsed]) -> dict[Trial, float]:
        """How far the programs' first updates lie from the loop's, for each of these trials."""
        worst = dict.fromkeys(seen, 0.0)
        trials, width = list(seen), programs.width
        for first in range(0, len(trials), width):
            block = [
                trials[first : first + width][number % len(trials[first : first + width])]
                for number in range(width)
            ]
            numbers = self.families.numbers(block, programs.blueprint)

            factors = self._factors(block[0], seen[block[0]])

            def update(
                carry: Carry,
                index: Tensor,
                made: int,
                numbers: Carry = numbers,
                factors: list[float] = factors,
            ) -> Carry:
                rates = programs.blueprint.rates(numbers, made, len(index), factors[made : made + 1])
                return programs.at(index.shape[2], 0, carry).run(carry, rates, programs.data, index)[0]

            found = disagreements(programs.blueprint, [seen[trial] for trial in block], update)
            for trial, difference in zip(block, found, strict=True):
                worst[trial] = max(worst[trial], difference)
        return worst

    def _factors(self, trial: Trial, seen: Rehearsed) -> list[float]:
        """What the schedule of these trials multiplied the rates of the rehearsed updates by."""
        schedule, budget = schedule_of(trial.arm.schedule), self.setup.comparison.budget
        samples = [0, *itertools.accumulate(map(len, seen.batches))]
        shares = [
            budget.share(made, samples[made], self.setup.workload.size) for made in range(len(seen.batches))
        ]
        return [schedule(share) for share in shares]

    def _compare_evaluation(self, blueprint: Blueprint, trial: Trial) -> None:
        """Loss and metrics of the first rows must be what the loop measures there."""
        run = self.loop.run(trial, None)
        carry = blueprint.stack([run.state()])[: len(blueprint.weights) + len(blueprint.kept)]
        if run.sample is not None:
            carry = blueprint.recalibrated(carry, run.source.stream(run.sample.indices(), 0, 0))
        for source in self.loop.on_split_of(trial.seed).sources.values():
            rows = torch.arange(min(_ROWS, source.n, self.setup.comparison.eval_chunk))
            batch, same = source.stream([rows, rows], 0, 0)
            here = [float(value) for value in blueprint.evaluate(carry, batch)]
            with run.recalibrated():
                there = averages_of(run.workload, run.model, same)
            for one, other in zip(here, there, strict=True):
                if not math.isclose(
                    one, other, rel_tol=_EVALUATED * self.tolerance, abs_tol=_EVALUATED * self.tolerance
                ):
                    raise Unsupported(f"an evaluation gives {one:.8g}, and {other:.8g} in the loop")

    def _rehearse(self, trial: Trial) -> Rehearsed:
        run = self.loop.run(trial, None)
        budget, n = self.setup.comparison.budget, self.setup.workload.size
        most = {"epochs": budget.amount, "updates": UPDATES, "samples": max(1.0, budget.amount / n)}[
            budget.unit
        ]
        epochs = (run.planner.draw(epoch).batches for epoch in range(min(UPDATES, math.ceil(most))))
        batches = list(itertools.islice(itertools.chain.from_iterable(epochs), UPDATES))
        seen = rehearse_in_loop(run, batches)
        for owner, changed in (*seen.states[-1]["attributes"].items(), ("model", seen.states[-1]["flags"])):
            if changed:
                raise Unsupported(
                    f"the {owner} changes {next(iter(changed))} while it trains, which lanes would have in "
                    "common"
                )
        return seen


def _sample(trials: Sequence[Trial]) -> list[Trial]:
    """A few trials to check: the first of each arm, and more of them from the lowest and the highest learning
    rates.
    """
    firsts = list({trial.arm.label: trial for trial in reversed(trials)}.values())
    by_rate = sorted(trials, key=lambda trial: trial.arm.lr)
    return list(
        dict.fromkeys(
            [trials[0], *firsts, by_rate[0], by_rate[-1], *trials[:: max(1, len(trials) // _SAMPLED)]]
        )
    )


def _seconds(programs: Programs, carry: Carry, rates: Carry, index: Tensor) -> float:
    """Seconds of one update of all lanes, the shortest of three."""
    both, found = torch.stack([index, index]), []
    program = programs.at(index.shape[1], 0, carry)
    for _ in range(3):
        began = perf_counter()
        try:
            program.run(carry, rates, programs.data, both)[0][0].sum().item()
        except USER_CODE_ERRORS as error:
            raise Unsupported(f"an update of many lanes fails: {explain(error)}") from error
        found.append((perf_counter() - began) / 2)
    return min(found)
