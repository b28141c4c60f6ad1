"""Forward passes in a coarser dtype, for any workload."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import nn

_DTYPES = {"bfloat16": torch.bfloat16}


def in_autocast(workload: Workload, device: torch.device, name: str | None) -> Workload:
    """The workload with its forward passes under ``torch.autocast``; itself where ``name`` is None.

    What the model returns comes back in float32, so that losses and metrics are summed in full precision; a
    loss inside the model, or an ``objective``, is computed as ``torch.autocast`` has it. Backward passes run
    outside, as torch advises.
    """
    if name is None:
        return workload

    def outcome(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        with torch.autocast(device.type, _DTYPES[name]):
            output, y = workload.outcome(model, batch)
        return _widened(output), y

    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        assert workload.objective is not None
        with torch.autocast(device.type, _DTYPES[name]):
            return workload.objective(model, batch).float()

    if workload.objective is not None:
        return dataclasses.replace(workload, objective=objective)
    return dataclasses.replace(workload, forward=outcome)


def _widened(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if type(output) in (tuple, list):
        return tuple(map(_widened, output))
    return output
