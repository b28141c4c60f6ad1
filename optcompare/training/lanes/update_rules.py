"""Update rules of optimizers as pure functions of one lane, so that many lanes can be one program.

Each rule computes what ``torch.optim`` computes for one weight tensor, in the same order of operations; the
formulas are those of its documentation. Numbers (learning rate, momentum, …) may differ between lanes.
Factors that depend only on them and on the count of updates, such as ``1 - beta**step``, are called rates.
They are computed ahead for many updates, in float64 as in ``torch.optim``. Flags are equal for all lanes,
since they select the operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

Slots = dict[str, "Tensor"]
Rates = Mapping[str, "Tensor"]
Flags = frozenset[str]


class Unsupported(Exception):
    """Report why a trial cannot run in lanes; the message is a clause for another sentence."""


class Slower(Unsupported):
    """Report that lanes would take longer than the loop."""


@dataclass(frozen=True)
class Rule:
    """Hold the update rule of an optimizer, as pure functions.

    Attributes:
        slots: Takes the flags; returns the names of a weight's state tensors in ``torch.optim``.
        rates: Takes the numbers of the lanes, float64[R] each, and the counts of updates from 1 on,
            float64[U, 1]; returns the rates of each update.
        update: Takes weight, gradient, slots, rates and flags; returns the new weight and slots of one lane.
    """

    slots: Callable[[Flags], tuple[str, ...]]
    rates: Callable[[Rates, Tensor], dict[str, Tensor]]
    update: Callable[[Tensor, Tensor, Slots, Rates, Flags], tuple[Tensor, Slots]]


@dataclass(frozen=True)
class Settings:
    """Hold an optimizer as a rule with its numbers and flags.

    Two optimizers can be lanes of one program if rule and flags are equal.
    """

    rule: Rule
    flags: Flags
    numbers: Mapping[str, float]

    @property
    def slots(self) -> tuple[str, ...]:
        return self.rule.slots(self.flags)


def settings_of(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> Settings:
    """Return the rule and the settings of an optimizer.

    Args:
        optimizer: Any optimizer.
        weights: The trainable weights of the model.

    Raises:
        Unsupported: There is no rule for the optimizer or one of its settings.
    """
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


def clipped(grads: Sequence[Tensor], clip: float) -> list[Tensor]:
    """Scale the gradient of one lane down to a norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
    norm = torch.stack([grad.norm() for grad in grads]).norm()
    factor = (clip / (norm + 1e-6)).clamp(max=1.0)
    return [grad * factor for grad in grads]


def _gradient(weight: Tensor, grad: Tensor, rates: Rates, flags: Flags) -> Tensor:
    """Return the gradient, negated if it is maximised, with weight decay as an L2 penalty."""
    grad = -grad if "maximize" in flags else grad
    if "weight_decay" in flags and "decoupled_weight_decay" not in flags:
        return grad + rates["weight_decay"] * weight
    return grad


def _sgd_rates(numbers: Rates, step: Tensor) -> dict[str, Tensor]:
    undamped = torch.where(step == 1, 1.0, 1 - numbers["dampening"])  # the first gradient is not dampened
    return {**{name: numbers[name] for name in ("lr", "momentum", "weight_decay")}, "undamped": undamped}


def _sgd(weight: Tensor, grad: Tensor, slots: Slots, rates: Rates, flags: Flags) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, rates, flags)
    if "momentum" in flags:
        added = rates["undamped"] * grad if "dampening" in flags else grad
        buffer = rates["momentum"] * slots["momentum_buffer"] + added
        grad = grad + rates["momentum"] * buffer if "nesterov" in flags else buffer
        slots = {"momentum_buffer": buffer}
    return weight - rates["lr"] * grad, slots


def _adam_rates(numbers: Rates, step: Tensor) -> dict[str, Tensor]:
    return {
        "beta1": numbers["beta1"],
        "beta2": numbers["beta2"],
        "new1": 1 - numbers["beta1"],
        "new2": 1 - numbers["beta2"],
        "eps": numbers["eps"],
        "weight_decay": numbers["weight_decay"],
        "shrink": 1 - numbers["lr"] * numbers["weight_decay"],
        "step_size": numbers["lr"] / (1 - numbers["beta1"] ** step),
        "correction": (1 - numbers["beta2"] ** step).rsqrt(),
    }


def _adam(weight: Tensor, grad: Tensor, slots: Slots, rates: Rates, flags: Flags) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, rates, flags)
    if {"decoupled_weight_decay", "weight_decay"} <= flags:
        weight = rates["shrink"] * weight
    new = {
        "exp_avg": rates["beta1"] * slots["exp_avg"] + rates["new1"] * grad,
        "exp_avg_sq": rates["beta2"] * slots["exp_avg_sq"] + rates["new2"] * (grad * grad),
    }
    second = new["exp_avg_sq"]
    if "amsgrad" in flags:
        second = new["max_exp_avg_sq"] = torch.maximum(slots["max_exp_avg_sq"], second)
    denominator = rates["correction"] * second.sqrt() + rates["eps"]
    return weight - rates["step_size"] * (new["exp_avg"] / denominator), new


def _rmsprop_rates(numbers: Rates, step: Tensor) -> dict[str, Tensor]:
    return {**numbers, "new": 1 - numbers["alpha"]}


def _rmsprop(weight: Tensor, grad: Tensor, slots: Slots, rates: Rates, flags: Flags) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, rates, flags)
    new = {"square_avg": rates["alpha"] * slots["square_avg"] + rates["new"] * (grad * grad)}
    square = new["square_avg"]
    if "centered" in flags:
        new["grad_avg"] = rates["alpha"] * slots["grad_avg"] + rates["new"] * grad
        square = square - new["grad_avg"] * new["grad_avg"]
    change = grad / (square.sqrt() + rates["eps"])
    if "momentum" in flags:
        change = new["momentum_buffer"] = rates["momentum"] * slots["momentum_buffer"] + change
    return weight - rates["lr"] * change, new


def _adagrad_rates(numbers: Rates, step: Tensor) -> dict[str, Tensor]:
    decayed = numbers["lr"] / (1 + (step - 1) * numbers["lr_decay"])
    return {"lr": decayed, "eps": numbers["eps"], "weight_decay": numbers["weight_decay"]}


def _adagrad(weight: Tensor, grad: Tensor, slots: Slots, rates: Rates, flags: Flags) -> tuple[Tensor, Slots]:
    grad = _gradient(weight, grad, rates, flags)
    total = slots["sum"] + grad * grad
    return weight - rates["lr"] * (grad / (total.sqrt() + rates["eps"])), {"sum": total}


def _adam_slots(flags: Flags) -> tuple[str, ...]:
    return "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if "amsgrad" in flags else [])


def _rmsprop_slots(flags: Flags) -> tuple[str, ...]:
    centered = ["grad_avg"] if "centered" in flags else []
    return "square_avg", *centered, *(["momentum_buffer"] if "momentum" in flags else [])


def _sgd_slots(flags: Flags) -> tuple[str, ...]:
    return ("momentum_buffer",) if "momentum" in flags else ()


RULES: dict[type[Any], Rule] = {
    torch.optim.SGD: Rule(_sgd_slots, _sgd_rates, _sgd),
    torch.optim.Adam: Rule(_adam_slots, _adam_rates, _adam),
    torch.optim.AdamW: Rule(_adam_slots, _adam_rates, _adam),
    torch.optim.RMSprop: Rule(_rmsprop_slots, _rmsprop_rates, _rmsprop),
    torch.optim.Adagrad: Rule(lambda flags: ("sum",), _adagrad_rates, _adagrad),
}
