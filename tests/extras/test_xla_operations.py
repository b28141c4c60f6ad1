"""Every operation of the XLA engine against torch, over dtypes and shapes."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

pytest.importorskip("jax")
pytestmark = pytest.mark.xla
aten = torch.ops.aten
FLOATING = (torch.float32, torch.float64)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}
SHAPES = ((), (5,), (2, 3), (2, 3, 4))


def drawn(shape, dtype=torch.float32, low=-2.0, high=2.0):
    generator = torch.Generator().manual_seed(sum(shape) + 1)
    values = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
    return values.to(dtype)


def by_xla(function, *inputs):
    """Compute a function of tensors as the engine does: traced, then with the operations of the table."""
    from optcompare.training.lanes.engines.xla.availability import jax_on_the_cpu
    from optcompare.training.lanes.engines.xla.interpreter import interpreted, without_writes

    with torch.no_grad():
        graph = without_writes(make_fx(function)(*inputs), inputs)
    with jax_on_the_cpu() as jax:
        arrays = [jax.numpy.asarray(value.numpy()) for value in inputs]
        found = jax.jit(lambda *values: interpreted(graph, values))(*arrays)
        return torch.utils._pytree.tree_map(
            lambda array: torch.tensor(array.tolist(), dtype=_dtype(array)), found
        )


def _dtype(array):
    from optcompare.training.lanes.engines.xla.operations import TORCH_DTYPES

    return TORCH_DTYPES[array.dtype]


def agree(function, *inputs):
    expected = function(*inputs)
    found = by_xla(function, *inputs)
    for one, other in zip(*map(torch.utils._pytree.tree_leaves, (found, expected)), strict=True):
        tolerance = TOLERANCE.get(other.dtype, 0.0)
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance, equal_nan=True)


ONE = [
    "neg",
    "abs",
    "sign",
    "floor",
    "ceil",
    "round",
    "trunc",
    "relu",
    "isnan",
    "isinf",
    "sqrt",
    "rsqrt",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "erf",
    "erfc",
    "sigmoid",
    "reciprocal",
    "lgamma",
    "silu",
    "gelu",
    "mish",
    "softplus",
    "hardswish",
    "hardtanh",
    "hardsigmoid",
    "elu",
    "leaky_relu",
    "log_sigmoid_forward",
    "square",
    "frac",
    "logical_not",
]


@pytest.mark.parametrize("name", ONE)
def test_operations_on_one_tensor(name):
    operation = getattr(aten, name).default if name != "frac" else aten.frac.default
    for dtype in FLOATING:
        for shape in SHAPES:
            x = drawn(shape, dtype)
            if name == "log_sigmoid_forward":
                agree(lambda x: operation(x)[0], x)
            else:
                agree(operation, x)
    if name in ("neg", "abs", "sign", "relu", "isnan", "logical_not", "exp", "sqrt"):
        agree(operation, torch.tensor([4, 0, 9]))


TWO = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "fmod",
    "remainder",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "atan2",
    "logical_and",
    "logical_or",
    "logical_xor",
]


@pytest.mark.parametrize("name", TWO)
def test_operations_on_two_tensors_promote_dtypes_as_torch_does(name):
    packet = getattr(aten, name)
    operation = packet.Tensor if "Tensor" in packet.overloads() else packet.default
    pairs = [
        (drawn((2, 3)), drawn((2, 3), low=0.5)),
        (drawn((2, 3)), drawn((3,), low=0.5)),
        (drawn((2, 1), torch.float64), drawn((1, 3), low=0.5)),
        (drawn((2, 3)), torch.tensor(1.5, dtype=torch.float64)),  # 0-dimensional: it changes no dtype
        (torch.tensor([7, -8, 9]), torch.tensor([2, 3, -4])),
        (torch.tensor([7, -8, 9]), drawn((3,), low=0.5)),
        (torch.tensor([1, 0, 1]), torch.tensor([3, 2, 1], dtype=torch.int32)),
    ]
    for one, other in pairs:
        agree(operation, one, other)
    if "Scalar" in packet.overloads():
        for scalar in (3, 1.5):
            agree(partial(_with, packet.Scalar, scalar), drawn((2, 3)))
            agree(partial(_with, packet.Scalar, scalar), torch.tensor([7, -8, 9]))


def _with(operation, scalar, x):
    return operation(x, scalar)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_operations_on_bits(name):
    packet = getattr(aten, name)
    agree(packet.Tensor, torch.tensor([12, -7, 2**40 + 5]), torch.tensor([10, 3, 2**40 - 1]))
    agree(lambda x: packet.Scalar(x, 2**33 - 1), torch.tensor([12, -7, 2**40 + 5]))
    agree(packet.Tensor, torch.tensor([True, False]), torch.tensor([True, True]))


def test_shifts_and_products_of_64_bits_wrap_as_in_torch():
    x = torch.tensor([1, -3, 2**62 + 12345, 0x7FFFFFFF])
    agree(lambda x: (x * 0x5851F42D4C957F2D) ^ (x << 13), x)
    agree(lambda x: x >> 7, x)


SPECIAL = [
    1.02 * 255,
    -25.0,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
    math.nan,
    2.0**31,
    -(2.0**31) - 1,
    3.9,
    -3.9,
]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_numbers_that_an_integer_cannot_hold_become_what_torch_makes_of_them(dtype):
    agree(lambda x: x.to(dtype), torch.tensor(SPECIAL, dtype=torch.float64))


def test_numbers_that_the_dtype_of_an_array_cannot_hold():
    x = torch.tensor([0, 44, 255], dtype=torch.uint8)
    agree(lambda x: (x == 300, x > -1, x < 2**40, x != 44), x)


def test_the_sign_of_what_is_no_number_is_zero():
    agree(lambda x: (x.sign(), x.sgn()), torch.tensor([math.nan, -2.0, 0.0, math.inf]))


REDUCTIONS = {
    "sum": lambda x: (x.sum(), x.sum(1), x.sum((0, 2), keepdim=True)),
    "mean": lambda x: (x.mean(), x.mean(1), x.mean((0, -1), keepdim=True)),
    "amax": lambda x: (x.amax(), x.amax(1), x.amin((0, 2), keepdim=True)),
    "max": lambda x: (*x.max(1), *x.min(-1, keepdim=True)),
    "argmax": lambda x: (x.argmax(), x.argmax(1), x.argmin(-1, keepdim=True)),
    "any": lambda x: ((x > 0).any(), (x > 0).all(1), (x > 9).any(-1, keepdim=True)),
    "prod": lambda x: (x.prod(), x.prod(1)),
    "cumsum": lambda x: x.cumsum(1),
    "var": lambda x: (x.var(), x.var(1, correction=0), x.std((0, 2), keepdim=True)),
    "var_mean": lambda x: torch.var_mean(x, 1),
    "norm": lambda x: (x.norm(), torch.linalg.vector_norm(x, 1, 1), torch.linalg.vector_norm(x, math.inf)),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmax": lambda x: (x.softmax(1), x.log_softmax(-1)),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_reductions(name, dtype):
    agree(REDUCTIONS[name], drawn((2, 3, 4), dtype))


def test_integers_are_summed_in_64_bits():
    agree(lambda x: (x.sum(), x.sum(0)), torch.tensor([[2**31 - 1, 5], [7, 8]], dtype=torch.int32))
    agree(lambda x: x.sum(), torch.tensor([True, True, False]))


SHAPED = {
    "view": lambda x: x.reshape(6, -1).flatten().view(4, 6),
    "expand": lambda x: x[:1].expand(5, -1, -1),
    "permute": lambda x: (x.permute(2, 0, 1), x.transpose(0, -1), x[0].t()),
    "squeeze": lambda x: (x[:1].squeeze(), x[:1].squeeze(0), x.unsqueeze(1).squeeze((1,))),
    "slices": lambda x: (x[1], x[:, 1:], x[..., ::2], x.narrow(2, 1, 2)),
    "cat": lambda x: (torch.cat([x, x], 1), torch.stack([x, x], -1)),
    "split": lambda x: (*x.unbind(1), *x.split(3, -1), *x.split([1, 3], -1)),
    "flip": lambda x: (x.flip(0, 2), x.repeat(2, 1, 3)),
    "pad": lambda x: torch.nn.functional.pad(x, (1, 2, 0, 1), value=3.0),
    "triangles": lambda x: (x.tril(1), x.triu(-1), x.diagonal(0, 1, 2)),
    "new": lambda x: (
        torch.zeros_like(x),
        torch.ones_like(x),
        torch.full_like(x, 3),
        x.new_zeros(2),
        x.new_full((2,), 7),
    ),
    "arange": lambda x: (torch.arange(5), torch.arange(1, 9, 3), torch.zeros(2, 3), torch.ones(3)),
    "where": lambda x: (torch.where(x > 0, x, -x), torch.where(x > 0, x, 0.0), x.masked_fill(x > 0, 1.5)),
    "clamp": lambda x: (x.clamp(-1, 1), x.clamp(min=0), x.clamp(max=x[0, 0, 0])),
    "pow": lambda x: (x**2, x**3, x.abs() ** 0.5, x.abs() ** -0.5, x.abs() ** 1.7, 2**x, x.abs() ** x),
    "lerp": lambda x: (torch.lerp(x, -x, 0.3), torch.lerp(x, -x, 0.8)),
    "products": lambda x: (x @ x.transpose(1, 2), x[0] @ x[1].T, x[0] @ x[0, 0], x[0, 0] @ x[0, 1]),
    "added": lambda x: (torch.add(x, x, alpha=0.5), torch.sub(x, 2, alpha=3), torch.rsub(x, 1), 1 - x),
    "rounded": lambda x: (torch.div(x, 0.7, rounding_mode="floor"), torch.div(x, 0.7, rounding_mode="trunc")),
    "cast": lambda x: (x.double(), x.long(), x.bool(), x.half().float()),
    "written": lambda x: x.clone().add_(1).mul_(x).clamp_(-1, 1),
    "scattered slices": lambda x: _written(x),
}


def _written(x):
    x = x.clone()
    x[:, 1] = 5.0
    x[..., 1:3] = x[..., :2] * 2
    return x


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_and_other_operations(name):
    for dtype in FLOATING:
        agree(SHAPED[name], drawn((2, 3, 4), dtype))


INDEX = torch.tensor([[0, 2, 1], [2, 2, 0]])
INDEXED = {
    "index": lambda x: (x[INDEX], x[:, INDEX], x[INDEX[0], INDEX[1]], x[-1 - INDEX]),
    "index_select": lambda x: x.index_select(1, INDEX[0]),
    "gather": lambda x: (x.gather(1, INDEX[:, :1]), x.gather(0, INDEX)),
    "gather of many": lambda x: x.repeat(1, 300).gather(1, INDEX * 200),
    "scatter": lambda x: (x.scatter(1, INDEX[:, :1], 7.0), x.scatter(0, INDEX, 2.0)),
    "scatter of a part": lambda x: torch.zeros_like(x).scatter(1, INDEX[:, :1].repeat(2, 1)[:3], 2 * x),
    "scatter_add": lambda x: x.scatter_add(0, INDEX, x),
    "index_put": lambda x: (x.index_put((INDEX[0],), x), x.index_put((INDEX[0],), x, accumulate=True)),
    "embedding": lambda x: torch.nn.functional.embedding(INDEX, x),
}


@pytest.mark.parametrize("name", INDEXED)
def test_indices(name):
    """Index 2 comes twice where something is added up."""
    for dtype in FLOATING:
        agree(INDEXED[name], drawn((3, 3), dtype))


def gradients(function, x, *weights):
    return torch.func.grad(
        lambda *values: (function(*values) ** 2).sum(), argnums=tuple(range(len(weights) + 1))
    )(x, *weights)


CONVOLUTIONS = {
    "plain": ((2, 4, 7, 6), (6, 4, 3, 3), {}),
    "strided": ((2, 4, 7, 6), (6, 4, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    "dilated": ((2, 4, 7, 6), (6, 4, 3, 3), {"dilation": 2, "padding": 2}),
    "in groups": ((2, 4, 7, 6), (6, 2, 3, 3), {"groups": 2}),
    "by channel": ((2, 4, 7, 6), (4, 1, 3, 3), {"groups": 4}),
    "of one dimension": ((2, 4, 7), (3, 4, 3), {"padding": 1}),
    "of three dimensions": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_convolutions_and_their_gradients(name, dtype):
    shape, kernel, options = CONVOLUTIONS[name]
    convolve = [torch.conv1d, torch.conv2d, torch.conv3d][len(shape) - 3]
    x, weight, bias = drawn(shape, dtype), drawn(kernel, dtype), drawn((kernel[0],), dtype)
    agree(lambda *values: convolve(*values, **options), x, weight, bias)
    agree(lambda *values: gradients(lambda *all_: convolve(*all_, **options), *values), x, weight, bias)


def test_transposed_convolutions_and_their_gradients():
    x, weight = drawn((2, 4, 5, 4)), drawn((4, 3, 3, 3))

    def convolve(x, weight):
        return torch.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1)

    agree(convolve, x, weight)
    agree(lambda *values: gradients(convolve, *values), x, weight)


functional = torch.nn.functional
POOLS = {
    "largest": lambda x: functional.max_pool2d(x, 2),
    "largest, overlapping": lambda x: functional.max_pool2d(x, 3, 2, 1),
    "mean": lambda x: functional.avg_pool2d(x, 2),
    "mean, padded": lambda x: functional.avg_pool2d(x, 3, 2, 1),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, 3),
    "adaptive to one": lambda x: functional.adaptive_avg_pool2d(x, 1),
    "nearest": lambda x: functional.interpolate(x, scale_factor=2),
    "bilinear": lambda x: functional.interpolate(x, size=(9, 11), mode="bilinear"),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_pooling_and_interpolation_and_their_gradients(name, dtype):
    x = drawn((2, 3, 8, 6), dtype)
    agree(POOLS[name], x)
    agree(lambda x: gradients(POOLS[name], x), x)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_and_its_gradient(causal):
    query, key, value = (drawn((2, 2, 5, 4)) * factor for factor in (1.0, 0.5, 2.0))

    def attention(query, key, value):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

    agree(attention, query, key, value)
    agree(lambda *values: gradients(attention, *values), query, key, value)


def test_a_query_that_attends_to_nothing_has_weights_of_zero():
    query = drawn((2, 2, 3, 4))
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, False]])
    minus = torch.zeros(3, 3).masked_fill(~mask, -math.inf)
    for each in (mask, minus):
        attention = partial(_attention, each)
        agree(attention, query)
        agree(partial(gradients, attention), query)


def _attention(mask, x):
    return functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def test_an_infinite_pixel_stays_where_it_is():
    x = drawn((1, 1, 4, 6))
    x[0, 0, 1, 2] = -math.inf
    agree(
        lambda x: (
            functional.interpolate(x, scale_factor=2),
            functional.adaptive_avg_pool2d(x, (2, 3)),
            functional.adaptive_avg_pool2d(x, (3, 4)),
            functional.max_pool2d(x, 3, 2, 1),
        ),
        x,
    )
    lowest = torch.full((1, 1, 4, 4), -math.inf)
    agree(lambda x: functional.max_pool2d(x, 3, 2, 1, return_indices=True), lowest)


@pytest.mark.parametrize("dtype", FLOATING)
def test_normalization_and_running_averages(dtype):
    x, weight, bias = drawn((6, 3), dtype), drawn((3,), dtype), drawn((3,), dtype)

    def batch_norm(x, weight, bias):
        mean, var = torch.zeros(3, dtype=x.dtype), torch.ones(3, dtype=x.dtype)
        out = functional.batch_norm(x, mean, var, weight, bias, training=True)
        return out, mean, var

    agree(batch_norm, x, weight, bias)
    agree(lambda *values: functional.layer_norm(values[0], (3,), *values[1:]), x, weight, bias)
    agree(lambda *values: functional.group_norm(values[0], 3, *values[1:]), x, weight, bias)
