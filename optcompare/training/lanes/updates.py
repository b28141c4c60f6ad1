"""Make the updates of a group of lanes: call the program, and keep the tensors that it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Budget
from ...core.schedule import depends_on_budget, schedule_of
from ..data import TensorSource
from ..loop.batch_plan import Plan
from .engines.engine import Carry, EngineProgram
from .families import columns
from .followed_path import followed_points
from .lane import Lane, running
from .program_cache import Programs

if TYPE_CHECKING:
    from torch import Tensor

_CALL_SECONDS = 0.25
"""The approximate seconds of one call of the program, so that an interrupt is served soon."""
_MOST_INDICES = 2**22


class LanesUpdates:
    """Update lanes together; lanes that have ended are computed too, and ignored.

    Args:
        lanes: The trials of the group.
        programs: The compiled programs, at least as wide as the group; the width is filled up with copies.
        numbers: The hyperparameters of each lane that are inputs of the program, by name.
        budget: The budget of each trial.
        source: The training data.

    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        programs: Programs,
        numbers: Sequence[Mapping[str, float]],
        budget: Budget,
        source: TensorSource,
    ) -> None:
        self._lanes, self._programs, self._budget, self._n = lanes, programs, budget, source.n
        self._device = source.tensors[0].device
        self._places = [number % len(lanes) for number in range(programs.width)]
        blueprint = programs.blueprint
        self._carry: Carry | None = blueprint.stack([lanes[place].state for place in self._places])
        self._loaded: tuple[EngineProgram, Any] | None = None
        self._numbers = columns([numbers[place] for place in self._places], blueprint.numbers, self._device)
        self._seeds = [lanes[place].trial.seed for place in self._places]
        self._constant_rates: Carry | None = None
        schedule = lanes[0].trial.arm.schedule
        self._schedule = schedule_of(schedule) if depends_on_budget(schedule) else None
        self._update_seconds = max(lane.pace for lane in lanes) * len(lanes)

    @property
    def carry(self) -> Carry:
        """Return all tensors that updates change, [R, …] each."""
        if self._carry is None:
            assert self._loaded is not None
            program, loaded = self._loaded
            self._carry = program.unload(loaded)
        return self._carry

    @carry.setter
    def carry(self, carry: Carry) -> None:
        self._carry, self._loaded = carry, None

    def evaluated(self) -> Carry:
        """Return the carry with the weights by which lanes are measured."""
        return self._programs.blueprint.evaluated(self.carry, self._numbers)

    def make(self, plans: Mapping[int, Plan], plan: Plan, stop: int, until: Callable[[], bool]) -> bool:
        """Make updates of an epoch up to a position.

        Args:
            plans: The plans of the epoch, by the ``id`` of the lanes' planners.
            plan: One of them; all have the same batch sizes.
            stop: The position in the epoch at which to stop.
            until: Called between calls of the program, about every quarter of a second; True ends updates.

        Returns:
            Whether ``until`` ended the updates before the position.
        """
        places = [plans.get(id(self._lanes[place].planner), plan) for place in self._places]
        position = running(self._lanes)[0].progress.position
        flat = torch.stack([each.flat for each in places])
        for size, group in groupby(plan.sizes[position:stop]):
            rest = len(list(group))
            program = self._programs.at(size, self._expected(plan, size), lambda: self.carry).current
            while rest:
                began = time.perf_counter()
                most = max(
                    1, min(int(_CALL_SECONDS / self._update_seconds), _MOST_INDICES // (size * len(places)))
                )
                count, done = min(rest, most), running(self._lanes)[0].progress.updates
                first = plan.ends[position] - size
                batches = flat[:, first : first + count * size].reshape(len(places), count, size)
                index = batches.transpose(0, 1).contiguous().to(self._device)
                rates = self._rates(done, count, size)
                trail = self._run(program, rates, index)
                self._count(count, size, trail, program.engine)
                self._update_seconds = (time.perf_counter() - began) / count
                position, rest = position + count, rest - count
                if position < stop and until():
                    return True
        return False

    def _run(self, program: EngineProgram, rates: Carry, index: Tensor) -> Tensor | None:
        """Make updates with a program, and keep the carry in the form of its engine."""
        if self._loaded is None or self._loaded[0].engine != program.engine:
            self._loaded = program, program.load(self.carry)
        loaded, trail = program.run(self._loaded[1], rates, index)
        self._loaded, self._carry = (program, loaded), None
        return trail

    def _rates(self, done: int, count: int, size: int) -> Carry:
        """Return the rates of the next updates, which are kept where all are the same for all updates."""
        if self._constant_rates is not None:
            return self._constant_rates
        factors = self._factors(done, count, size)
        rates = self._programs.blueprint.rates(self._numbers, done, count, factors, self._seeds)
        if count > 1 and all(len(rate) == 1 for rate in rates):
            self._constant_rates = rates
        return rates

    def _factors(self, done: int, count: int, size: int) -> list[float]:
        """Return the factors of the schedule for the next updates; empty without a schedule."""
        if self._schedule is None:
            return []
        samples = running(self._lanes)[0].progress.samples
        shares = [self._budget.share(done + i, samples + i * size, self._n) for i in range(count)]
        return [self._schedule(share) for share in shares]

    def _count(self, count: int, size: int, trail: Tensor | None, engine: str) -> None:
        for number, lane in enumerate(self._lanes):
            if not lane.running:
                continue
            if lane.follows and trail is not None:
                points = followed_points(
                    self._programs.blueprint, trail[:, number], [one[number] for one in self._numbers]
                )
                for update, point in enumerate(points, lane.progress.updates + 1):
                    lane.progress.follow(update, point)
            seconds = (lane.progress.updates + count) * lane.pace
            lane.progress.count_updates(count, count * size, size, seconds)
            lane.progress.count_engine(engine)

    def _expected(self, plan: Plan, size: int) -> float:
        """Estimate the updates of a batch size that are left, if later epochs are like this one."""
        left = running(self._lanes)[0].progress.epochs_left(self._budget, len(plan.sizes), self._n)
        return plan.sizes.count(size) * left
