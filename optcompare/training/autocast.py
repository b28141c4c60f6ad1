"""Run the forward passes of a workload in a dtype of lower precision."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import nn

_DTYPES = {"bfloat16": torch.bfloat16}


def in_autocast(workload: Workload, device: torch.device, name: str | None) -> Workload:
    """Return the workload with its forward passes under ``torch.autocast``.

    The outputs of the model are converted to float32, so that losses and metrics are summed in full
    precision. A loss inside the model, or an ``objective``, is computed in the dtypes that ``torch.autocast``
    chooses. Backward passes run outside the context, as torch recommends.

    Args:
        workload: Any workload.
        device: The device of its model.
        name: ``bfloat16``; None: the workload is returned unchanged.
    """
    if name is None:
        return workload

    def outcome(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        with torch.autocast(device.type, _DTYPES[name]):
            output, y = workload.outcome(model, batch)
        return _to_float32(output), y

    def objective(model: nn.Module, batch: Any) -> torch.Tensor:
        assert workload.objective is not None
        with torch.autocast(device.type, _DTYPES[name]):
            return workload.objective(model, batch).float()

    if workload.objective is not None:
        return dataclasses.replace(workload, objective=objective)
    return dataclasses.replace(workload, forward=outcome)


def _to_float32(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if type(output) in (tuple, list):
        return tuple(map(_to_float32, output))
    return output
