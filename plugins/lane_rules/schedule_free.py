"""Lane rules of ``schedulefree``, whose optimizers are measured at an average of their weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import lerp

_MEMORY = {"k": 0, "weight_sum": 0.0, "lr_max": -1.0, "scheduled_lr": 0.0}
_NUMBERS = ("lr", "weight_decay", "warmup_steps", "r", "weight_lr_power")
_IGNORED = ("foreach", "train_mode")


def _warmed(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    """Return the learning rate after the warm-up's factor, and the rates that both optimizers need."""
    steps = numbers["warmup_steps"]
    factor = torch.where(step <= steps, step / steps.clamp(min=1), 1.0)
    return {
        "lr": numbers["lr"] * factor,
        "weight_decay": numbers["weight_decay"],
        "power": numbers["weight_lr_power"],
        "counted": step ** numbers["r"],
    }


def _advance(
    memory: Mapping[str, Tensor], rates: Mapping[str, Tensor], flags: Mapping[str, Any]
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Return the share of the newest point in the average, whose weight is a power of the largest rate."""
    wide = memory["weight_sum"].dtype
    lr = rates["lr"].to(wide)
    largest = torch.maximum(lr, memory["lr_max"])
    weight = rates["counted"].to(wide) * largest ** rates["power"].to(wide)
    total = memory["weight_sum"] + weight
    share = torch.where(total == 0, 0.0, weight / torch.where(total == 0, 1.0, total))
    new = {"k": memory["k"] + 1, "weight_sum": total, "lr_max": largest, "scheduled_lr": lr}
    return new, {"share": share, "along": lr * (rates["momentum"].to(wide) * (1 - share) - 1)}


def _moved(
    weight: Tensor, change: Tensor, state: Mapping[str, Tensor], rates: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the weight y, between the average x and the point z, and z itself."""
    new = lerp(weight, state["z"], rates["share"]) + rates["along"] * change
    return new, state["z"] - rates["lr"] * change


def _sgd_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"z": weight.clone()}


def _sgd_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    return {**_warmed(numbers, step), "momentum": numbers["momentum"]}


def _sgd(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    change = grad + rates["weight_decay"] * weight if flags["weight_decay"] else grad
    new, z = _moved(weight, change, state, rates)
    return new, {"z": z}


def _sgd_evaluated(
    weight: Tensor, state: Mapping[str, Tensor], numbers: Mapping[str, Any], flags: Mapping[str, Any]
) -> Tensor:
    return lerp(weight, state["z"], 1 - 1 / numbers["momentum"])


SGD = LaneRule(
    update=_sgd,
    numbers=(*_NUMBERS, "momentum"),
    flags=("weight_decay",),
    ignored=_IGNORED,
    rates=_sgd_rates,
    state=_sgd_state,
    memory=_MEMORY,
    advance=_advance,
    evaluated=_sgd_evaluated,
)
"""The rule of SGDScheduleFree."""


def _adamw_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"z": weight.clone(), "exp_avg_sq": torch.zeros_like(weight)}


def _adamw_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    beta1, beta2 = numbers["betas"]
    return {
        **_warmed(numbers, step),
        "momentum": beta1,
        "beta2": beta2,
        "new2": 1 - beta2,
        "correction": 1 - beta2**step,
        "eps": numbers["eps"],
    }


def _adamw(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    second = rates["beta2"] * state["exp_avg_sq"] + rates["new2"] * (grad * grad)
    change = grad / ((second / rates["correction"]).sqrt() + rates["eps"])
    change = change + rates["weight_decay"] * weight if flags["weight_decay"] else change
    new, z = _moved(weight, change, state, rates)
    return new, {"z": z, "exp_avg_sq": second}


def _adamw_evaluated(
    weight: Tensor, state: Mapping[str, Tensor], numbers: Mapping[str, Any], flags: Mapping[str, Any]
) -> Tensor:
    return lerp(weight, state["z"], 1 - 1 / numbers["betas"][0])


ADAMW = LaneRule(
    update=_adamw,
    numbers=(*_NUMBERS, "betas", "eps"),
    flags=("weight_decay",),
    ignored=_IGNORED,
    rates=_adamw_rates,
    state=_adamw_state,
    memory=_MEMORY,
    advance=_advance,
    evaluated=_adamw_evaluated,
)
"""The rule of AdamWScheduleFree."""
