"""Show that no index of a graph is out of range, whatever the weights are.

Torch refuses an index that is out of range; XLA reads or writes another element instead. The possible values
of an index follow from the data, whose integers are known, and from the operations on them.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Node

from ...update_rules import Unsupported

_MOST_VALUES = 4096
"""The most values of which each is known; of more, only the smallest and the largest are."""
_ALL = 2**63


@dataclass(frozen=True)
class Integers:
    """Hold the integers that a tensor may contain.

    Attributes:
        low: The smallest.
        high: The largest.
        values: All of them, int64[K]; None: any from ``low`` to ``high``.
    """

    low: int
    high: int
    values: Any = None

    @classmethod
    def of(cls, values: Any) -> Integers:
        """Return the integers of an array; none if it is empty."""
        if values.size == 0:
            return cls(0, 0)
        low, high = int(values.min()), int(values.max())
        unique = np.unique(values) if high - low < 2**20 or values.size <= 2**20 else None
        kept = unique is not None and len(unique) <= _MOST_VALUES
        return cls(low, high, unique.astype(np.int64) if kept and unique is not None else None)

    def without(self, value: int) -> Integers:
        """Return the integers without one; as they are if they are not known one by one."""
        if self.values is None or len(self.values) < 2:
            return self
        return Integers.of(self.values[self.values != value])

    def meets(self, other: Integers) -> bool:
        """Return whether an integer may be one of both."""
        if self.values is not None and other.values is not None:
            return bool(np.isin(self.values, other.values).any())
        return self.low <= other.high and other.low <= self.high

    def union(self, other: Integers) -> Integers:
        if self.values is not None and other.values is not None:
            return Integers.of(np.concatenate([self.values, other.values]))
        return Integers(min(self.low, other.low), max(self.high, other.high))

    def shifted(self, by: Integers, sign: int = 1) -> Integers:
        ends = sorted((sign * by.low, sign * by.high))
        return Integers(self.low + ends[0], self.high + ends[1])

    def times(self, by: Integers) -> Integers:
        ends = [a * b for a in (self.low, self.high) for b in (by.low, by.high)]
        return Integers(min(ends), max(ends))


ANY = Integers(-_ALL, _ALL)
BOOLEAN = Integers(0, 1, np.array([0, 1]))

_KEEPING = {
    "view",
    "_unsafe_view",
    "reshape",
    "expand",
    "permute",
    "transpose",
    "t",
    "unsqueeze",
    "squeeze",
    "clone",
    "detach",
    "alias",
    "select",
    "slice",
    "flip",
    "repeat",
    "unbind",
    "split",
    "split_with_sizes",
    "index",
    "gather",
    "index_select",
    "lift_fresh_copy",
    "flatten",
    "narrow",
    "diagonal",
    "amax",
    "amin",
}
"""Operations whose results contain integers of their first input alone."""
_INDEXED_AT = {
    "gather": (1, 2),
    "scatter": (1, 2),
    "scatter_add": (1, 2),
    "index_select": (1, 2),
    "embedding": (None, 1),
}
"""Where operations have the dimension that is indexed (None: it is the first), and the index."""
_CLASSES_AT = {"nll_loss_forward": (0, 1, 4), "nll_loss_backward": (1, 2, 5)}
"""Where losses have the scores [B, C], the classes, and the class that is ignored."""
_OWN_INDICES = frozenset({"max_pool2d_with_indices_backward"})
"""Operations whose indices are results of others."""


def bounded_integers(
    graph: GraphModule, inputs: Sequence[Integers], known_operations: Container[str]
) -> dict[Node, Integers]:
    """Return the integers of each node of a graph, in which no index may be out of range.

    Args:
        graph: The graph of ATen operations.
        inputs: The integers of each placeholder; :data:`ANY` where nothing is known.
        known_operations: The names of operations that index nothing, unless they are named in this module.

    Raises:
        Unsupported: The range of an index is not known, or is too large.
    """
    found, left = dict[Node, Integers](), iter(inputs)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            found[node] = next(left)
        elif node.op == "get_attr":
            found[node] = integers_of(getattr(graph, str(node.target)))
        elif node.op == "call_function":
            name = "getitem" if node.target is operator.getitem else str(node.target).split(".")[1]
            _refuse_index(node, name, found, known_operations)
            found[node] = _result(node, name, found)
    return found


def constants_of(found: Mapping[Node, Integers]) -> dict[Node, int]:
    """Return the value of each result of an operation that holds a single integer or truth value.

    So are the tests of a loss for a class that it ignores, where no sample has it.

    Args:
        found: The integers of each node.
    """
    return {
        node: each.low
        for node, each in found.items()
        if node.op == "call_function" and each.low == each.high and isinstance(node.meta["val"], torch.Tensor)
    }


def integers_of(tensor: torch.Tensor) -> Integers:
    """Return the integers of a tensor; :data:`ANY` if it is not of integers."""
    if tensor.dtype == torch.bool:
        return BOOLEAN
    if tensor.is_floating_point() or tensor.is_complex():
        return ANY
    return Integers.of(tensor.cpu().numpy())


def _refuse_index(
    node: Node, name: str, found: Mapping[Node, Integers], known_operations: Container[str]
) -> None:
    args: Any = node.args
    if name in ("index", "index_put"):
        for size, index in zip(_shape(args[0]), args[1], strict=False):
            if index is not None:
                _require(name, _integers(index, found), -size, size)
    elif name in _INDEXED_AT:
        dim, index = _INDEXED_AT[name]
        _require(name, _integers(args[index], found), 0, _shape(args[0])[0 if dim is None else args[dim]])
    elif name == "embedding_dense_backward":
        _require(name, _integers(args[1], found), 0, args[2])
    elif name in _CLASSES_AT:
        scores, classes, ignored = _CLASSES_AT[name]
        _require(name, _integers(args[classes], found).without(args[ignored]), 0, _shape(args[scores])[1])
    elif str(node.target) not in known_operations and name not in {"getitem", *_OWN_INDICES}:
        for each in node.all_input_nodes:
            value = each.meta.get("val")
            if isinstance(value, torch.Tensor) and value.dtype in _INDEX_DTYPES:
                raise Unsupported(f"XLA would not check the indices of {name}")


_INDEX_DTYPES = (torch.int64, torch.int32)


def _require(name: str, integers: Integers, low: int, high: int) -> None:
    if integers.low < low or integers.high >= high:
        known = "any" if integers.low <= -_ALL else f"from {integers.low} to {integers.high}"
        raise Unsupported(
            f"an index of {name} may be {known}, where it must be from {low} to {high - 1}, unchecked by XLA"
        )


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape) or (1,)


def _integers(value: Any, found: Mapping[Node, Integers]) -> Integers:
    """Return the integers of an argument of an operation."""
    if isinstance(value, Node):
        return found.get(value, ANY)
    return Integers(value, value, np.array([value])) if isinstance(value, int) else ANY


def _result(node: Node, name: str, found: Mapping[Node, Integers]) -> Integers:
    """Return the integers that an operation may return."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor):
        if value.dtype == torch.bool:
            return _comparison(node, name, found)
        if value.is_floating_point() or value.is_complex():
            return ANY
        result, limits = _combined(node, name, found), torch.iinfo(value.dtype)
        return result if limits.min <= result.low and result.high <= limits.max else ANY
    return _integers(node.args[0], found) if name in _KEEPING else ANY


def _comparison(node: Node, name: str, found: Mapping[Node, Integers]) -> Integers:
    """Return whether integers are equal, where this does not depend on which they are."""
    args: Any = node.args
    if name not in ("eq", "ne") or any(map(_is_floating, args)):
        return BOOLEAN
    one, other = (_integers(each, found) for each in args)
    if one.meets(other) and not (one.low == one.high == other.low == other.high):
        return BOOLEAN
    return Integers(*[int(one.meets(other) == (name == "eq"))] * 2)


def _is_floating(value: Any) -> bool:
    if isinstance(value, Node):
        value = value.meta["val"]
    return not isinstance(value, int) and not (
        isinstance(value, torch.Tensor) and value.dtype in (*_INDEX_DTYPES, torch.bool)
    )


def _combined(node: Node, name: str, found: Mapping[Node, Integers]) -> Integers:
    """Return the integers that an operation on integers may return, if its dtype held all integers."""
    args = list[Any](node.args)
    if name == "getitem" and str(args[0].target) in ("aten.max.dim", "aten.min.dim") and args[1] == 1:
        return Integers(0, _shape(args[0].args[0])[args[0].args[1]] - 1)
    if name in _KEEPING or name == "getitem":
        return _integers(args[0], found)
    if name == "_to_copy":
        return ANY if args[0].meta["val"].is_floating_point() else _integers(args[0], found)
    if name in ("cat", "stack"):
        first, *others = (_integers(each, found) for each in args[0])
        return functools.reduce(Integers.union, others, first)
    if name == "where":
        return _where(args, found)
    if name in ("add", "sub") and "alpha" not in node.kwargs:
        return _integers(args[0], found).shifted(_integers(args[1], found), 1 if name == "add" else -1)
    if name == "mul":
        return _integers(args[0], found).times(_integers(args[1], found))
    if name in ("remainder", "bitwise_and", "__and__") and isinstance(args[1], int) and args[1] > 0:
        return Integers(0, args[1] - 1 if name == "remainder" else args[1])
    if name == "clamp" and len(args) > 2 and all(isinstance(bound, int) for bound in args[1:3]):
        return Integers(args[1], args[2])
    if name in ("argmax", "argmin"):
        shape = _shape(args[0])
        return Integers(
            0, (shape[args[1]] if len(args) > 1 and args[1] is not None else math.prod(shape)) - 1
        )
    return _new(args, name, found)


def _new(args: Sequence[Any], name: str, found: Mapping[Node, Integers]) -> Integers:
    """Return the integers of an operation that returns a new tensor from numbers."""
    if name == "arange" and all(isinstance(each, int) for each in args):
        return integers_of(torch.arange(*args))
    if name in ("zeros", "zeros_like", "ones", "ones_like"):
        return Integers(*[int(name.startswith("ones"))] * 2)
    if name in ("full", "full_like", "scalar_tensor"):
        return _integers(args[0 if name == "scalar_tensor" else 1], found)
    return ANY


def _where(args: Sequence[Any], found: Mapping[Node, Integers]) -> Integers:
    """Return the integers of a choice; ``where(x != k, x, y)`` returns no k from x."""
    condition, one, other = args
    chosen, otherwise = _integers(one, found), _integers(other, found)
    test, (of, value) = str(condition.target), [*condition.args, None, None][:2]
    if test == "aten.ne.Scalar" and of is one:
        chosen = chosen.without(value)
    if test == "aten.eq.Scalar" and of is other:
        otherwise = otherwise.without(value)
    return chosen.union(otherwise)
