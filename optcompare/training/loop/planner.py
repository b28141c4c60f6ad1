"""Plan the epochs of a trial with its own copy of the strategy, and check the contract of the strategy."""

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
    """Plan the epochs of one seed with a copy of a strategy.

    Args:
        strategy: The strategy, which is copied.
        start: The shared start of the seed.
        seed: The seed.
        name: The label of the arm, for messages.
    """

    def __init__(self, strategy: Strategy, start: SharedStart, seed: int, name: str) -> None:
        self.strategy, self.start, self.seed, self.name = copy.deepcopy(strategy), start, seed, name
        self._settings = copy.deepcopy(_settings_of(self.strategy))
        self.stateful = bool(self.strategy.state())
        self._template: Plan | None = None
        self._positions: Tensor | None = None

    def state(self) -> dict[str, Any]:
        """Return a copy of the strategy's state."""
        return copy.deepcopy(self.strategy.state()) if self.stateful else {}

    def load(self, state: Mapping[str, Any]) -> None:
        if self.stateful or state:
            self.strategy.load(copy.deepcopy(dict(state)))

    def order(self, epoch: int) -> Tensor:
        """Return the shared order of an epoch, int64[N], which must not be written to."""
        return self.start.order(epoch).indices

    def epoch(self, index: int) -> Epoch:
        """Return an epoch for the strategy, with its own copy of the order, which it may write to."""
        return Epoch(index, self.order(index).clone(), self.seed, self.strategy)

    @cached_property
    def sizes(self) -> list[int]:
        """Return the batch sizes of the first epoch, without changing the strategy's state."""
        before = self.state()
        try:
            return list(self.draw(0).sizes)
        finally:
            self.load(before)

    def plan(self, progress: Progress) -> Plan:
        """Plan and check the current epoch of a trial, and record that in its progress."""
        plan = self.draw(progress.epoch)
        self.accept(plan, progress)
        return plan

    def draw(self, index: int) -> Plan:
        """Plan and check an epoch, which advances the strategy's state."""
        order = self.order(index)
        if self._template is not None:
            return self._template.on(order, self._positions)
        with self.checked_contract():
            plan = Plan(self.strategy, self.epoch(index), order, self.name)
        if self.strategy.positional:
            self._template, self._positions = plan, None if plan.in_order else plan.positions(order)
        return plan

    def accept(self, plan: Plan, progress: Progress) -> None:
        """Record that a plan was checked.

        Args:
            plan: The plan of the current epoch.
            progress: The counters of the trial.

        Raises:
            StrategyError: The epoch was cut, and its plan differs from the first one.
        """
        if progress.position and plan.digest(b"", progress.position).hex() != progress.cut_at:
            raise StrategyError(
                f"strategy {self.name}, epoch {progress.epoch}: it planned other batches when it was called "
                "again; draw from epoch.rng alone, and declare all state as field(init=False)"
            )
        progress.checked = progress.epoch + 1
        progress.rearranged |= not plan.in_order

    def begin(self, progress: Progress) -> None:
        """Record the order of the epoch, once there is a batch to train on."""
        if len(progress.orders) == progress.epoch:
            progress.orders.append(self.start.order(progress.epoch).sha256)

    @contextmanager
    def checked_contract(self) -> Iterator[None]:
        """Check that the strategy changes nothing but its own state and epoch.rng within the context.

        Raises:
            StrategyError: It drew from torch's global generator, or changed another attribute.
        """
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
                "declare it as state, with field(init=False, default=…)"
            )


def _settings_of(strategy: Strategy) -> dict[str, Any]:
    """Return the attributes of a strategy that are not state."""
    state = strategy.state()
    return {name: value for name, value in vars(strategy).items() if name not in state}


def same(one: Any, other: Any) -> bool:
    """Return whether a value equals its copy; values that cannot be compared count as equal."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    try:
        return cast(Any, type(one)).__eq__ is object.__eq__ or bool(one == other)
    except (TypeError, ValueError, RuntimeError):
        return True
