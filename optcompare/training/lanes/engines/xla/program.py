"""Updates of all lanes at one batch size as one program of XLA.

The graph of an update becomes the body of a loop, whose number of rounds is an input: a program is compiled
once, in a second or two and without a C++ compiler, and makes any number of updates.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .....core.choices import EngineName
from ...update_rules import Unsupported
from ..engine import Carry, Example
from ..traced import first_line
from .availability import jax_on_the_cpu, obstacle
from .integer_bounds import ANY, Integers, bounded_integers, constants_of, integers_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_MOST_UPDATES, _MOST_INDICES = 4096, 2**18
_COMPILER = {
    "xla_cpu_enable_fast_math": False,
    "xla_cpu_enable_fast_min_max": False,
    "xla_allow_excess_precision": False,
}


class XlaProgram:
    """Hold a compiled program.

    Args:
        graph: The graph of one update.
        example: Carry, rates, data and indices of some updates; data stay those of the program.
        follow: The number of weight tensors that are returned after each update.

    Raises:
        Unsupported: XLA is not installed, the graph has an operation that it lacks or an index that may be
            out of range, or compiling failed.
    """

    engine: EngineName = "xla"

    def __init__(self, graph: GraphModule, example: Example, follow: int) -> None:
        _, rates, data, index = example
        if (why := obstacle()) is not None:
            raise Unsupported(why)
        if index.device.type != "cpu":
            raise Unsupported(f"XLA's programs run on the CPU only, and the device is {index.device.type}")
        _, lanes, size = index.shape
        self._follow, self._rows = follow, len(data[0])
        self._capacity = max(1, min(_MOST_UPDATES, _MOST_INDICES // (lanes * size)))
        self._index = torch.zeros(self._capacity, lanes, size, dtype=torch.int64)
        self._rates = [rate.new_zeros(self._capacity if len(rate) > 1 else 1, lanes) for rate in rates]
        self._count = torch.zeros((), dtype=torch.int32)
        try:
            with jax_on_the_cpu() as jax:
                kept = [self._rates, [tensor.contiguous() for tensor in data], [self._index, self._count]]
                shared = [[_shared(jax, tensor) for tensor in tensors] for tensors in kept]
                self._inputs = [shared[0], shared[1], *shared[2]]
                self._compiled = _compiled(jax, graph, example, follow, self._inputs)
        except Unsupported:
            raise
        except Exception as error:
            raise Unsupported(f"XLA failed ({type(error).__name__}: {first_line(error)})") from error

    def load(self, carry: Carry) -> Any:
        with jax_on_the_cpu() as jax:
            return jax.device_put([tensor.numpy() for tensor in carry], may_alias=False)

    def run(self, loaded: Any, rates: Sequence[Tensor], index: Tensor) -> tuple[Any, Tensor | None]:
        low, high = (int(value) for value in torch.aminmax(index)) if index.numel() else (0, 0)
        if low < 0 or high >= self._rows:
            raise IndexError(f"batches have rows from {low} to {high}, and the data have {self._rows} rows")
        trails = []
        with jax_on_the_cpu():
            for first in range(0, len(index), self._capacity):
                piece = slice(first, min(first + self._capacity, len(index)))
                count = piece.stop - piece.start
                self._count.fill_(count)
                self._index[:count] = index[piece]
                for held, rate in zip(self._rates, rates, strict=True):
                    held[:count] = rate[piece] if len(rate) > 1 else rate
                loaded, trail = self._compiled(loaded, *self._inputs)
                trail.block_until_ready()  # before the inputs are overwritten
                if self._follow:
                    trails.append(torch.from_numpy(np.array(trail)[:count]))
        return loaded, torch.cat(trails) if trails else None

    def unload(self, loaded: Any) -> Carry:
        with jax_on_the_cpu():
            return [torch.from_numpy(np.array(array)) for array in loaded]


def _shared(jax: Any, tensor: Tensor) -> Any:
    """Return an array of the memory of a tensor, whose values are those of the tensor at each call.

    Raises:
        Unsupported: jax would copy the values.
    """
    array = jax.numpy.from_dlpack(tensor.detach())
    if tensor.numel() and array.unsafe_buffer_pointer() != tensor.data_ptr():
        raise Unsupported("jax cannot use the memory of a tensor")
    return array


def _compiled(jax: Any, graph: GraphModule, example: Example, follow: int, inputs: Sequence[Any]) -> Any:
    """Compile the loop over updates."""
    from .interpreter import interpreted, without_writes
    from .operations import DTYPES, OPERATIONS

    carry, rates, data, index = example
    first = [*carry, *(rate[0] for rate in rates), *data, index[0]]
    pure = without_writes(graph, first)
    known = [*(ANY for _ in (*carry, *rates)), *map(integers_of, data), Integers(0, len(data[0]) - 1)]
    constants = constants_of(bounded_integers(pure, known, OPERATIONS))
    jnp, lax = jax.numpy, jax.lax
    dtypes = [tensor.dtype for tensor in carry[: max(1, follow)]]
    followed = DTYPES[functools.reduce(torch.promote_types, dtypes)]

    def updated(carry: Any, rates: Any, data: Any, index: Any, count: Any) -> Any:
        points = sum(weight.size for weight in carry[:follow]) // index.shape[1]
        trail = jnp.zeros((len(index) if follow else 0, index.shape[1], points), followed)

        def update(number: Any, state: Any) -> Any:
            carry, trail = state

            def at(values: Any) -> Any:
                return lax.dynamic_index_in_dim(values, number, keepdims=False)

            own = [at(rate) if len(rate) > 1 else rate[0] for rate in rates]
            carry = interpreted(pure, [*carry, *own, *data, at(index)], constants)
            if follow:
                flat = [weight.reshape(len(weight), -1) for weight in carry[:follow]]
                row = jnp.concatenate(flat, 1).astype(followed)
                trail = lax.dynamic_update_index_in_dim(trail, row, number, 0)
            return carry, trail

        return lax.fori_loop(0, count, update, (carry, trail))

    begin = [jax.ShapeDtypeStruct(tensor.shape, DTYPES[tensor.dtype]) for tensor in carry]
    # No buffer is donated, so that the carry before a call survives an interrupt within it.
    lowered = jax.jit(updated).lower(begin, *inputs)
    options = {**_COMPILER, "xla_cpu_multi_thread_eigen": torch.get_num_threads() > 1}
    return lowered.compile(compiler_options=options)
