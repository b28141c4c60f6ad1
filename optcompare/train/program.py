"""The update and the evaluation of many lanes at once, as pure functions of tensors with the lanes as first dimension."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..workload import Workload
from .rules import Settings, Unsupported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

    from .trial import State

Carry = list["Tensor"]
"""All that updates change, each [R, …]: weights, kept values (buffers and frozen weights), slots, steps float64[R]."""


class Blueprint:
    """What the lanes of a group have in common: the model's form, the objective, the optimizer's rule, the chunk.

    ``model``: any lane's; its values are never used.
    """

    def __init__(self, workload: Workload, model: nn.Module, settings: Settings, chunk: int) -> None:
        self.workload, self.settings, self.chunk = workload, settings, chunk
        model = copy.deepcopy(model)
        self._objective, self._outputs = _Objective(model, workload), _Outputs(model, workload)
        self.weights = [name for name, weight in model.named_parameters() if weight.requires_grad]
        frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
        self.buffers = [name for name, _ in model.named_buffers()]
        self.kept = [*frozen, *self.buffers]
        values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.floating = [name for name in self.kept if values[name].is_floating_point()]
        self.numbers = sorted(settings.numbers)

    def stack(self, states: Sequence[State]) -> Carry:
        """The lanes' states, as the loop trainer leaves them, side by side."""
        rows = [self._row(state) for state in states]
        return [torch.stack(column).contiguous() for column in zip(*rows, strict=True)]

    def state_of(self, carry: Carry, lane: int, state: State) -> State:
        """The state of one lane: ``state``, one that it had before, with what the updates changed."""
        values = [column[lane].clone() for column in carry]
        named = dict(zip([*self.weights, *self.kept], values, strict=False))
        after = len(named)
        slots, step = values[after:-1], values[-1]
        names = self.settings.slots
        begun = float(step) > 0
        each: dict[int, dict[str, Any]] = {}
        for number in range(len(self.weights)) if begun else ():
            mine = slots[number * len(names) : (number + 1) * len(names)]
            counted = {} if set(names) <= {"momentum_buffer"} else {"step": step.float()}  # SGD's state counts no steps
            each[number] = {**counted, **dict(zip(names, mine, strict=True))}
        optimizer = {**state["optimizer"], "state": each} if begun else state["optimizer"]
        model = {name: named.get(name, value) for name, value in state["model"].items()}
        buffers = {name: named[name] for name in state["buffers"]}
        return {**state, "model": model, "buffers": buffers, "optimizer": optimizer}

    def update(self, carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> Carry:
        """One update of every lane. ``numbers``: float64[R] each, in the order of their names; ``index``: int64[R, B]."""
        batch = tuple([tensor[index] for tensor in data])
        updated = torch.vmap(self._update_one, randomness="error")(carry, numbers, batch)
        return [column.contiguous() for column in updated]

    def evaluate(self, values: Carry, batch: tuple[Tensor, ...]) -> list[Tensor]:
        """[R] each: the mean loss, then each metric's sum and weight, of weights and kept values on one batch for all."""
        named = dict(zip([*self.weights, *self.kept], values, strict=True))
        self._outputs.eval()

        def one(values: dict[str, Tensor]) -> list[Tensor]:
            called = {f"model.{name}": value for name, value in values.items()}
            return torch.func.functional_call(self._outputs, called, (batch,))  # type: ignore[no-any-return]

        with torch.no_grad():
            return torch.vmap(one, randomness="error")(named)

    def _row(self, state: State) -> list[Tensor]:
        values = {**state["model"], **state["buffers"]}
        row = [values[name] for name in [*self.weights, *self.kept]]
        steps, slots = 0.0, list[torch.Tensor]()
        for number, name in enumerate(self.weights):
            mine = state["optimizer"]["state"].get(number, {})
            steps = float(mine.get("step", state["progress"]["updates"]))
            for slot in self.settings.slots:
                kept = mine.get(slot)
                slots.append(torch.zeros_like(values[name]) if kept is None else kept)
        device = row[0].device
        return [*row, *slots, torch.tensor(steps, dtype=torch.float64, device=device)]

    def _update_one(self, carry: Carry, numbers: Carry, batch: tuple[Tensor, ...]) -> Carry:
        count, slots_each = len(self.weights), self.settings.slots
        weights, kept = carry[:count], carry[count : count + len(self.kept)]
        slots, step = carry[count + len(kept) : -1], carry[-1] + 1
        grads, kept = self._gradient(weights, kept, batch)
        named = dict(zip(self.numbers, numbers, strict=True))
        new_weights, new_slots = [], list[torch.Tensor]()
        for number, (weight, grad) in enumerate(zip(weights, grads, strict=True)):
            mine = slots[number * len(slots_each) : (number + 1) * len(slots_each)]
            before = dict(zip(slots_each, mine, strict=True))
            rule, flags = self.settings.rule, self.settings.flags
            new, after = rule.update(weight, grad, before, named, step, flags)
            new_weights.append(new)
            new_slots += [after[name] for name in slots_each]
        return [*new_weights, *kept, *new_slots, step]

    def _gradient(self, weights: Carry, kept: Carry, batch: tuple[Tensor, ...]) -> tuple[Carry, Carry]:
        """The gradient of the batch's mean loss, and the kept values after the forward passes."""
        gradient = torch.func.grad(self._loss, has_aux=True)
        rows = len(batch[0])
        if rows <= self.chunk:
            return gradient(weights, kept, batch)  # type: ignore[no-any-return]
        total, share = [torch.zeros_like(weight) for weight in weights], 0.0
        for piece in zip(*(tensor.split(self.chunk) for tensor in batch), strict=True):
            part = self.workload.weigh(piece)
            grads, kept = gradient(weights, kept, piece)
            total, share = [a + part * g for a, g in zip(total, grads, strict=True)], share + part
        return [grad / share for grad in total], kept

    def _loss(self, weights: Carry, kept: Carry, batch: tuple[Tensor, ...]) -> tuple[Tensor, Carry]:
        kept = [value.clone() for value in kept]  # a forward pass may write into buffers
        named = dict(zip([*self.weights, *self.kept], [*weights, *kept], strict=True))
        called = {f"model.{name}": value for name, value in named.items()}
        return torch.func.functional_call(self._objective, called, (batch,)), kept


def trace(blueprint: Blueprint, carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> GraphModule:
    """One update of these lanes as a graph without any Python left in it; raises :class:`Unsupported`."""
    from torch.fx.experimental.proxy_tensor import make_fx

    def update(carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> Carry:
        return blueprint.update(carry, numbers, data, index)

    try:
        with torch.no_grad():
            return make_fx(update)(carry, numbers, data, index)
    except Exception as error:
        raise Unsupported(f"an update cannot be traced ({type(error).__name__}: {first_line(error)})") from error


def beside(weights: Carry) -> Tensor:
    """[R, P]: all of each lane's weights in one row."""
    return torch.cat([weight.reshape(len(weight), -1) for weight in weights], 1)


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else ""


class _Objective(nn.Module):
    def __init__(self, model: nn.Module, workload: Workload) -> None:
        super().__init__()
        self.model, self._mean_loss = model, workload.mean_loss

    def forward(self, batch: Any) -> Tensor:
        return self._mean_loss(self.model, batch)


class _Outputs(nn.Module):
    def __init__(self, model: nn.Module, workload: Workload) -> None:
        super().__init__()
        self.model, self._workload = model, workload

    def forward(self, batch: Any) -> list[Tensor]:
        if self._workload.loss is None:
            return [self._workload.mean_loss(self.model, batch)]
        *inputs, y = batch
        output = self.model(*inputs)
        found = [self._workload.loss(output, y)]
        for metric in self._workload.metrics.values():
            found += [torch.as_tensor(value, device=found[0].device) for value in metric(output, y)]
        return found
