"""Choose the engine of the lanes of a comparison: by what is installed, never by the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....core.choices import COMPILERS, CompilerName, EngineChoice, EngineName
from ....core.comparison import Comparison
from ....errors import ComparisonError
from ..cost_model import worth_compiling, worth_tracing
from . import inductor
from .traced import operations_of
from .xla import availability

if TYPE_CHECKING:
    from torch.fx import GraphModule

MOST_WINDOWS_BYTES = 2**20
"""The largest windows of a convolution, in bytes of a lane, for which XLA is tried before inductor.

XLA multiplies windows by filters. Measured on two cores with 1 MB of cache each: up to 0.6 MB it takes from a
third to all of the time of inductor's and traced programs, from 0.9 MB on as long or longer.
"""


def engine_of(choice: EngineChoice, device: str, previous: EngineName | None = None) -> EngineName:
    """Return the engine that is tried first for all lanes of a comparison.

    Args:
        choice: The user's choice; auto: the engine of the previous run, else XLA where jax is installed and
            the device is the CPU, else inductor.
        device: The device of the trials.
        previous: The engine of the run that continues; None: the run is new.

    Raises:
        ComparisonError: The user chose a compiler that cannot be used.
    """
    why = availability.obstacle()
    if why is None and device != "cpu":
        why = f"its programs run on the CPU, and the device is {device}"
    if choice == "auto":
        return previous or ("inductor" if why else "xla")
    if choice == "inductor":
        on_cpu = device == "cpu"
        why = inductor.obstacle() if on_cpu else f"it compiles for the CPU, and the device is {device}"
    if choice in COMPILERS and why is not None:
        raise ComparisonError(f"engine {choice} cannot be used: {why}")
    return choice


def engine_notes(comparison: Comparison) -> list[str]:
    """Return a note if the engine of a saved comparison cannot be used here.

    Args:
        comparison: The comparison.
    """
    why = availability.obstacle()
    if comparison.engine != "xla" or comparison.trainer == "loop" or why is None:
        return []
    return [
        f"the engine of lanes is xla, which cannot be used here: {why}; lanes run on inductor where there is "
        "a C++ compiler, else traced"
    ]


@dataclass(frozen=True)
class Engines:
    """Hold the engines of a comparison's programs, which all begin as a vectorized function.

    Attributes:
        compilers: The engines that compile, in the order in which they are tried.
        traced: Whether programs are traced.
        always: Whether programs are traced and compiled even where that takes longer than it saves.
    """

    compilers: tuple[CompilerName, ...] = ("inductor",)
    traced: bool = True
    always: bool = False

    @classmethod
    def of(cls, comparison: Comparison) -> Engines:
        """Return the engines of a comparison; where XLA cannot compile a program, inductor is tried."""
        orders: dict[EngineName, tuple[CompilerName, ...]] = {"inductor": ("inductor",), "xla": COMPILERS}
        engine = comparison.engine
        return cls(orders.get(engine, ()), engine != "vmapped", comparison.engine_named)

    def worth_tracing(self, updates: float) -> bool:
        """Return whether a program is traced for a number of updates at one batch size."""
        return self.traced and (self.always or worth_tracing(updates))

    def to_try(self, graph: GraphModule, lanes: int, updates: float) -> tuple[CompilerName, ...]:
        """Return the compilers that are tried for a program, in this order.

        Args:
            graph: The graph of an update.
            lanes: The lanes of the program.
            updates: The number of updates.
        """
        worth = self.worth_compiling(updates, operations_of(graph))
        suits = self.always or windows_bytes(graph) / lanes <= MOST_WINDOWS_BYTES
        return worth if suits else tuple(sorted(worth, key=lambda name: name == "xla"))

    def worth_compiling(self, updates: float, operations: int) -> tuple[CompilerName, ...]:
        """Return the compilers that repay a number of updates, each a graph of ``operations``."""
        return tuple(
            name for name in self.compilers if self.always or worth_compiling(name, updates, operations)
        )


def windows_bytes(graph: GraphModule) -> float:
    """Return the bytes of all windows of the largest convolution of a graph, which XLA writes to memory.

    Args:
        graph: A graph of ATen operations.
    """
    largest = 0.0
    for node in graph.graph.nodes:
        if str(node.target) == "aten.convolution.default":
            x, weight, out = (each.meta["val"] for each in (*node.args[:2], node))
            places = math.prod(weight.shape[2:]) * math.prod(out.shape[2:])
            largest = max(largest, float(x.shape[0] * x.shape[1] * places * x.element_size()))
    return largest
