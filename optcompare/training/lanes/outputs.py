"""The loss and the metrics of a batch as the outputs of one module, so that they can be vectorized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(nn.Module):
    """Return the mean loss of a batch, then each metric's sum and weight.

    Args:
        model: The model.
        workload: The workload with the loss and the metrics.
    """

    def __init__(self, model: nn.Module, workload: Workload) -> None:
        super().__init__()
        self.model, self._workload = model, workload

    def forward(self, batch: Any) -> list[Tensor]:
        loss, output, y = self._workload.loss_and_output(self.model, batch)
        parts: list[Any] = []
        for metric in self._workload.metric_functions.values():
            parts += metric(output, y)
        return [loss, *(torch.as_tensor(part, device=loss.device) for part in parts)]
