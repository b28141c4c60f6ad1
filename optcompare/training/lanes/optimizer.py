"""Train lanes with the lane rule of an optimizer, and convert its state to and from the loop's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ...errors import location
from .update_rules import Settings, Unsupported, numbers_of_group

if TYPE_CHECKING:
    from torch import Tensor

    from ...interfaces.lane_rule import LaneState

Columns = list["Tensor"]
"""The state of an optimizer: the tensors of each weight, then the memory of each group."""


class LanesOptimizer:
    """Apply a lane rule to all weights of a model.

    Args:
        settings: The rule and the settings of the optimizer.
        weights: Weights of the lanes' shapes and dtype, in the model's order; their values are not used.

    Attributes:
        numbers: The names of the numbers that may differ between lanes.
        state_bytes: The size of the state of one lane, without the memory of groups.
        shapes: The shape of each column of one lane.
    """

    def __init__(self, settings: Settings, weights: Sequence[Tensor]) -> None:
        self._rule, self._groups = settings.rule, settings.groups
        self._flags = [group.flags for group in self._groups]
        self._group_of = {
            place: number for number, group in enumerate(self._groups) for place in group.weights
        }
        self.numbers = sorted(settings.numbers)
        self._dtype = weights[0].dtype
        starts = [self._start(place, weight) for place, weight in enumerate(weights)]
        self._names = [tuple(start) for start in starts]
        self._memory = self._rule.memory or {}
        tensors = [value for start in starts for value in start.values()]
        self.state_bytes = sum(value.numel() * value.element_size() for value in tensors)
        scalars = len(self._memory) * len(self._groups)
        self.shapes = [*(value.shape for value in tensors), *[torch.Size([])] * scalars]
        ones = [torch.ones(1, dtype=torch.float64) for _ in self.numbers]
        named = self._named_rates(ones, torch.ones(1, 1, dtype=torch.float64), None)
        self._rate_names = [(group, name) for group, name, _ in named]

    def columns(self, saved: Mapping[str, Any], weights: Sequence[Tensor]) -> Columns:
        """Return the state of one lane.

        Args:
            saved: The ``state_dict()`` of the optimizer.
            weights: The weights that it trains, in the model's order.
        """
        columns = list[torch.Tensor]()
        for place, weight in enumerate(weights):
            known, start = saved["state"].get(self._file_numbers[place], {}), self._start(place, weight)
            columns += [
                torch.as_tensor(known.get(name, value), device=weight.device) for name, value in start.items()
            ]
        for group in saved["param_groups"]:
            values = [float(group.get(name, default)) for name, default in self._memory.items()]
            columns += [torch.tensor(v, dtype=torch.float64, device=weights[0].device) for v in values]
        return columns

    def saved(self, columns: Sequence[Tensor], saved: Mapping[str, Any], updates: int) -> dict[str, Any]:
        """Return the ``state_dict()`` that the optimizer of one lane has in the loop.

        Args:
            columns: The state of the lane.
            saved: An earlier ``state_dict()`` of the lane.
            updates: The number of updates of the trial so far, at least 1.
        """
        states, memories = self._parts(columns)
        numbered = sorted((self._file_numbers[place], state) for place, state in enumerate(states))
        each = {
            number: {**self._rule.counted(updates), **state}
            for number, state in numbered
            if state or self._rule.counted(updates)
        }
        groups = [
            {**group, **{name: type(self._memory[name])(float(value)) for name, value in memory.items()}}
            for group, memory in zip(saved["param_groups"], memories, strict=True)
        ]
        return {**saved, "state": each, "param_groups": groups}

    def numbers_in(self, saved: Mapping[str, Any]) -> list[Tensor]:
        """Return the numbers of one lane, float64 of no dimension each, in the order of their names.

        Args:
            saved: The ``state_dict()`` of the lane.
        """
        found = []
        for full_name in self.numbers:
            group, name, *place = full_name.split(".")
            value = saved["param_groups"][int(group)].get(name, math.nan)  # a number may be an attribute
            found.append(torch.tensor(float(value[int(place[0])] if place else value), dtype=torch.float64))
        return found

    def rates(self, numbers: Sequence[Tensor], step: Tensor, factors: Tensor | None) -> list[Tensor]:
        """Return the rates of updates, which can be broadcast to [U, R] each, in the dtype of the weights.

        Args:
            numbers: The numbers of the lanes, float64[R] each, in the order of their names.
            step: The counts of the updates, from 1 on, float64[U, 1].
            factors: The factors of the learning rates, float64[U, 1]; None without a schedule.
        """
        return [rate.to(self._dtype) for _, _, rate in self._named_rates(numbers, step, factors)]

    def update(
        self, weights: Sequence[Tensor], grads: Sequence[Tensor], columns: Columns, rates: Sequence[Tensor]
    ) -> tuple[list[Tensor], Columns]:
        """Update one lane.

        Args:
            weights: The weights, in the model's order.
            grads: The gradient of each.
            columns: The state.
            rates: The rates of this update, of no dimension.

        Returns:
            The new weights and the new state, which shares no tensor with the old one.
        """
        states, memories = self._parts(columns)
        new = list(weights)
        for number, group in enumerate(self._groups):
            named = zip(self._rate_names, rates, strict=True)
            own, flags = {name: rate for (owner, name), rate in named if owner == number}, self._flags[number]
            with _values_refused():
                if self._rule.advance is not None:
                    advanced, joining = self._rule.advance(memories[number], own, flags)
                    memories[number] = dict(advanced)
                    own |= {name: rate.to(self._dtype) for name, rate in joining.items()}
                for place in group.weights:
                    new[place], states[place] = self._rule.update(
                        weights[place], grads[place], states[place], own, flags
                    )
        after = [state[name] for names, state in zip(self._names, states, strict=True) for name in names]
        after += [memory[name] for memory in memories for name in self._memory]
        return new, [
            old.clone() if value is old else value.to(old.dtype)
            for value, old in zip(after, columns, strict=True)
        ]

    def evaluated(
        self, weights: Sequence[Tensor], columns: Sequence[Tensor], numbers: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the weights by which one lane is measured.

        Args:
            weights: The weights that are trained, in the model's order.
            columns: The state.
            numbers: The numbers of the lane, of no dimension, in the order of their names.
        """
        if self._rule.evaluated is None:
            return list(weights)
        states, _ = self._parts(columns)
        flat = {name: value.to(self._dtype) for name, value in zip(self.numbers, numbers, strict=True)}
        own = [numbers_of_group(flat, number) for number in range(len(self._groups))]
        with _values_refused():
            return [
                self._rule.evaluated(weight, states[place], own[number], self._flags[number])
                for place, weight in enumerate(weights)
                for number in [self._group_of[place]]
            ]

    @property
    def has_modes(self) -> bool:
        """Return whether lanes are measured by other weights than those that they train."""
        return self._rule.evaluated is not None

    @cached_property
    def _file_numbers(self) -> list[int]:
        """The number of each weight in the ``state_dict()``, which counts them group by group."""
        order = [place for group in self._groups for place in group.weights]
        return [order.index(place) for place in range(len(order))]

    def _start(self, place: int, weight: Tensor) -> LaneState:
        with torch.no_grad():
            return self._rule.state(weight.detach().clone(), self._flags[self._group_of[place]])

    def _named_rates(
        self, numbers: Sequence[Tensor], step: Tensor, factors: Tensor | None
    ) -> list[tuple[int, str, Tensor]]:
        """Return group, name and values of all rates, in float64."""
        flat = dict(zip(self.numbers, numbers, strict=True))
        found: list[tuple[int, str, Tensor]] = []
        for number in range(len(self._groups)):
            own = dict(numbers_of_group(flat, number))
            if factors is not None:
                own["lr"] = own["lr"] * factors
            found += [(number, *rate) for rate in sorted(self._rule.rates(own, step).items())]
        return found

    def _parts(self, columns: Sequence[Tensor]) -> tuple[list[LaneState], list[dict[str, Tensor]]]:
        """Divide columns into the state of each weight and the memory of each group."""
        rest = iter(columns)
        states = [{name: next(rest) for name in names} for names in self._names]
        return states, [{name: next(rest) for name in self._memory} for _ in self._groups]


@contextmanager
def _values_refused() -> Iterator[None]:
    """Explain torch's errors about values of tensors, which a mapped function cannot know, in plain words."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "data-dependent control flow" in text:
            what, instead = "branches on the value of a tensor", "use torch.where"
        elif "vmap over calling .item()" in text:
            what, instead = "reads the value of a tensor", "compute with the tensor itself"
        else:
            raise
        raise Unsupported(f"the lane rule {what}{location(error)}; {instead}") from error
