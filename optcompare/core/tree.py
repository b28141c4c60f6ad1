"""Batches of any form: tensors in tuples, lists, mappings and dataclasses, nested as one likes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Tree = Any
"""Tensors in tuples, lists, mappings and dataclasses, nested to any depth; or a single tensor."""
Batch = Tree
"""A tree whose tensors have a row for each sample of a batch."""
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
"""The complex dtype of each real one."""


def map_tensors(
    function: Callable[[Tensor], Any], batch: Any, other: Callable[[Any], Any] = lambda leaf: leaf
) -> Any:
    """The batch with ``function`` of each of its tensors, and ``other`` of whatever else it holds; each
    container is one of the same kind, with everything else that it carries.
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if type(batch) is dict:
        return {key: map_tensors(function, value, other) for key, value in batch.items()}
    if isinstance(batch, MutableMapping):
        made: Any = copy.copy(batch)
        for key, value in batch.items():
            made[key] = map_tensors(function, value, other)
        return made
    if isinstance(batch, Mapping):
        return {key: map_tensors(function, value, other) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence):
        parts = [map_tensors(function, part, other) for part in batch]
        return (
            type(batch)(*parts)
            if hasattr(batch, "_fields")
            else tuple(parts)
            if isinstance(batch, tuple)
            else parts
        )
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        made = copy.copy(batch)
        for field in dataclasses.fields(batch):
            object.__setattr__(made, field.name, map_tensors(function, getattr(batch, field.name), other))
        return made
    return other(batch)


def to_dense(tensor: Tensor) -> Tensor:
    """The tensor itself, or the dense form of a sparse one, such as an embedding's gradient."""
    return tensor.to_dense() if tensor.is_sparse else tensor


def tensors(batch: Any) -> list[Tensor]:
    """All tensors of a batch, in its own order."""
    found: list[Tensor] = []
    map_tensors(found.append, batch)
    return found


def replace_tensors(batch: Any, parts: Iterable[Tensor]) -> Any:
    """A batch of the same form with these tensors in place of its own, in the order of :func:`tensors`."""
    following = iter(parts)
    return map_tensors(lambda _: next(following), batch)


def select_rows(batch: Any, rows: slice) -> Any:
    """Some rows of every tensor."""
    return map_tensors(lambda part: part[rows], batch)


def len_batch(batch: Any) -> int:
    """The number of rows of a batch: the length of the first tensor found in it; 0 where there is none."""
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    return next((len(part) for part in tensors(batch) if part.ndim), 0)


def has_equal_lengths(batch: Any) -> bool:
    """Whether every tensor could have a row for each sample."""
    parts = tensors(batch)
    return all(part.ndim for part in parts) and len({len(part) for part in parts}) == 1


def move_batch(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The batch on the device, its floating-point tensors in ``dtype``, complex ones in the complex dtype
    that goes with it; what is no tensor but has ``to`` is moved by that.
    """

    def other(leaf: Any) -> Any:
        if isinstance(leaf, PackedSequence) and leaf.data.is_floating_point():
            leaf = leaf.to(dtype)
        return leaf.to(device) if callable(getattr(leaf, "to", None)) else leaf

    def of_tensor(part: Tensor) -> Tensor:
        return part.to(
            device, dtype if part.is_floating_point() else COMPLEX[dtype] if part.is_complex() else None
        )

    found = map_tensors(of_tensor, batch, other)
    return tuple(found) if isinstance(found, list) else found
