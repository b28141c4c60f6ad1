"""The engine that runs the operations of one update as a graph, without the Python code of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ....core.choices import EngineName
from ..update_rules import Unsupported
from .engine import Carry
from .vmapped import Update, Vmapped

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class Traced(Vmapped):
    """Run the graph of an update, again and again."""

    engine: EngineName = "traced"


def trace(update: Update, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> GraphModule:
    """Trace one update of lanes into a graph of ATen operations.

    Args:
        update: The update of all lanes.
        carry: An example of the carry.
        rates: An example of the rates of one update, [R] each.
        data: The tensors of the training data.
        index: An example of the rows of each lane's batch, int64[R, B].

    Raises:
        Unsupported: The update cannot be traced.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    def traced(carry: Carry, rates: Carry, data: Carry, index: Tensor) -> Carry:
        return update(carry, rates, data, index)

    try:
        with torch.no_grad():
            return make_fx(traced)(carry, rates, data, index)
    except Unsupported:
        raise
    except Exception as error:
        raise Unsupported(
            f"an update cannot be traced ({type(error).__name__}: {first_line(error)})"
        ) from error


def operations_of(graph: GraphModule) -> int:
    """Return the number of operations of a graph."""
    return sum(node.op == "call_function" for node in graph.graph.nodes)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 160 characters of it."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else ""
