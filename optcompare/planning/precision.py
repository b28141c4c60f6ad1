"""Note the effects of a comparison's dtype on data and modules that were made in another dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..interfaces.data import is_tensors
from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

_LOST = 1e-4
"""The rounding error, relative to a column's standard deviation, from which a note is made."""
_MOST_ROWS = 2**16


def precision_notes(workload: Workload, dtype: torch.dtype) -> list[str]:
    """Note values whose differences the dtype does not hold, and a default dtype of torch other than float32.

    Args:
        workload: Up to 65,536 rows of its tensors are read; samples of a Dataset are not.
        dtype: The dtype of data and weights.

    Returns:
        A sentence each.
    """
    notes = []
    default = torch.get_default_dtype()
    if default != torch.float32:
        kind = str(default).removeprefix("torch.")
        notes.append(
            f"torch's default dtype is {kind} here, and model() is called under float32, so that its random "
            "weights are others than a script of yours would begin with"
        )
    if dtype != torch.float64:
        for name, data in workload.sets.items():
            if is_tensors(data):
                notes += _of_parts(name, data, workload.columns)
    return notes


def _of_parts(name: str, data: Any, columns: tuple[str, ...]) -> list[str]:
    """Note the column of each float64 tensor that rounding to float32 harms most, if it does."""
    named = dict(data) if isinstance(data, Mapping) else dict(enumerate(data))
    notes = []
    for key, part in named.items():
        if not (isinstance(part, torch.Tensor) and part.dtype == torch.float64 and part.numel()):
            continue
        worst, column = _most_lost(part)
        if worst > _LOST:
            what = (
                f"'{columns[column]}'"
                if key == 0 and column < len(columns)
                else f"column {column} of part {key}"
            )
            value = part.reshape(len(part), -1)[0, column].item()
            notes.append(
                f"{name}: float32 rounds {what}, with values such as {value:.10g}, by {worst:.1g} of its "
                "standard deviation; subtract what is common to all, or give --dtype float64"
            )
    return notes


def _most_lost(part: Tensor) -> tuple[float, int]:
    """Return the largest error of rounding, relative to a column's standard deviation, and the column."""
    values = part[:_MOST_ROWS].detach().reshape(min(len(part), _MOST_ROWS), -1)
    error = (values - values.float().double()).abs().amax(0)
    spread = values.std(0, correction=0)
    lost = torch.where(spread > 0, error / spread, 0.0).nan_to_num(0.0)
    column = int(lost.argmax())
    return float(lost[column]), column
