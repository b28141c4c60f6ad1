"""Lane rule of ``pytorch_optimizer.Lion``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import lerp


def _state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"exp_avg": torch.zeros_like(weight)}


def _rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    beta1, beta2 = numbers["betas"]
    decay, lr = numbers["weight_decay"], numbers["lr"]
    return {
        "lr": lr,
        "new1": 1 - beta1,
        "new2": 1 - beta2,
        "weight_decay": decay,
        "shrink": 1 - decay * lr,
        "fixed_shrink": 1 - decay,
    }


def _advance(
    memory: Mapping[str, Tensor], rates: Mapping[str, Tensor], flags: Mapping[str, Any]
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    return {"step": memory["step"] + 1}, {}


def _update(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Step by the sign of the gradient's average, as it would be with more of the newest gradient."""
    grad = -grad if flags["maximize"] else grad
    if flags["weight_decay"] and flags["weight_decouple"]:
        weight = weight * (rates["fixed_shrink"] if flags["fixed_decay"] else rates["shrink"])
    elif flags["weight_decay"]:
        grad = grad + rates["weight_decay"] * weight
    change = lerp(state["exp_avg"], grad, rates["new1"]).sign()
    return weight - rates["lr"] * change, {"exp_avg": lerp(state["exp_avg"], grad, rates["new2"])}


LION = LaneRule(
    update=_update,
    numbers=("lr", "betas", "weight_decay"),
    flags=("weight_decay", "weight_decouple", "fixed_decay", "maximize"),
    ignored=("foreach",),
    rates=_rates,
    state=_state,
    memory={"step": 0},
    advance=_advance,
)
