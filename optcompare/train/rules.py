"""Update rules of optimizers as pure functions of one lane, so that many lanes can be one program.

Each rule is what ``torch.optim`` computes for one weight tensor, in its order of operations; sources of the formulas
are its documentation. Numbers (learning rate, momentum, …) may differ from lane to lane: they are float64 scalars, so
that ``1 - beta**step`` loses no more than it does there. Flags may not: they decide what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

Slots = dict[str, "Tensor"]
Numbers = Mapping[str, "Tensor"]
Flags = frozenset[str]


class Unsupported(Exception):
    """Why something cannot run in lanes, as half a sentence."""


class Slower(Unsupported):
    """Lanes could run it, and would take longer than the loop."""


@dataclass(frozen=True)
class Rule:
    """``slots(flags)``: the names of a weight's state tensors, as ``torch.optim`` calls them;
    ``update(weight, grad, slots, numbers, step, flags)``: the new weight and slots, ``step`` counting from 1.
    """

    slots: Callable[[Flags], tuple[str, ...]]
    update: Callable[[Tensor, Tensor, Slots, Numbers, Tensor, Flags], tuple[Tensor, Slots]]


@dataclass(frozen=True)
class Settings:
    """One optimizer as a rule with its numbers. Two can be lanes of one program if rule and flags are equal."""

    rule: Rule
    flags: Flags
    numbers: Mapping[str, float]

    @property
    def slots(self) -> tuple[str, ...]:
        return self.rule.slots(self.flags)


def settings_of(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> Settings:
    """The rule of an optimizer of these weights; raises :class:`Unsupported`."""
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise Unsupported(f"there is no lane rule for the optimizer {type(optimizer).__name__}")
    if len(optimizer.param_groups) != 1:
        raise Unsupported("the optimizer has several parameter groups")
    (group,) = optimizer.param_groups
    if list(map(id, group["params"])) != list(map(id, weights)):
        raise Unsupported("the optimizer does not train exactly the model's trainable weights")
    flags, numbers = set[str](), dict[str, float]()
    for name, value in group.items():
        if name == "betas":
            numbers.update(beta1=float(value[0]), beta2=float(value[1]))
        elif name in _FLAGS:
            flags |= {name} if value else set()
        elif name not in _IMMATERIAL:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise Unsupported(f"the optimizer's {name} is {value!r}, which is no plain number")
            numbers[name] = float(value)
            flags |= {name} if value else set()
    return Settings(rule, frozenset(flags - {"lr", "eps", "alpha"}), numbers)


_FLAGS = ("nesterov", "amsgrad", "centered", "maximize", "decoupled_weight_decay")
_IMMATERIAL = ("params", "foreach", "fused", "capturable", "differentiable", "initial_accumulator_value")


def _scaled(number: Tensor, tensor: Tensor) -> Tensor:
    return number.to(tensor.dtype) * tensor


def _gradient(weight: Tensor, grad: Tensor, numbers: Numbers, flags: Flags) -> Tensor:
    """The gradient with its sign and with weight decay as an L2 penalty."""
    grad = -grad if "maximize" in flags else grad
    if "weight_decay" in flags and "decoupled_weight_decay" not in flags:
        return grad + _scaled(numbers["weight_decay"], weight)
    return grad


def _mean(old: Tensor, new: Tensor, decay: Tensor) -> Tensor:
    """The exponential average decay·old + (1 - decay)·new."""
    return _scaled(decay, old) + _scaled(1 - decay, new)


def _sgd(
    weight: Tensor, grad: Tensor, slots: Slots, numbers: Numbers, step: Tensor, flags: Flags
) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, numbers, flags)
    if "momentum" in flags:
        buffer = _scaled(numbers["momentum"], slots["momentum_buffer"])
        if "dampening" in flags:  # the first gradient is taken undamped
            grad_part = _scaled(torch.where(step == 1, torch.ones_like(step), 1 - numbers["dampening"]), grad)
        else:
            grad_part = grad
        slots = {"momentum_buffer": buffer + grad_part}
        nesterov = "nesterov" in flags
        grad = grad + _scaled(numbers["momentum"], slots["momentum_buffer"]) if nesterov else slots["momentum_buffer"]
    return weight - _scaled(numbers["lr"], grad), slots


def _adam(
    weight: Tensor, grad: Tensor, slots: Slots, numbers: Numbers, step: Tensor, flags: Flags
) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, numbers, flags)
    if {"decoupled_weight_decay", "weight_decay"} <= flags:
        weight = _scaled(1 - numbers["lr"] * numbers["weight_decay"], weight)
    new = {
        "exp_avg": _mean(slots["exp_avg"], grad, numbers["beta1"]),
        "exp_avg_sq": _mean(slots["exp_avg_sq"], grad * grad, numbers["beta2"]),
    }
    second = new["exp_avg_sq"]
    if "amsgrad" in flags:
        second = new["max_exp_avg_sq"] = torch.maximum(slots["max_exp_avg_sq"], second)
    correction = (1 - numbers["beta2"] ** step).rsqrt()
    denominator = _scaled(correction, second.sqrt()) + numbers["eps"].to(weight.dtype)
    return weight - _scaled(numbers["lr"] / (1 - numbers["beta1"] ** step), new["exp_avg"] / denominator), new


def _rmsprop(
    weight: Tensor, grad: Tensor, slots: Slots, numbers: Numbers, step: Tensor, flags: Flags
) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, numbers, flags)
    new = {"square_avg": _mean(slots["square_avg"], grad * grad, numbers["alpha"])}
    square = new["square_avg"]
    if "centered" in flags:
        new["grad_avg"] = _mean(slots["grad_avg"], grad, numbers["alpha"])
        square = square - new["grad_avg"] * new["grad_avg"]
    change = grad / (square.sqrt() + numbers["eps"].to(weight.dtype))
    if "momentum" in flags:
        change = new["momentum_buffer"] = _scaled(numbers["momentum"], slots["momentum_buffer"]) + change
    return weight - _scaled(numbers["lr"], change), new


def _adagrad(
    weight: Tensor, grad: Tensor, slots: Slots, numbers: Numbers, step: Tensor, flags: Flags
) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, numbers, flags)
    total = slots["sum"] + grad * grad
    rate = numbers["lr"] / (1 + (step - 1) * numbers["lr_decay"])
    return weight - _scaled(rate, grad / (total.sqrt() + numbers["eps"].to(weight.dtype))), {"sum": total}


def _adam_slots(flags: Flags) -> tuple[str, ...]:
    return "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if "amsgrad" in flags else [])


def _rmsprop_slots(flags: Flags) -> tuple[str, ...]:
    centered = ["grad_avg"] if "centered" in flags else []
    return "square_avg", *centered, *(["momentum_buffer"] if "momentum" in flags else [])


RULES: dict[type[Any], Rule] = {
    torch.optim.SGD: Rule(lambda flags: ("momentum_buffer",) if "momentum" in flags else (), _sgd),
    torch.optim.Adam: Rule(_adam_slots, _adam),
    torch.optim.AdamW: Rule(_adam_slots, _adam),
    torch.optim.RMSprop: Rule(_rmsprop_slots, _rmsprop),
    torch.optim.Adagrad: Rule(lambda flags: ("sum",), _adagrad),
}
