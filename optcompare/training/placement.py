"""Move modules to the device of a comparison, in its dtype."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch

from ..core.tree import COMPLEX

if TYPE_CHECKING:
    from torch import Tensor, nn


def main_dtype(model: nn.Module) -> torch.dtype:
    """Return the real dtype of most numbers in a model's weights, or in its buffers if it has no weights."""
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

    Only tensors of the model's main dtype are cast; complex tensors stay complex, as with
    ``Module.float()``. Parts that the factory made in another dtype, such as a head in float64, keep it.

    Args:
        model: Any module.
        device: The device on which the model is trained.
        dtype: ``torch.float32`` or ``torch.float64``.
    """
    own = main_dtype(model)

    def placed(value: Tensor) -> Tensor:
        if value.is_complex():
            return value.to(device, COMPLEX[dtype] if value.dtype == COMPLEX.get(own) else None)
        return value.to(device, dtype if value.dtype == own else None)

    model._apply(placed)  # Module.to calls this, with another rule for dtypes
    return model


def cast_note(model: nn.Module, dtype: torch.dtype) -> str | None:
    """Return a note if a model is trained in a dtype other than its factory chose; None if not."""
    own = main_dtype(model)
    if own in (dtype, torch.get_default_dtype()):
        return None
    before, after = (str(each).removeprefix("torch.") for each in (own, dtype))
    return f"the model's weights are made in {before} and trained in {after} (--dtype, --autocast)"
