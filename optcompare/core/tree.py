"""Batches of any form: tensors in tuples, lists, mappings and dataclasses, nested to any depth."""

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
    function: Callable[[Tensor], Any], batch: Batch, other: Callable[[Any], Any] = lambda leaf: leaf
) -> Tree:
    """Apply a function to each tensor of a batch.

    Args:
        function: Called with each tensor.
        batch: A tree of tensors.
        other: Called with each leaf that is no tensor; by default it is kept.

    Returns:
        A tree of the same form with the results. Containers have the same type, with their other attributes.
    """
    if isinstance(batch, Tensor):
        return function(batch)
    if type(batch) is dict:
        return {key: map_tensors(function, value, other) for key, value in batch.items()}
    if isinstance(batch, MutableMapping):
        result: Any = copy.copy(batch)
        for key, value in batch.items():
            result[key] = map_tensors(function, value, other)
        return result
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
        result = copy.copy(batch)
        for field in dataclasses.fields(batch):
            object.__setattr__(result, field.name, map_tensors(function, getattr(batch, field.name), other))
        return result
    return other(batch)


def to_dense(tensor: Tensor) -> Tensor:
    """Return the dense form of a sparse tensor, such as an embedding's gradient; a dense one as it is.

    Args:
        tensor: Any tensor.
    """
    return tensor.to_dense() if tensor.is_sparse else tensor


def dense_parts(tensor: Tensor) -> list[Tensor]:
    """Return the dense tensors of which a tensor consists: indices and values of a sparse one, or itself.

    Args:
        tensor: A tensor without a graph, dense or in coordinates (``torch.sparse_coo``). Elements at the
            same place stay apart, as they are in the tensor.
    """
    return [tensor._indices(), tensor._values()] if tensor.is_sparse else [tensor]


def equal_tensors(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors have the same type, shape, layout and values; NaN equals NaN.

    Args:
        one: A tensor, dense or in coordinates.
        other: Another one; sparse ones must have the same indices in the same order.
    """
    if (one.dtype, one.shape, one.layout) != (other.dtype, other.shape, other.layout):
        return False
    return all(
        torch.equal(a, b) or (a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all()))
        for a, b in zip(dense_parts(one), dense_parts(other), strict=True)
    )


def tensors(batch: Batch) -> list[Tensor]:
    """Return all tensors of a batch, in its own order.

    Args:
        batch: A tree of tensors.
    """
    found: list[Tensor] = []
    map_tensors(found.append, batch)
    return found


def replace_tensors(batch: Batch, parts: Iterable[Tensor]) -> Batch:
    """Replace the tensors of a batch.

    Args:
        batch: A tree of tensors.
        parts: The new tensors, in the order of :func:`tensors`.

    Returns:
        A batch of the same form.
    """
    following = iter(parts)
    return map_tensors(lambda _: next(following), batch)


def select_rows(batch: Batch, rows: slice) -> Batch:
    """Select some rows of every tensor of a batch.

    Args:
        batch: A tree of tensors.
        rows: The rows to keep.
    """
    return map_tensors(lambda part: part[rows], batch)


def len_batch(batch: Batch) -> int:
    """Return the number of rows of a batch.

    Args:
        batch: A tree of tensors.

    Returns:
        The length of the first tensor that has a dimension; 0 where there is none.
    """
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    return next((len(part) for part in tensors(batch) if part.ndim), 0)


def has_equal_lengths(batch: Batch) -> bool:
    """Return whether every tensor of a batch could have a row for each sample.

    Args:
        batch: A tree of tensors.
    """
    parts = tensors(batch)
    return all(part.ndim for part in parts) and len({len(part) for part in parts}) == 1


def move_batch(batch: Batch, device: torch.device, dtype: torch.dtype) -> Batch:
    """Move a batch to a device, with its floating-point tensors in a dtype.

    Args:
        batch: A tree of tensors. Leaves that are no tensors but have a method ``to`` are moved by it.
        device: The device.
        dtype: The dtype of floating-point tensors; complex ones get the complex dtype of the same precision.

    Returns:
        A batch of the same form; a tuple in place of a list.
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
