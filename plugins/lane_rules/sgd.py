"""Lane rules of ``torch.optim.SGD`` and ``torch.optim.ASGD``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import IMPLEMENTATION, direction, scalar, step_count


def _sgd_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"momentum_buffer": torch.zeros_like(weight)} if flags["momentum"] else {}


def _sgd_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    undamped = 1 - numbers["dampening"]
    if bool((numbers["dampening"] != 0).any()):
        undamped = torch.where(step == 1, 1.0, undamped)  # the first gradient is not dampened
    return {**{name: numbers[name] for name in ("lr", "momentum", "weight_decay")}, "undamped": undamped}


def _sgd(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    grad = direction(weight, grad, rates, flags)
    if flags["momentum"]:
        added = rates["undamped"] * grad if flags["dampening"] else grad
        buffer = rates["momentum"] * state["momentum_buffer"] + added
        grad = grad + rates["momentum"] * buffer if flags["nesterov"] else buffer
        state = {"momentum_buffer": buffer}
    return weight - rates["lr"] * grad, state


SGD = LaneRule(
    update=_sgd,
    numbers=("lr", "momentum", "dampening", "weight_decay"),
    flags=("momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_sgd_rates,
    state=_sgd_state,
)


def _asgd_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"eta": scalar(0), "mu": scalar(1), "ax": torch.zeros_like(weight)}


def _asgd_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    lr, lambd = numbers["lr"], numbers["lambd"]
    return {
        "lr": lr,
        "lambd": lambd,
        "weight_decay": numbers["weight_decay"],
        "first": (step == 1).to(lr.dtype),
        "next_eta": lr / (1 + lambd * lr * step) ** numbers["alpha"],
        "next_mu": 1 / (step - numbers["t0"]).clamp(min=1),
    }


def _asgd(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Step by the rate that the update before has left, and average the weights from update t0 on."""
    grad = direction(weight, grad, rates, flags)
    kept = state["eta"].dtype
    eta = torch.where(rates["first"] > 0, rates["lr"].to(kept), state["eta"]).to(weight.dtype)
    weight = weight * (1 - rates["lambd"] * eta) - eta * grad
    mu = state["mu"].to(weight.dtype)
    average = torch.where(mu == 1, weight, state["ax"] + mu * (weight - state["ax"]))
    return weight, {"eta": rates["next_eta"].to(kept), "mu": rates["next_mu"].to(kept), "ax": average}


ASGD = LaneRule(
    update=_asgd,
    numbers=("lr", "lambd", "alpha", "t0", "weight_decay"),
    flags=("weight_decay", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_asgd_rates,
    state=_asgd_state,
    counted=step_count,
)
