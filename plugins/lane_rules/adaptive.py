"""Lane rules of the optimizers of ``torch.optim`` that scale each weight's step by its past gradients."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import IMPLEMENTATION, direction, step_count


def _rmsprop_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    names = [
        "square_avg",
        *(["momentum_buffer"] if flags["momentum"] else []),
        *(["grad_avg"] if flags["centered"] else []),
    ]
    return {name: torch.zeros_like(weight) for name in names}


def _rmsprop_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    return {**numbers, "new": 1 - numbers["alpha"]}


def _rmsprop(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    grad = direction(weight, grad, rates, flags)
    new = {"square_avg": rates["alpha"] * state["square_avg"] + rates["new"] * (grad * grad)}
    square = new["square_avg"]
    if flags["centered"]:
        new["grad_avg"] = rates["alpha"] * state["grad_avg"] + rates["new"] * grad
        square = square - new["grad_avg"] * new["grad_avg"]
    change = grad / (square.sqrt() + rates["eps"])
    if flags["momentum"]:
        change = new["momentum_buffer"] = rates["momentum"] * state["momentum_buffer"] + change
    return weight - rates["lr"] * change, new


RMSPROP = LaneRule(
    update=_rmsprop,
    numbers=("lr", "alpha", "eps", "weight_decay", "momentum"),
    flags=("weight_decay", "momentum", "centered", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_rmsprop_rates,
    state=_rmsprop_state,
    counted=step_count,
)


def _adagrad_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"sum": torch.zeros_like(weight)}


def _adagrad_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    decayed = numbers["lr"] / (1 + (step - 1) * numbers["lr_decay"])
    return {"lr": decayed, "eps": numbers["eps"], "weight_decay": numbers["weight_decay"]}


def _adagrad(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    grad = direction(weight, grad, rates, flags)
    total = state["sum"] + grad * grad
    return weight - rates["lr"] * (grad / (total.sqrt() + rates["eps"])), {"sum": total}


ADAGRAD = LaneRule(
    update=_adagrad,
    numbers=("lr", "lr_decay", "eps", "weight_decay"),
    flags=("weight_decay", "maximize"),
    ignored=(*IMPLEMENTATION, "initial_accumulator_value"),  # the optimizer begins with such a state
    rates=_adagrad_rates,
    state=_adagrad_state,
    counted=step_count,
)


def _adadelta_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"square_avg": torch.zeros_like(weight), "acc_delta": torch.zeros_like(weight)}


def _adadelta_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    return {**numbers, "new": 1 - numbers["rho"]}


def _adadelta(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    grad = direction(weight, grad, rates, flags)
    square = rates["rho"] * state["square_avg"] + rates["new"] * (grad * grad)
    change = (state["acc_delta"] + rates["eps"]).sqrt() / (square + rates["eps"]).sqrt() * grad
    changes = rates["rho"] * state["acc_delta"] + rates["new"] * (change * change)
    return weight - rates["lr"] * change, {"square_avg": square, "acc_delta": changes}


ADADELTA = LaneRule(
    update=_adadelta,
    numbers=("lr", "rho", "eps", "weight_decay"),
    flags=("weight_decay", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_adadelta_rates,
    state=_adadelta_state,
    counted=step_count,
)


def _rprop_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"prev": torch.zeros_like(weight), "step_size": torch.zeros_like(weight)}


def _rprop_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    (shorter, longer), (least, most) = numbers["etas"], numbers["step_sizes"]
    first = (step == 1).to(step.dtype)
    return {
        "lr": numbers["lr"],
        "first": first,
        "shorter": shorter,
        "longer": longer,
        "least": least,
        "most": most,
    }


def _rprop(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Step by a length that grows while the sign of the gradient stays; after a change of sign, wait."""
    grad = -grad if flags["maximize"] else grad
    agreement = grad * state["prev"]
    factor = torch.where(agreement > 0, rates["longer"], torch.where(agreement < 0, rates["shorter"], 1.0))
    length = torch.where(rates["first"] > 0, rates["lr"], state["step_size"]) * factor
    length = torch.minimum(torch.maximum(length, rates["least"]), rates["most"])
    grad = torch.where(agreement < 0, 0.0, grad)
    return weight - grad.sign() * length, {"prev": grad, "step_size": length}


RPROP = LaneRule(
    update=_rprop,
    numbers=("lr", "etas", "step_sizes"),
    flags=("maximize",),
    ignored=IMPLEMENTATION,
    rates=_rprop_rates,
    state=_rprop_state,
    counted=step_count,
)
