"""Lane rules of Adam and its relatives in ``torch.optim``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import IMPLEMENTATION, direction, scalar, step_count

_NUMBERS = ("lr", "betas", "eps", "weight_decay")


def _decayed(
    weight: Tensor, grad: Tensor, rates: Mapping[str, Tensor], flags: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return weight and gradient after weight decay of either kind."""
    if not flags["decoupled_weight_decay"]:
        return weight, direction(weight, grad, rates, flags)
    weight = rates["shrink"] * weight if flags["weight_decay"] else weight
    return weight, -grad if flags["maximize"] else grad


def _shared_rates(numbers: Mapping[str, Any]) -> dict[str, Tensor]:
    beta1, beta2 = numbers["betas"]
    return {
        "beta1": beta1,
        "beta2": beta2,
        "new1": 1 - beta1,
        "new2": 1 - beta2,
        "eps": numbers["eps"],
        "weight_decay": numbers["weight_decay"],
        "shrink": 1 - numbers["lr"] * numbers["weight_decay"],
    }


def _moments(state: dict[str, Tensor], grad: Tensor, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        "exp_avg": rates["beta1"] * state["exp_avg"] + rates["new1"] * grad,
        "exp_avg_sq": rates["beta2"] * state["exp_avg_sq"] + rates["new2"] * (grad * grad),
    }


def _two_moments(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}


def _adam_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    largest = {"max_exp_avg_sq": torch.zeros_like(weight)} if flags["amsgrad"] else {}
    return {**_two_moments(weight, flags), **largest}


def _adam_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    beta1, beta2 = numbers["betas"]
    return {
        **_shared_rates(numbers),
        "step_size": numbers["lr"] / (1 - beta1**step),
        "correction": (1 - beta2**step).rsqrt(),
    }


def _adam(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    weight, grad = _decayed(weight, grad, rates, flags)
    new = _moments(state, grad, rates)
    second = new["exp_avg_sq"]
    if flags["amsgrad"]:
        second = new["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], second)
    denominator = rates["correction"] * second.sqrt() + rates["eps"]
    return weight - rates["step_size"] * (new["exp_avg"] / denominator), new


ADAM = LaneRule(
    update=_adam,
    numbers=_NUMBERS,
    flags=("weight_decay", "decoupled_weight_decay", "amsgrad", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_adam_rates,
    state=_adam_state,
    counted=step_count,
)
"""The rule of Adam and AdamW, which differ in a flag."""


def _adamax_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"exp_avg": torch.zeros_like(weight), "exp_inf": torch.zeros_like(weight)}


def _adamax_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    return {**_shared_rates(numbers), "step_size": numbers["lr"] / (1 - numbers["betas"][0] ** step)}


def _adamax(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    grad = direction(weight, grad, rates, flags)
    average = rates["beta1"] * state["exp_avg"] + rates["new1"] * grad
    largest = torch.maximum(rates["beta2"] * state["exp_inf"], grad.abs() + rates["eps"])
    return weight - rates["step_size"] * (average / largest), {"exp_avg": average, "exp_inf": largest}


ADAMAX = LaneRule(
    update=_adamax,
    numbers=_NUMBERS,
    flags=("weight_decay", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_adamax_rates,
    state=_adamax_state,
    counted=step_count,
)


def _nadam_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"mu_product": scalar(1), **_two_moments(weight, flags)}


def _nadam_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    beta1, beta2 = numbers["betas"]
    momentum, following = (
        beta1 * (1 - 0.5 * 0.96 ** (count * numbers["momentum_decay"])) for count in (step, step + 1)
    )
    return {
        **_shared_rates(numbers),
        "momentum": momentum,
        "following": following,
        "now": numbers["lr"] * (1 - momentum),
        "then": numbers["lr"] * following,
        "correction": 1 - beta2**step,
    }


def _nadam(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Step along the gradient and the average that the next update's momentum would use."""
    weight, grad = _decayed(weight, grad, rates, flags)
    new = _moments(state, grad, rates)
    kept = state["mu_product"] * rates["momentum"].to(state["mu_product"].dtype)
    product = kept.to(weight.dtype)
    denominator = (new["exp_avg_sq"] / rates["correction"]).sqrt() + rates["eps"]
    weight = weight - (rates["now"] / (1 - product)) * (grad / denominator)
    weight = weight - (rates["then"] / (1 - product * rates["following"])) * (new["exp_avg"] / denominator)
    return weight, {"mu_product": kept, **new}


NADAM = LaneRule(
    update=_nadam,
    numbers=(*_NUMBERS, "momentum_decay"),
    flags=("weight_decay", "decoupled_weight_decay", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_nadam_rates,
    state=_nadam_state,
    counted=step_count,
)


def _radam_rates(numbers: Mapping[str, Any], step: Tensor) -> dict[str, Tensor]:
    """Return the rates; the variance is rectified as soon as enough of it is known (rho > 5)."""
    beta1, beta2 = numbers["betas"]
    correction = 1 - beta2**step
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * step * beta2**step / correction
    rectified = rho > 5
    safe = torch.where(rectified, rho, 6.0)
    rectification = ((safe - 4) * (safe - 2) * most / ((most - 4) * (most - 2) * safe)).sqrt()
    return {
        **_shared_rates(numbers),
        "step_size": numbers["lr"] / (1 - beta1**step),
        "rectified": rectified.to(step.dtype),
        "rectification": correction.sqrt() * torch.where(rectified, rectification, 1.0),
    }


def _radam(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    weight, grad = _decayed(weight, grad, rates, flags)
    new = _moments(state, grad, rates)
    change = rates["step_size"] * new["exp_avg"]
    adapted = change * (rates["rectification"] / (new["exp_avg_sq"].sqrt() + rates["eps"]))
    return weight - torch.where(rates["rectified"] > 0, adapted, change), new


RADAM = LaneRule(
    update=_radam,
    numbers=_NUMBERS,
    flags=("weight_decay", "decoupled_weight_decay", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_radam_rates,
    state=_two_moments,
    counted=step_count,
)
