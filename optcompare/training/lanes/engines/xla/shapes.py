"""Shapes, indices and new arrays, for the XLA engine.

Indices are not checked while a program runs: :mod:`.integer_bounds` has shown before that they are in range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import torch
from jax import lax

from .operations import DTYPES, Array, cast, operation

_IN_BOUNDS = "promise_in_bounds"


@operation("view.default", "_unsafe_view.default", "reshape.default")
def _view(x: Array, shape: Sequence[int]) -> Array:
    return x.reshape(shape)


@operation("flatten.using_ints")
def _flatten(x: Array, first: int = 0, last: int = -1) -> Array:
    first, last = first % x.ndim, last % x.ndim
    return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


@operation("expand.default")
def _expand(x: Array, shape: Sequence[int], implicit: bool = False) -> Array:
    new = len(shape) - x.ndim
    return jnp.broadcast_to(x, [x.shape[i - new] if size == -1 else size for i, size in enumerate(shape)])


@operation("permute.default")
def _permute(x: Array, dims: Sequence[int]) -> Array:
    return jnp.transpose(x, [dim % x.ndim for dim in dims])


@operation("transpose.int")
def _transpose(x: Array, one: int, other: int) -> Array:
    return jnp.swapaxes(x, one, other) if x.ndim else x


@operation("t.default")
def _t(x: Array) -> Array:
    return x.T


@operation("unsqueeze.default")
def _unsqueeze(x: Array, dim: int) -> Array:
    return jnp.expand_dims(x, dim)


@operation("squeeze.default", "squeeze.dim", "squeeze.dims")
def _squeeze(x: Array, dims: Any = None) -> Array:
    each = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    return jnp.squeeze(x, tuple(dim % x.ndim for dim in each if x.shape[dim] == 1)) if x.ndim else x


@operation(
    "clone.default", "detach.default", "alias.default", "lift_fresh_copy.default", "contiguous.default"
)
def _same(x: Array, **options: Any) -> Array:
    return x


@operation("_to_copy.default", "to.dtype")
def _to_copy(x: Any, dtype: torch.dtype | None = None, *more: Any, **options: Any) -> Array:
    return cast(jnp.asarray(x), dtype)


@operation("select.int")
def _select(x: Array, dim: int, index: int) -> Array:
    return lax.index_in_dim(x, index, dim, keepdims=False)


@operation("slice.Tensor")
def _slice(x: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    first, last, _ = slice(start, end).indices(x.shape[dim])
    return lax.slice_in_dim(x, first, max(first, last), step, axis=dim)


@operation("slice_scatter.default")
def _slice_scatter(
    x: Array, values: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    first, last, _ = slice(start, end).indices(x.shape[dim])
    return x.at[(slice(None),) * (dim % x.ndim) + (slice(first, last, step),)].set(values)


@operation("select_scatter.default")
def _select_scatter(x: Array, values: Array, dim: int, index: int) -> Array:
    return x.at[(slice(None),) * (dim % x.ndim) + (index,)].set(values)


@operation("narrow.default")
def _narrow(x: Array, dim: int, start: int, length: int) -> Array:
    return lax.slice_in_dim(x, start, start + length, axis=dim)


@operation("cat.default")
def _cat(arrays: Sequence[Array], dim: int = 0) -> Array:
    return jnp.concatenate([each for each in arrays if each.shape != (0,)], axis=dim)


@operation("stack.default")
def _stack(arrays: Sequence[Array], dim: int = 0) -> Array:
    return jnp.stack(arrays, axis=dim)


@operation("unbind.int")
def _unbind(x: Array, dim: int = 0) -> list[Array]:
    return [lax.index_in_dim(x, number, dim, keepdims=False) for number in range(x.shape[dim])]


@operation("split.Tensor")
def _split(x: Array, size: int, dim: int = 0) -> list[Array]:
    ends = range(0, x.shape[dim], size)
    return [lax.slice_in_dim(x, at, min(at + size, x.shape[dim]), axis=dim) for at in ends]


@operation("split_with_sizes.default")
def _split_with_sizes(x: Array, sizes: Sequence[int], dim: int = 0) -> list[Array]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [lax.slice_in_dim(x, at, at + size, axis=dim) for at, size in zip(starts, sizes, strict=True)]


@operation("flip.default")
def _flip(x: Array, dims: Sequence[int]) -> Array:
    return jnp.flip(x, tuple(dims))


@operation("repeat.default")
def _repeat(x: Array, repeats: Sequence[int]) -> Array:
    return jnp.tile(x, tuple(repeats))


@operation("constant_pad_nd.default")
def _pad(x: Array, pad: Sequence[int], value: float = 0.0) -> Array:
    pairs = [(0, 0, 0)] * (x.ndim - len(pad) // 2)
    pairs += [(before, after, 0) for before, after in zip(pad[-2::-2], pad[::-2], strict=True)]
    return lax.pad(x, jnp.asarray(value, x.dtype), pairs)


@operation("tril.default")
def _tril(x: Array, diagonal: int = 0) -> Array:
    return jnp.tril(x, diagonal)


@operation("triu.default")
def _triu(x: Array, diagonal: int = 0) -> Array:
    return jnp.triu(x, diagonal)


@operation("diagonal.default")
def _diagonal(x: Array, offset: int = 0, one: int = 0, other: int = 1) -> Array:
    return jnp.diagonal(x, offset, one, other)


@operation("full.default")
def _full(shape: Sequence[int], value: Any, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return jnp.full(shape, value, DTYPES[dtype or torch.tensor(value).dtype])


@operation("full_like.default")
def _full_like(x: Array, value: Any, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return jnp.full(x.shape, value, x.dtype if dtype is None else DTYPES[dtype])


@operation("new_full.default")
def _new_full(
    x: Array, shape: Sequence[int], value: Any, dtype: torch.dtype | None = None, **options: Any
) -> Array:
    return jnp.full(shape, value, x.dtype if dtype is None else DTYPES[dtype])


@operation("copy.default")
def _copy(x: Array, source: Array, non_blocking: bool = False) -> Array:
    return jnp.broadcast_to(source, x.shape).astype(x.dtype)


@operation("empty_permuted.default")
def _empty_permuted(
    shape: Sequence[int], order: Sequence[int], dtype: torch.dtype | None = None, **options: Any
) -> Array:
    return _constant(0, shape, None, dtype)


@operation("empty.memory_format", "empty_like.default", "new_empty.default")
@operation("zeros_like.default", "new_zeros.default", "zeros.default")
def _zeros(like: Any, shape: Any = None, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return _constant(0, like, shape, dtype)


@operation("ones_like.default", "new_ones.default", "ones.default")
def _ones(like: Any, shape: Any = None, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return _constant(1, like, shape, dtype)


def _constant(value: int, like: Any, shape: Any, dtype: torch.dtype | None) -> Array:
    """Return an array of one value, of a shape or of the form of another array."""
    if isinstance(like, (list, tuple)):
        return jnp.full(like, value, DTYPES[dtype or torch.get_default_dtype()])
    return jnp.full(like.shape if shape is None else shape, value, DTYPES[dtype] if dtype else like.dtype)


@operation("scalar_tensor.default")
def _scalar_tensor(value: Any, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return jnp.asarray(value, DTYPES[dtype or torch.get_default_dtype()])


@operation("arange.default", "arange.start", "arange.start_step")
def _arange(*numbers: Any, dtype: torch.dtype | None = None, **options: Any) -> Array:
    return jnp.asarray(torch.arange(*numbers, dtype=dtype).numpy())


@operation("index.Tensor")
def _index(x: Array, indices: Sequence[Array | None]) -> Array:
    at = tuple(slice(None) if index is None else index for index in indices)
    return x.at[at].get(mode=_IN_BOUNDS)


@operation("index_put.default")
def _index_put(x: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False) -> Array:
    at = x.at[tuple(slice(None) if index is None else index for index in indices)]
    return at.add(values, mode=_IN_BOUNDS) if accumulate else at.set(values, mode=_IN_BOUNDS)


@operation("index_select.default")
def _index_select(x: Array, dim: int, index: Array) -> Array:
    return jnp.take(x, index, axis=dim, mode="clip")


@operation("embedding.default")
def _embedding(weight: Array, index: Array, *options: Any, **more: Any) -> Array:
    return weight.at[index].get(mode=_IN_BOUNDS)


@operation("gather.default")
def _gather(x: Array, dim: int, index: Array, sparse_grad: bool = False) -> Array:
    x = x[tuple(slice(None if axis == dim % x.ndim else size) for axis, size in enumerate(index.shape))]
    if index.shape[dim] == 1 and x.shape[dim] <= _FEW:
        return jnp.sum(jnp.where(_at(x, dim, index), x, 0), axis=dim, keepdims=True, dtype=x.dtype)
    return jnp.take_along_axis(x, index, axis=dim, mode=_IN_BOUNDS)


@operation("scatter.value", "scatter.src")
def _scatter(x: Array, dim: int, index: Array, values: Any) -> Array:
    values = jnp.asarray(values, x.dtype)
    values = values[tuple(map(slice, index.shape))] if values.ndim else values
    single = [1 if axis == dim % x.ndim else size for axis, size in enumerate(x.shape)]
    if list(index.shape) == single and x.shape[dim] <= _FEW:
        return jnp.where(_at(x, dim, index), values, x)
    return x.at[_places(dim, index)].set(values, mode=_IN_BOUNDS)


@operation("scatter_add.default")
def _scatter_add(x: Array, dim: int, index: Array, values: Array) -> Array:
    values = values[tuple(map(slice, index.shape))]
    return x.at[_places(dim, index)].add(values, mode=_IN_BOUNDS)


def _places(dim: int, index: Array) -> tuple[Array, ...]:
    """Return the indices of all dimensions for an index along one."""
    grid = list(jnp.meshgrid(*map(jnp.arange, index.shape), indexing="ij", sparse=True))
    grid[dim] = index
    return tuple(grid)


_FEW = 256
"""Up to this size of a dimension, one of its elements is selected by a comparison, which vectorizes."""


def _at(x: Array, dim: int, index: Array) -> Array:
    """Return where an array is at an index [..., 1, ...] along a dimension."""
    shape = [1] * x.ndim
    shape[dim] = x.shape[dim]
    return jnp.arange(x.shape[dim], dtype=index.dtype).reshape(shape) == index
