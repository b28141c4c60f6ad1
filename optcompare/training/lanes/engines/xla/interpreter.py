"""Run a traced graph with jax operations, and check the form of every result."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import torch
from torch._decomp import decomposition_table
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from ...update_rules import Unsupported
from . import arithmetic, attention, convolution, shapes  # noqa: F401 (they fill the table)
from .operations import DTYPES, OPERATIONS, TORCH_DTYPES, Array, tensor_like

NONE: Mapping[Node, int] = MappingProxyType({})
_BATCH_NORM = torch.ops.aten.native_batch_norm.default


def interpreted(graph: GraphModule, inputs: Sequence[Array], constants: Mapping[Node, int] = NONE) -> Any:
    """Compute the outputs of a graph of ATen operations.

    Args:
        graph: The graph, as ``make_fx`` returns it.
        inputs: An array for each placeholder, in their order.
        constants: The value of each result that is the same everywhere, whatever the inputs are.

    Returns:
        The outputs, in the form of the graph's output.

    Raises:
        Unsupported: An operation is missing from the table, and torch cannot split it into others; or it
            returned an array of another shape or dtype than torch's.
    """
    values, left = dict[Node, Any](), iter(inputs)

    def value_of(argument: Any) -> Any:
        if isinstance(argument, Node):
            return values[argument]
        if isinstance(argument, (list, tuple)):
            return [value_of(each) for each in argument]
        return argument

    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(left)
        elif node.op == "get_attr":
            values[node] = jnp.asarray(getattr(graph, str(node.target)).numpy())
        elif node.op == "output":
            return value_of(node.args[0])
        elif node in constants:
            form = node.meta["val"]
            values[node] = jnp.full(form.shape, constants[node], DTYPES[form.dtype])
        else:
            arguments = {name: value_of(value) for name, value in node.kwargs.items()}
            values[node] = _called(node.target, [value_of(each) for each in node.args], arguments)
            _compare_form(node, values[node])
    return None


def without_writes(graph: GraphModule, examples: Sequence[torch.Tensor]) -> GraphModule:
    """Return a graph whose operations write into no array, as jax needs it.

    Args:
        graph: The graph, as ``make_fx`` returns it.
        examples: A tensor for each placeholder.
    """
    called = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    if not any(isinstance(target, torch._ops.OpOverload) and _writes(target) for target in called):
        return graph

    def run(*tensors: torch.Tensor) -> Any:
        return _NamingWrites(graph).run(*tensors, enable_io_processing=False)

    return make_fx(torch.func.functionalize(run))(*examples)


def _writes(target: torch._ops.OpOverload) -> bool:
    return target._schema.is_mutable or target is _BATCH_NORM


class _NamingWrites(torch.fx.Interpreter):
    """Run a graph with operations whose schemas name all tensors that they write into."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is _BATCH_NORM and args[3] is not None:  # its running averages
            target = torch.ops.aten._native_batch_norm_legit.default
        return super().call_function(target, args, kwargs)


def _called(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if target is operator.getitem:
        return args[0][args[1]]
    if isinstance(target, type):  # a named tuple of results
        return args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
    function = OPERATIONS.get(str(target))
    try:
        if function is not None:
            return function(*args, **kwargs)
        return interpreted(
            _split(target, args, kwargs), [each for each in _flat([args, kwargs]) if _is_array(each)]
        )
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise Unsupported(f"XLA lacks the operation {target} ({type(error).__name__}: {error})") from error


def _split(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> GraphModule:
    """Split one operation into others, by torch's own decompositions."""
    if target not in decomposition_table:
        raise Unsupported(f"XLA lacks the operation {target}")
    decomposition: Callable[..., Any] = decomposition_table[target]

    def call(*tensors: Any) -> Any:
        left = iter(tensors)
        filled = _mapped(lambda value: next(left) if _is_array(value) else value, [args, kwargs])
        return decomposition(*filled[0], **filled[1])

    examples = [tensor_like(value) for value in _flat([args, kwargs]) if _is_array(value)]
    return make_fx(torch.func.functionalize(call))(*examples)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_mapped(function, each) for each in value]
    if isinstance(value, dict):
        return {name: _mapped(function, each) for name, each in value.items()}
    return function(value)


def _flat(value: Any) -> list[Any]:
    found = list[Any]()
    _mapped(found.append, value)
    return found


def _compare_form(node: Node, value: Any) -> None:
    """Refuse a result that has another shape or dtype than torch's."""
    expected = node.meta.get("val")
    if not isinstance(expected, torch.Tensor) or not _is_array(value):
        return
    if tuple(value.shape) != tuple(expected.shape) or TORCH_DTYPES[value.dtype] != expected.dtype:
        raise Unsupported(
            f"XLA's operation {node.target} returned {TORCH_DTYPES[value.dtype]}{list(value.shape)}, and "
            f"torch's {expected.dtype}{list(expected.shape)}"
        )
