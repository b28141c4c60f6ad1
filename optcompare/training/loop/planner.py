"""A trial's own strategy: plans each epoch, is held to its contract, and is reset where an epoch is cut."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch

from ...errors import StrategyError
from ...interfaces.strategy import Epoch, Strategy
from ..measurement.counters import Progress
from ..shared_init import SharedStart
from .batch_plan import Plan

if TYPE_CHECKING:
    from torch import Tensor


class Planner:
    """One seed's epochs as a copy of a strategy plans them; ``name`` of the arm, for messages."""

    def __init__(self, strategy: Strategy, start: SharedStart, seed: int, name: str) -> None:
        self.strategy, self.start, self.seed, self.name = copy.deepcopy(strategy), start, seed, name
        self._settings = copy.deepcopy(_settings_of(self.strategy))
        self.stateful = bool(self.strategy.state())
        self._template: Plan | None = None
        self._positions: Tensor | None = None

    def state(self) -> dict[str, Any]:
        """The strategy's state, sharing no memory with it."""
        return copy.deepcopy(self.strategy.state())

    def load(self, state: Mapping[str, Any]) -> None:
        self.strategy.load(copy.deepcopy(dict(state)))

    def order(self, epoch: int) -> Tensor:
        """The shared order, int64[N], of which nobody may write."""
        return self.start.order(epoch).indices

    def epoch(self, index: int) -> Epoch:
        """The epoch as the strategy sees it, with an order of its own to write into."""
        return Epoch(index, self.order(index).clone(), self.seed, self.strategy)

    @cached_property
    def sizes(self) -> list[int]:
        """Of the batches of the first epoch; the strategy's state does not move on."""
        before = self.state()
        try:
            return list(self.draw(0).sizes)
        finally:
            self.load(before)

    def plan(self, progress: Progress) -> Plan:
        """The checked batches of the epoch under way, noted in the trial's progress."""
        plan = self.draw(progress.epoch)
        self.accept(plan, progress)
        return plan

    def draw(self, index: int) -> Plan:
        """The checked batches of an epoch; the strategy's state moves on."""
        order = self.order(index)
        if self._template is not None:
            return self._template.on(order, self._positions)
        with self.acts():
            plan = Plan(self.strategy, self.epoch(index), order, self.name)
        if self.strategy.positional:
            self._template, self._positions = plan, None if plan.in_order else plan.positions(order)
        return plan

    def accept(self, plan: Plan, progress: Progress) -> None:
        """Notes that the plan was checked; raises where the epoch was cut and is planned otherwise now."""
        if progress.position and plan.digest(b"", progress.position).hex() != progress.cut_at:
            raise StrategyError(
                f"strategy {self.name}, epoch {progress.epoch}: asked again, it planned other batches; draw "
                "from "
                "epoch.rng alone, and declare all state as field(init=False)"
            )
        progress.checked = progress.epoch + 1
        progress.rearranged |= not plan.in_order

    def begin(self, progress: Progress) -> None:
        """Notes the order in use, once there is a batch to train on."""
        if len(progress.orders) == progress.epoch:
            progress.orders.append(self.start.order(progress.epoch).sha256)

    @contextmanager
    def acts(self) -> Iterator[None]:
        """Holds the strategy to its contract: its own state and epoch.rng are all that it may change."""
        generator = torch.get_rng_state()
        yield
        if not torch.equal(generator, torch.get_rng_state()):
            raise StrategyError(
                f"strategy {self.name} drew from torch's global generator; draw from epoch.rng instead"
            )
        now = _settings_of(self.strategy)
        changed = [key for key in now if key not in self._settings or not same(now[key], self._settings[key])]
        if changed:
            raise StrategyError(
                f"strategy {self.name} changed {', '.join(changed)}, which no checkpoint would carry; "
                "declare it as "
                "state, with field(init=False, default=…)"
            )


def _settings_of(strategy: Strategy) -> dict[str, Any]:
    """The attributes that are not state."""
    state = strategy.state()
    return {name: value for name, value in vars(strategy).items() if name not in state}


def same(one: Any, other: Any) -> bool:
    """Whether a value is what its copy says it was; values that cannot be compared are taken on trust."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    try:
        return cast(Any, type(one)).__eq__ is object.__eq__ or bool(one == other)
    except (TypeError, ValueError, RuntimeError):
        return True
