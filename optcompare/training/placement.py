"""Modules on the device of a comparison, in its dtype."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch

from ..core.tree import COMPLEX

if TYPE_CHECKING:
    from torch import Tensor, nn


def main_dtype(model: nn.Module) -> torch.dtype:
    """The real dtype of most of a model's numbers: weights, or buffers where it has no weights."""
    for values in (model.parameters(), model.buffers()):
        counted: Counter[torch.dtype] = Counter()
        for value in values:
            if value.is_floating_point() or value.is_complex():
                size = 1 if torch.nn.parameter.is_lazy(value) else value.numel()
                counted[value.real.dtype if value.is_complex() else value.dtype] += size
        if counted:
            return counted.most_common(1)[0][0]
    return torch.get_default_dtype()


def place(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a model to the device, its weights and buffers in the comparison's dtype; return the model.

    Only the dtype of most of its numbers is changed, and complex numbers stay complex, as ``Module.float()``
    and a plain loop leave them. Parts that the factory made in another dtype than the rest, such as a head in
    float64, stay in it.

    Args:
        model: Any module.
        device: Where it is trained.
        dtype: ``torch.float32`` or ``torch.float64``.
    """
    own = main_dtype(model)

    def placed(value: Tensor) -> Tensor:
        if value.is_complex():
            return value.to(device, COMPLEX[dtype] if value.dtype == COMPLEX.get(own) else None)
        return value.to(device, dtype if value.dtype == own else None)

    model._apply(placed)  # what Module.to calls, with another rule for dtypes
    return model


def cast_note(model: nn.Module, dtype: torch.dtype) -> str | None:
    """Return a note if a model is trained in another dtype than its factory chose; None if not."""
    own = main_dtype(model)
    if own in (dtype, torch.get_default_dtype()):
        return None
    before, after = (str(each).removeprefix("torch.") for each in (own, dtype))
    return f"the model's weights are made in {before} and trained in {after} (--dtype, --autocast)"
