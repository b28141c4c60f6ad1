"""Errors of dtypes and devices that do not go together, explained by those that met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..core.tree import tensors
from ..errors import explain

if TYPE_CHECKING:
    from torch import nn


def explain_with_kinds(error: BaseException, model: nn.Module, batch: Any) -> str:
    """The error as one line; of dtypes or devices that do not go together, with those that met."""
    return explain(error) + (_kinds_of(model, batch) if _is_mismatch(error) else "")


def _is_mismatch(error: BaseException) -> bool:
    """Whether torch complains of dtypes or devices that do not go together."""
    return isinstance(error, (RuntimeError, TypeError)) and any(
        word in str(error) for word in ("dtype", "scalar type", "same device", "result type", "expected type")
    )


def _kinds_of(model: nn.Module, batch: Any) -> str:
    """The dtypes and devices that met, and those tensors of a model that nobody moves along with it."""
    data = ", ".join(_kind(part) for part in tensors(batch))
    weights = ", ".join(dict.fromkeys(_kind(weight) for weight in model.parameters()))
    lost = [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor)
    ]
    register = (
        f"; {', '.join(lost)} stays where and as it is: make it a buffer, with register_buffer"
        if lost
        else ""
    )
    return f"; the data's tensors are {data}, the weights {weights}{register}"


def _kind(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} on {tensor.device.type}".removeprefix("torch.")
