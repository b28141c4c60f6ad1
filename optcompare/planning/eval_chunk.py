"""Choose the rows of one forward pass of evaluation so that its intermediate results stay small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..core.rng import preserved_rng
from ..core.tree import move_batch, tensors
from ..errors import USER_CODE_ERRORS
from ..interfaces.data import rows
from ..interfaces.workload import Workload
from ..training.data import FEWEST_ROWS_A_PASS, first_rows
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation import evaluate_batch, evaluating
from ..training.measurement.recalibration import updating
from ..training.own_loss import with_own_loss
from ..training.placement import place

MOST_BYTES = 2**22
"""The most that one intermediate result takes.

Larger blocks are given back to the system and fetched anew in each pass, which can take longer than to
compute with them, and they do not stay in the cache.
"""
_FEW, _MORE = 2, 6
"""Rows of the two passes that show by how much results grow."""


class _Allocations(TorchDispatchMode):
    """Record the bytes of each new result, in order."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: list[int] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_address(part) for part in tensors([args, kwargs or {}])}
        new = [part for part in tensors(result) if part.layout == torch.strided]
        self.bytes += [part.nbytes for part in new if _address(part) not in given]
        return result


def choose_eval_chunk(trainer: LoopTrainer) -> int:
    """Return the rows of one forward pass of evaluation, at most those that the comparison has.

    On a CPU, the largest intermediate result fills at most about :data:`MOST_BYTES`, but a pass has at least
    32 rows. What one operation allocates within is not seen. The number depends on model and data alone,
    since it determines how results are rounded. Models with BatchNorm keep their rows, since running averages
    are recalibrated by passes of as many, and the more the better.

    Args:
        trainer: The loop trainer of the comparison.
    """
    most, workload = trainer.setup.comparison.eval_chunk, trainer.setup.workload
    if trainer.device.type != "cpu" or not workload.in_parts or most <= FEWEST_ROWS_A_PASS:
        return most
    grown = _bytes_a_row(trainer) if rows(workload.train) >= _MORE else 0.0
    while most > FEWEST_ROWS_A_PASS and most * grown > MOST_BYTES:
        most //= 2
    return most


def _bytes_a_row(trainer: LoopTrainer) -> float:
    """Return by how many bytes the largest result grows with a row; 0 where that cannot be seen."""
    workload = with_own_loss(trainer.setup.workload, trainer.device, trainer.dtype)
    try:
        with preserved_rng():
            start = trainer.start(trainer.setup.comparison.seeds[0])
            model = place(start.model(), trainer.device, trainer.dtype)
            if updating(model):
                return 0.0
            few, more = (_allocated(trainer, workload, model, count) for count in (_FEW, _MORE))
    except USER_CODE_ERRORS:
        return 0.0  # What fails is checked and explained later.
    if len(few) != len(more):
        return 0.0
    return max((many - some for some, many in zip(few, more, strict=True)), default=0) / (_MORE - _FEW)


def _allocated(trainer: LoopTrainer, workload: Workload, model: torch.nn.Module, count: int) -> list[int]:
    """Return the bytes of each new result of a pass over the first training rows, in order."""
    batch = first_rows(workload.train, count, workload.collate)
    with evaluating(model), _Allocations() as allocations:
        evaluate_batch(workload, model, move_batch(batch, trainer.device, trainer.dtype))
    return list(allocations.bytes)


def _address(part: torch.Tensor) -> int:
    """Return the address of a tensor's memory, which a view shares with the tensor that it shows."""
    return part.untyped_storage().data_ptr() if part.layout == torch.strided else id(part)
