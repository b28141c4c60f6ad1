"""Convolutions, pooling and interpolation, for the XLA engine.

The convolutions of R lanes are one convolution of R groups. XLA is slow at groups on the CPU, so they are
written as products of matrices here: the windows of the input times the filters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import lax

from .operations import Array, operation


def _windows(x: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """Return all windows of padded inputs, [..., K, *out], for K positions in a window."""
    ndim = len(kernel)
    sizes = x.shape[-ndim:]
    out = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    each = []
    for place in itertools.product(*map(range, kernel)):
        at = tuple(
            slice(p * d, p * d + (o - 1) * s + 1, s)
            for p, d, o, s in zip(place, dilation, out, stride, strict=True)
        )
        each.append(x[(..., *at)])
    return jnp.stack(each, axis=-ndim - 1)


def _padded(x: Array, padding: Sequence[int], value: float = 0.0) -> Array:
    pairs = [(0, 0, 0)] * (x.ndim - len(padding)) + [(size, size, 0) for size in padding]
    return lax.pad(x, jnp.asarray(value, x.dtype), pairs)


def _convolved(
    x: Array,
    weight: Array,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Convolve [N, C, ...] with [O, C / groups, ...]."""
    rows, kernel = x.shape[0], weight.shape[2:]
    windows = _windows(_padded(x, padding), kernel, stride, dilation)
    out = windows.shape[-len(kernel) :]
    inner = weight.shape[1] * windows.shape[2]
    windows = windows.reshape(rows, groups, inner, -1)
    filters = weight.reshape(groups, -1, inner)
    result = jnp.einsum("gok,ngkp->ngop", filters, windows, precision=lax.Precision.HIGHEST)
    return result.reshape(rows, weight.shape[0], *out)


def _general(
    x: Array,
    weight: Array,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Array:
    """Convolve, or apply the transpose of a convolution, whose weight is [C, O / groups, ...]."""
    kernel = weight.shape[2:]
    ndim = len(kernel)
    stride, padding, dilation, more = (
        _each(numbers, ndim) for numbers in (stride, padding, dilation, output_padding)
    )
    if not transposed:
        return _convolved(x, weight, stride, padding, dilation, groups)
    sizes = [
        (size - 1) * s - 2 * p + d * (k - 1) + o + 1
        for size, s, p, d, k, o in zip(x.shape[2:], stride, padding, dilation, kernel, more, strict=True)
    ]

    def forward(whole: Array) -> Array:
        return _convolved(whole, weight, stride, padding, dilation, groups)

    whole = jnp.zeros((x.shape[0], weight.shape[1] * groups, *sizes), x.dtype)
    return jax.vjp(forward, whole)[1](x)[0]


@operation("convolution.default")
def _convolution(x: Array, weight: Array, bias: Array | None, *options: Any) -> Array:
    result = _general(x, weight, *options)
    return result if bias is None else result + bias.reshape(-1, *[1] * (weight.ndim - 2))


@operation("convolution_backward.default")
def _convolution_backward(
    grad: Array, x: Array, weight: Array, bias_sizes: Sequence[int] | None, *options: Any
) -> tuple[Array | None, Array | None, Array | None]:
    *options_of_forward, wanted = options
    _, pull = jax.vjp(lambda x, weight: _general(x, weight, *options_of_forward), x, weight)
    of_input, of_weight = pull(grad)
    of_bias = jnp.sum(grad, axis=(0, *range(2, grad.ndim)))
    return tuple(  # type: ignore[return-value]
        value if want else None for value, want in zip((of_input, of_weight, of_bias), wanted, strict=True)
    )


@operation("max_pool2d_with_indices.default")
def _largest_in_windows(
    x: Array,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    if ceil_mode:
        raise NotImplementedError("max_pool2d with ceil_mode=True")
    kernel, padding, dilation = (_each(numbers, 2) for numbers in (kernel, padding, dilation))
    stride = _each(stride, 2) if stride else kernel
    height, width = x.shape[-2:]
    places = jnp.arange(height * width).reshape(height, width)
    windows = _windows(_padded(x, padding, -jnp.inf), kernel, stride, dilation)
    indices = _windows(_padded(places, padding, -1), kernel, stride, dilation)
    highest = jnp.max(windows, axis=-3, keepdims=True)
    inside = (indices >= 0) & ((windows == highest) | jnp.isnan(windows))
    largest = jnp.argmax(inside, axis=-3, keepdims=True)
    chosen = jnp.take_along_axis(jnp.broadcast_to(indices, windows.shape), largest, axis=-3)
    return jnp.max(windows, axis=-3), jnp.squeeze(chosen, -3)


@operation("max_pool2d_with_indices_backward.default")
def _largest_in_windows_backward(
    grad: Array,
    x: Array,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    index: Array,
) -> Array:
    flat = jnp.zeros((*x.shape[:-2], x.shape[-2] * x.shape[-1]), grad.dtype)
    lead = x.ndim - 2
    grid = jnp.meshgrid(*(jnp.arange(size) for size in x.shape[:-2]), indexing="ij", sparse=True)
    index = index.reshape(*index.shape[:-2], -1)
    at = (*(each.reshape(*each.shape, 1) for each in grid), index)[: lead + 1]
    summed = flat.at[at].add(grad.reshape(index.shape), mode="promise_in_bounds")
    return summed.reshape(x.shape)


@operation("avg_pool2d.default")
def _mean_of_windows(
    x: Array,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    kernel, padding = _each(kernel, 2), _each(padding, 2)
    stride = _each(stride, 2) if stride else kernel
    if ceil_mode or divisor_override is not None or (any(padding) and not count_include_pad):
        raise NotImplementedError("avg_pool2d with ceil_mode, divisor_override or count_include_pad=False")
    return jnp.mean(_windows(_padded(x, padding), kernel, stride, (1, 1)), axis=-3)


@operation("avg_pool2d_backward.default")
def _mean_of_windows_backward(grad: Array, x: Array, *options: Any) -> Array:
    return jax.vjp(lambda x: _mean_of_windows(x, *options), x)[1](grad)[0]


def _each(numbers: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return a number for each dimension."""
    several = (numbers,) if isinstance(numbers, int) else tuple(numbers)
    return several * ndim if len(several) == 1 else several


@operation("_adaptive_avg_pool2d.default")
def _adaptive_mean(x: Array, sizes: Sequence[int]) -> Array:
    for axis, size in ((-2, sizes[0]), (-1, sizes[1])):
        length = x.shape[axis]
        ends = [(number * length // size, -((number + 1) * length // -size)) for number in range(size)]
        x = jnp.stack(
            [jnp.mean(lax.slice_in_dim(x, *end, axis=axis + x.ndim), axis=axis) for end in ends], axis=axis
        )
    return x


@operation("_adaptive_avg_pool2d_backward.default")
def _adaptive_mean_backward(grad: Array, x: Array) -> Array:
    height, width = (_means(x.shape[axis], grad.shape[axis]) for axis in (-2, -1))
    return _resized(grad, height.T, width.T)


@operation("upsample_nearest2d.default")
def _nearest(x: Array, sizes: Sequence[int], *scales: float | None) -> Array:
    return _between(x, *_interpolation(x.shape[-2:], sizes, scales))


@operation("upsample_nearest2d_backward.default")
def _nearest_backward(
    grad: Array, sizes: Sequence[int], before: Sequence[int], *scales: float | None
) -> Array:
    height, width = _interpolation(before[-2:], sizes, scales)
    return _resized(grad, height.T, width.T)


@operation("upsample_bilinear2d.default")
def _bilinear(x: Array, sizes: Sequence[int], aligned: bool, *scales: float | None) -> Array:
    return _between(x, *_interpolation(x.shape[-2:], sizes, scales, aligned))


@operation("upsample_bilinear2d_backward.default")
def _bilinear_backward(
    grad: Array, sizes: Sequence[int], before: Sequence[int], aligned: bool, *scales: float | None
) -> Array:
    height, width = _interpolation(before[-2:], sizes, scales, aligned)
    return _resized(grad, height.T, width.T)


def _between(x: Array, height: torch.Tensor, width: torch.Tensor) -> Array:
    """Apply maps with one or two elements in each row; others would turn an infinite pixel into NaN."""
    for axis, weights in ((-2, height), (-1, width)):
        used = (weights != 0).long()
        first, last = used.argmax(1), weights.shape[1] - 1 - used.flip(1).argmax(1)
        shape = [1] * x.ndim
        shape[axis] = len(weights)
        parts = []
        for place in (first, last):
            weight = weights.gather(1, place[:, None]).reshape(shape).numpy()
            parts.append(jnp.asarray(weight, x.dtype) * jnp.take(x, place.numpy(), axis=axis, mode="clip"))
        x = jnp.where(jnp.asarray((first == last).reshape(shape).numpy()), parts[0], parts[0] + parts[1])
    return x


def _resized(x: Array, height: Any, width: Any) -> Array:
    """Apply a linear map to the rows and one to the columns of images."""
    height, width = (jnp.asarray(each.numpy(), x.dtype) for each in (height, width))
    return jnp.einsum("ih,...hw,jw->...ij", height, x, width, precision=lax.Precision.HIGHEST)


def _means(size: int, wanted: int) -> torch.Tensor:
    """Return the map of adaptive average pooling, [wanted, size]."""
    eye = torch.eye(size, dtype=torch.float64)[None]
    return torch.nn.functional.adaptive_avg_pool1d(eye, wanted)[0].T


def _interpolation(
    before: Sequence[int],
    sizes: Sequence[int],
    scales: Sequence[float | None],
    aligned: bool | None = None,
) -> list[torch.Tensor]:
    """Return the maps of rows and columns: to the nearest element (``aligned`` is None), or linear."""
    maps, aten = [], torch.ops.aten
    by_height, by_width = scales or (None, None)
    for size, wanted, scale in zip(before, sizes, (by_height, by_width), strict=True):
        eye = torch.eye(size, dtype=torch.float64)[None]
        if aligned is None:
            resized = aten.upsample_nearest1d(eye, [wanted], scale)
        else:
            resized = aten.upsample_linear1d(eye, [wanted], aligned, scale)
        maps.append(resized[0].T)
    return maps
