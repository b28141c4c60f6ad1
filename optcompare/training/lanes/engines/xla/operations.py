"""The table of ATen operations that the XLA engine can run, each as a function of jax arrays.

Each function takes what its ATen operation takes, with arrays for tensors, and returns what it returns. An
operation that is missing from the table is split into others with torch's own decompositions; see
:mod:`.interpreter`. The modules of this folder import jax, so they are imported only where it is used.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import torch

Array = Any
"""A jax array, or a tracer of one."""
Operation = Callable[..., Any]

DTYPES: dict[torch.dtype, Any] = {
    torch.float32: jnp.float32,
    torch.float64: jnp.float64,
    torch.float16: jnp.float16,
    torch.bfloat16: jnp.bfloat16,
    torch.int64: jnp.int64,
    torch.int32: jnp.int32,
    torch.int16: jnp.int16,
    torch.int8: jnp.int8,
    torch.uint8: jnp.uint8,
    torch.bool: jnp.bool_,
}
TORCH_DTYPES: dict[Any, torch.dtype] = {jnp.dtype(ours): theirs for theirs, ours in DTYPES.items()}
_WRAPS = platform.machine().lower() in ("x86_64", "amd64")
"""Whether numbers out of range become the smallest integer, of which smaller integers keep the last bits."""
OPERATIONS: dict[str, Operation] = {}
"""The operations, by the names of their overloads, such as ``aten.add.Tensor``."""


def operation(*names: str) -> Callable[[Operation], Operation]:
    """Return a decorator that enters a function into the table.

    Args:
        names: Its overloads, without ``aten.``.
    """

    def enter(function: Operation) -> Operation:
        for name in names:
            OPERATIONS[f"aten.{name}"] = function
        return function

    return enter


def tensor_like(value: Any) -> Any:
    """Return a tensor without values of the shape and dtype of an array; a Python number stays as it is."""
    if isinstance(value, (bool, int, float)):
        return value
    return torch.empty(value.shape, dtype=TORCH_DTYPES[value.dtype], device="meta")


def promoted(*values: Any, floating: bool = False) -> list[Array]:
    """Cast two operands to one dtype by torch's rules of promotion, which jax does not share.

    Args:
        values: Arrays and Python numbers.
        floating: Whether integers become floating-point numbers.
    """
    dtype = torch.result_type(*(tensor_like(value) for value in values))
    if floating and not dtype.is_floating_point:
        dtype = torch.get_default_dtype()
    return [jnp.asarray(value).astype(DTYPES[dtype]) for value in values]


def is_floating(value: Array) -> bool:
    return TORCH_DTYPES[value.dtype].is_floating_point


def cast(value: Array, dtype: torch.dtype | None) -> Array:
    """Return the array in a dtype of torch; None: as it is.

    Numbers that an integer cannot hold become what torch makes of them on this processor.

    Args:
        value: The array.
        dtype: The dtype.
    """
    if dtype is None:
        return value
    if is_floating(value) and not dtype.is_floating_point and dtype != torch.bool and _WRAPS:
        wide = jnp.int32 if dtype == torch.int32 else jnp.int64
        low = -(2.0**31) if dtype == torch.int32 else -(2.0**63)
        fits = (value >= low) & (value < -low)  # false for NaN
        value = jnp.where(fits, value, jnp.asarray(low, value.dtype)).astype(wide)
    return value.astype(DTYPES[dtype])


def axes_of(dims: Any, ndim: int) -> tuple[int, ...]:
    """Return dimensions as numbers from 0; None or none: all."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(ndim))
    each = [dims] if isinstance(dims, int) else dims
    return tuple(dim % max(ndim, 1) for dim in each) if ndim else ()
