"""What the rules of several optimizers share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")
"""Settings of ``torch.optim`` that choose an implementation of the same update."""


def step_count(updates: int) -> dict[str, Tensor]:
    """Return the count of updates that most optimizers of ``torch.optim`` keep for each weight.

    Args:
        updates: The number of updates made.
    """
    return {"step": scalar(updates)}


def scalar(value: float) -> Tensor:
    """Return a number in the precision in which ``torch.optim`` keeps such state.

    Args:
        value: The number.
    """
    wide = torch.get_default_dtype() == torch.float64
    return torch.tensor(float(value), dtype=torch.float64 if wide else torch.float32)


def direction(weight: Tensor, grad: Tensor, rates: Mapping[str, Tensor], flags: Mapping[str, Any]) -> Tensor:
    """Return the gradient, negated if it is maximised, with weight decay as an L2 penalty.

    Args:
        weight: The weight.
        grad: Its gradient.
        rates: The rates, with ``weight_decay``.
        flags: The flags, with ``maximize`` and ``weight_decay``.
    """
    grad = -grad if flags["maximize"] else grad
    return grad + rates["weight_decay"] * weight if flags["weight_decay"] else grad


def lerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return ``start + share (end - start)``.

    Args:
        start: A tensor.
        end: A tensor of the same shape.
        share: A tensor of no dimension.
    """
    return start + share * (end - start)
