"""A workload's mean loss as a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .workload import Workload


class MeanLoss(torch.nn.Module):
    """Wrap a workload's mean loss as a module around its model.

    ``torch.func.functional_call`` then replaces the weights, named ``model.…``, in all calls of the workload
    to the model.
    """

    def __init__(self, workload: Workload, model: nn.Module) -> None:
        super().__init__()
        self.model, self._workload = model, workload

    def forward(self, batch: Any) -> Tensor:
        return self._workload.mean_loss(self.model, batch)
