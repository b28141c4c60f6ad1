"""Arithmetic, comparisons, products of matrices and reductions, for the XLA engine."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import lax

from .operations import Array, Operation, axes_of, cast, is_floating, operation, promoted


def _floating(value: Array) -> Array:
    return value if is_floating(value) else cast(value, torch.get_default_dtype())


def _unary(name: str, function: Operation, *, floating: bool = True) -> None:
    operation(f"{name}.default")(lambda x: function(_floating(x) if floating else x))


def _binary(name: str, function: Operation, *, floating: bool = False) -> None:
    @operation(f"{name}.Tensor", f"{name}.Scalar", f"{name}.Tensor_Tensor", f"{name}.default")
    def both(a: Any, b: Any) -> Array:
        return function(*promoted(a, b, floating=floating))


_OF_ANY: dict[str, Operation] = {
    "neg": jnp.negative,
    "abs": jnp.abs,
    "sign": lambda x: jnp.where(jnp.isnan(x), jnp.zeros_like(x), jnp.sign(x)),
    "sgn": lambda x: jnp.where(jnp.isnan(x), jnp.zeros_like(x), jnp.sign(x)),
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "trunc": jnp.trunc,
    "relu": lambda x: jnp.maximum(x, 0),
    "bitwise_not": jnp.bitwise_not,
    "logical_not": jnp.logical_not,
    "isnan": jnp.isnan,
    "isinf": jnp.isinf,
}
_OF_FLOATING: dict[str, Operation] = {
    "sqrt": jnp.sqrt,
    "rsqrt": lambda x: 1 / jnp.sqrt(x),
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log2": jnp.log2,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "sigmoid": jax.nn.sigmoid,
    "reciprocal": lambda x: 1 / x,
    "lgamma": lax.lgamma,
}
_OF_TWO: dict[str, Operation] = {
    "mul": jnp.multiply,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "fmod": lambda a, b: lax.rem(*jnp.broadcast_arrays(a, b)),
    "remainder": jnp.remainder,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "bitwise_and": jnp.bitwise_and,
    "bitwise_or": jnp.bitwise_or,
    "bitwise_xor": jnp.bitwise_xor,
    "bitwise_left_shift": jnp.left_shift,
    "bitwise_right_shift": jnp.right_shift,
    "__and__": jnp.bitwise_and,
    "__or__": jnp.bitwise_or,
    "__xor__": jnp.bitwise_xor,
    "__lshift__": jnp.left_shift,
    "__rshift__": jnp.right_shift,
    "logical_and": jnp.logical_and,
    "logical_or": jnp.logical_or,
    "logical_xor": jnp.logical_xor,
}
for _name, _function in _OF_ANY.items():
    _unary(_name, _function, floating=False)
for _name, _function in _OF_FLOATING.items():
    _unary(_name, _function)
for _name, _function in _OF_TWO.items():
    _binary(_name, _function)
_binary("atan2", jnp.arctan2, floating=True)


@operation("div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode", "true_divide.Tensor")
def _div(a: Any, b: Any, rounding_mode: str | None = None) -> Array:
    a, b = promoted(a, b, floating=rounding_mode is None)
    if rounding_mode == "floor":
        return jnp.floor_divide(a, b)
    quotient = a / b if rounding_mode is None or jnp.issubdtype(a.dtype, jnp.floating) else lax.div(a, b)
    return quotient if rounding_mode is None else jnp.trunc(quotient)


@operation("add.Tensor", "add.Scalar")
def _add(a: Any, b: Any, alpha: float = 1) -> Array:
    a, b = promoted(a, b)
    return a + b if alpha == 1 else a + b * alpha


@operation("sub.Tensor", "sub.Scalar")
def _sub(a: Any, b: Any, alpha: float = 1) -> Array:
    a, b = promoted(a, b)
    return a - b if alpha == 1 else a - b * alpha


@operation("rsub.Tensor", "rsub.Scalar")
def _rsub(a: Any, b: Any, alpha: float = 1) -> Array:
    return _sub(b, a, alpha)


_POWERS: dict[float, Operation] = {
    0.5: jnp.sqrt,
    -0.5: lambda x: 1 / jnp.sqrt(x),
    2: lambda x: x * x,
    3: lambda x: x * x * x,
}


@operation("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def _pow(a: Any, b: Any) -> Array:
    if isinstance(b, (int, float)) and b in _POWERS:
        return _POWERS[b](promoted(a, b)[0])
    return jnp.power(*promoted(a, b))


@operation("clamp.default", "clamp.Tensor")
def _clamp(x: Array, low: Any = None, high: Any = None) -> Array:
    for bound, function in ((low, jnp.maximum), (high, jnp.minimum)):
        x = x if bound is None else function(*promoted(x, bound))
    return x


@operation("clamp_min.default")
def _clamp_min(x: Array, low: Any) -> Array:
    return _clamp(x, low)


@operation("clamp_max.default")
def _clamp_max(x: Array, high: Any) -> Array:
    return _clamp(x, None, high)


@operation("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(condition: Array, a: Any, b: Any) -> Array:
    return jnp.where(condition, *promoted(a, b))


@operation("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(x: Array, mask: Array, value: Any) -> Array:
    return jnp.where(mask, jnp.asarray(value, x.dtype), x)


@operation("lerp.Tensor", "lerp.Scalar")
def _lerp(a: Array, b: Array, weight: Any) -> Array:
    return jnp.where(jnp.abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - weight))


@operation("bmm.default", "mm.default", "mv.default", "dot.default", "matmul.default")
def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


@operation("_log_softmax.default")
def _log_softmax(x: Array, dim: int, half_to_float: bool) -> Array:
    shifted = x - lax.stop_gradient(jnp.max(x, axis=dim, keepdims=True))
    return shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis=dim, keepdims=True))


@operation("_softmax.default")
def _softmax(x: Array, dim: int, half_to_float: bool) -> Array:
    exp = jnp.exp(x - jnp.max(x, axis=dim, keepdims=True))
    return exp / jnp.sum(exp, axis=dim, keepdims=True)


@operation("threshold_backward.default")
def _threshold_backward(grad: Array, x: Array, threshold: float) -> Array:
    return jnp.where(x <= threshold, jnp.zeros_like(grad), grad)


@operation("sum.default", "sum.dim_IntList")
def _sum(x: Array, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Array:
    dtype = torch.int64 if dtype is None and not is_floating(x) else dtype
    return jnp.sum(cast(x, dtype), axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("mean.default", "mean.dim")
def _mean(x: Array, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Array:
    axes = axes_of(dim, x.ndim)
    total = jnp.sum(cast(x, dtype), axis=axes, keepdims=keepdim)
    return total / math.prod(x.shape[axis] for axis in axes)


@operation("amax.default")
def _amax(x: Array, dim: Any = (), keepdim: bool = False) -> Array:
    return jnp.max(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("amin.default")
def _amin(x: Array, dim: Any = (), keepdim: bool = False) -> Array:
    return jnp.min(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("max.dim")
def _max(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    return jnp.max(x, axis=dim, keepdims=keepdim), jnp.argmax(x, axis=dim, keepdims=keepdim)


@operation("min.dim")
def _min(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    return jnp.min(x, axis=dim, keepdims=keepdim), jnp.argmin(x, axis=dim, keepdims=keepdim)


@operation("argmax.default")
def _argmax(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return jnp.argmax(x, axis=dim, keepdims=keepdim)


@operation("argmin.default")
def _argmin(x: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    return jnp.argmin(x, axis=dim, keepdims=keepdim)


@operation("any.default", "any.dim", "any.dims")
def _any(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    return jnp.any(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("all.default", "all.dim", "all.dims")
def _all(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    return jnp.all(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("prod.default", "prod.dim_int")
def _prod(x: Array, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Array:
    return jnp.prod(cast(x, dtype), axis=axes_of(dim, x.ndim), keepdims=keepdim)


@operation("cumsum.default")
def _cumsum(x: Array, dim: int, dtype: torch.dtype | None = None) -> Array:
    return jnp.cumsum(cast(x, dtype), axis=dim)


@operation("var_mean.correction")
def _var_mean(x: Array, dim: Any = None, correction: float = 1, keepdim: bool = False) -> tuple[Array, Array]:
    mean = jnp.mean(x, axis=axes_of(dim, x.ndim), keepdims=keepdim)
    return _var(x, dim, correction=correction, keepdim=keepdim), mean


@operation("var.correction")
def _var(x: Array, dim: Any = None, correction: float = 1, keepdim: bool = False) -> Array:
    axes = axes_of(dim, x.ndim)
    away = x - jnp.mean(x, axis=axes, keepdims=True)
    count = math.prod(x.shape[axis] for axis in axes)
    return jnp.sum(away * away, axis=axes, keepdims=keepdim) / max(0, count - correction)


@operation("linalg_vector_norm.default")
def _norm(
    x: Array, ord: float = 2, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Array:
    x, axes = cast(x, dtype), axes_of(dim, x.ndim)
    if ord == 2:
        return jnp.sqrt(jnp.sum(x * x, axis=axes, keepdims=keepdim))
    if ord == 1:
        return jnp.sum(jnp.abs(x), axis=axes, keepdims=keepdim)
    if ord == math.inf:
        return jnp.max(jnp.abs(x), axis=axes, keepdims=keepdim)
    raise NotImplementedError(f"the norm of order {ord}")


@operation("softshrink_backward.default", "hardshrink_backward.default")
def _shrink_backward(grad: Array, x: Array, limit: float) -> Array:
    return jnp.where(jnp.abs(x) <= limit, jnp.zeros_like(grad), grad)
