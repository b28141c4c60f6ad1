"""Explain errors of torch about dtypes or devices that do not match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..core.tree import tensors
from ..errors import explain

if TYPE_CHECKING:
    from torch import nn


def explain_with_kinds(error: BaseException, model: nn.Module, batch: Any) -> str:
    """Return an error as one line, with the dtypes and devices involved where torch found a mismatch.

    Args:
        error: The exception to explain.
        model: The model that raised it.
        batch: The batch that the model received.
    """
    return explain(error) + (_describe_kinds(model, batch) if _is_mismatch(error) else "")


def _is_mismatch(error: BaseException) -> bool:
    """Return whether torch reports dtypes or devices that do not match."""
    return isinstance(error, (RuntimeError, TypeError)) and any(
        word in str(error) for word in ("dtype", "scalar type", "same device", "result type", "expected type")
    )


def _describe_kinds(model: nn.Module, batch: Any) -> str:
    """Describe the dtypes and devices of data and weights, and tensors that do not move with the model."""
    data = ", ".join(_kind(part) for part in tensors(batch))
    weights = ", ".join(dict.fromkeys(_kind(weight) for weight in model.parameters()))
    plain = [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor)
    ]
    register = (
        f"; {', '.join(plain)} does not move with the model: make it a buffer, with register_buffer"
        if plain
        else ""
    )
    return f"; the data's tensors are {data}, the weights {weights}{register}"


def _kind(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} on {tensor.device.type}".removeprefix("torch.")
