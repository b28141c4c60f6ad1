"""Lane rules of the optimizers of ``torch.optim`` that treat a weight as a matrix: Adafactor and Muon."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optcompare import LaneRule

from .parts import IMPLEMENTATION, lerp, step_count


def _adafactor_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    if weight.dim() < 2:
        return {"variance": torch.zeros_like(weight)}
    rows, columns = [*weight.shape[:-1], 1], [*weight.shape[:-2], 1, weight.shape[-1]]
    return {"row_var": weight.new_zeros(rows), "col_var": weight.new_zeros(columns)}


def _adafactor_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    return {
        "share": step ** numbers["beta2_decay"],
        "step_size": torch.minimum(numbers["lr"], step**-0.5),
        "shrink": 1 - numbers["lr"] * numbers["weight_decay"],
        "d": numbers["d"],
    }


def _adafactor(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Scale the gradient by a variance that is a product of a row's and a column's, and clip the result."""
    grad = -grad if flags["maximize"] else grad
    eps1, eps2 = flags["eps"]
    eps1 = torch.finfo(weight.dtype).eps if eps1 is None else eps1
    step_size = _root_mean_square(weight).clamp(min=eps2) * rates["step_size"]
    weight = rates["shrink"] * weight if flags["weight_decay"] else weight
    square, share = grad * grad, rates["share"]
    if weight.dim() < 2:
        variance = lerp(state["variance"], square, share)
        new = {"variance": variance}
    else:
        rows = lerp(state["row_var"], square.mean(-1, keepdim=True), share)
        columns = lerp(state["col_var"], square.mean(-2, keepdim=True), share)
        variance = rows * columns / rows.mean(-2, keepdim=True).clamp(min=eps1)
        new = {"row_var": rows, "col_var": columns}
    change = variance.clamp(min=eps1 * eps1).rsqrt() * grad
    excess = (_root_mean_square(change) / rates["d"]).clamp(min=1.0)
    return weight - (step_size / excess) * change, new


def _root_mean_square(values: Tensor) -> Tensor:
    size: Tensor = values.norm()
    return size / math.sqrt(values.numel())


ADAFACTOR = LaneRule(
    update=_adafactor,
    numbers=("lr", "beta2_decay", "weight_decay", "d"),
    flags=("weight_decay", "eps", "maximize"),
    ignored=IMPLEMENTATION,
    rates=_adafactor_rates,
    state=_adafactor_state,
    counted=step_count,
)


def _muon_state(weight: Tensor, flags: Mapping[str, Any]) -> dict[str, Tensor]:
    return {"momentum_buffer": torch.zeros_like(weight)}


def _muon_rates(numbers: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
    return {
        "lr": numbers["lr"],
        "momentum": numbers["momentum"],
        "new": 1 - numbers["momentum"],
        "eps": numbers["eps"],
        "shrink": 1 - numbers["lr"] * numbers["weight_decay"],
    }


def _muon(
    weight: Tensor,
    grad: Tensor,
    state: dict[str, Tensor],
    rates: Mapping[str, Tensor],
    flags: Mapping[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    buffer = lerp(state["momentum_buffer"], grad, rates["new"])
    change = lerp(grad, buffer, rates["momentum"]) if flags["nesterov"] else buffer
    change = _orthogonal(change, flags["ns_coefficients"], flags["ns_steps"], rates["eps"])
    rows, columns = weight.shape
    if flags["adjust_lr_fn"] == "match_rms_adamw":
        ratio = 0.2 * math.sqrt(max(rows, columns))
    else:
        ratio = math.sqrt(max(1, rows / columns))
    weight = rates["shrink"] * weight
    return weight - (rates["lr"] * ratio) * change.to(weight.dtype), {"momentum_buffer": buffer}


def _orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: Tensor) -> Tensor:
    """Return the nearest orthogonal matrix, about, by a Newton-Schulz iteration in bfloat16.

    Operations on bfloat16 are rounded at other places if there are many lanes, or by a compiler. So each is
    computed in float32 and then rounded, which is what torch does for a single matrix.
    """
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    each = _rounded(matrix if wide else matrix.T)
    each = _rounded(each / torch.maximum(_rounded(each.norm()), _rounded(eps)))
    for _ in range(steps):
        gram = _rounded(each @ each.T)
        polynomial = _rounded(b * gram + c * (gram @ gram))
        each = _rounded(a * each + polynomial @ each)
    return each if wide else each.T


def _rounded(values: Tensor) -> Tensor:
    """Return values rounded to bfloat16, as float32."""
    return values.bfloat16().float()


MUON = LaneRule(
    update=_muon,
    numbers=("lr", "momentum", "weight_decay", "eps"),
    flags=("nesterov", "ns_coefficients", "ns_steps", "adjust_lr_fn"),
    ignored=IMPLEMENTATION,
    rates=_muon_rates,
    state=_muon_state,
)
