"""Choose between loop and lanes, and the engine of the lanes, by their expected costs.

The rule depends on the question alone, not on measured times, so that the same command makes the same choice
again. Its costs were measured on two cores of an x86 server with torch 2.13. A factor of two changes little,
since at the thresholds both choices take about the same time. One measured time matters: when a group is
admitted, lanes whose updates are slower than the loop's are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.choices import CompilerName

DISPATCH_SECONDS = 200e-6
"""The overhead of Python and torch for one update in the loop; lanes share it."""

MEASURING_SECONDS = 600e-6
"""The overhead of one measurement."""

IMPORT_SECONDS = 1.5
"""Importing the tracer, once per process."""

GROUP_SECONDS = 0.4
"""Comparing a group of lanes with the loop."""

TRACED_FROM_UPDATES = 200
"""The fewest updates that repay tracing, which takes 1 ms per operation and saves 5 µs of each update."""

OPERATION_SECONDS = 3e-6
"""The time that compiling saves for each operation of the graph in each update."""


@dataclass(frozen=True)
class CompilerCost:
    """Hold the cost of a compiler.

    Attributes:
        seconds: The time of a program, whatever its size.
        operation: The further time of each operation of its graph, in seconds.
        repaid: The share that one run must repay, since later runs may find the program in a cache.
    """

    seconds: float
    operation: float
    repaid: float


COSTS: dict[CompilerName, CompilerCost] = {
    "xla": CompilerCost(0.9, 1.5e-3, 1.0),
    "inductor": CompilerCost(12.0, 0.0, 0.5),
}
"""The costs of compilers; that of XLA includes importing jax."""

_OPERATIONS = 100
"""The operations of one update of a small model."""


@dataclass(frozen=True)
class Work:
    """Describe the work of a group of trials: its lanes, and the updates and measurements of each."""

    lanes: int
    updates: float
    measurements: float

    @property
    def gain(self) -> float:
        """Return the seconds that lanes are expected to save, without the cost of setting them up."""
        saved = max(0, self.lanes - 2)  # one update of all lanes costs about two in the loop
        return saved * (self.updates * DISPATCH_SECONDS + self.measurements * MEASURING_SECONDS)


def worth_lanes(groups: list[Work], compilers: Sequence[CompilerName] = ("inductor",)) -> list[bool]:
    """Return for each group of a run whether it is worth running in lanes.

    Args:
        groups: The work of each group.
        compilers: The compilers that can be used.
    """
    gains = [max([work.gain, *(_gain(work, compiler) for compiler in compilers)]) for work in groups]
    repay = [gain > GROUP_SECONDS for gain in gains]
    total = sum(gain - GROUP_SECONDS for gain, worth in zip(gains, repay, strict=True) if worth)
    return repay if total > IMPORT_SECONDS else [False] * len(groups)


def worth_tracing(updates: float) -> bool:
    """Return whether this many updates at one batch size repay tracing their program."""
    return updates >= TRACED_FROM_UPDATES


def worth_compiling(compiler: CompilerName, updates: float, operations: int) -> bool:
    """Return whether this many updates, each a graph of ``operations``, repay compiling the program."""
    cost = COSTS[compiler]
    seconds = cost.seconds + cost.operation * operations
    return updates * operations * OPERATION_SECONDS >= cost.repaid * seconds


def _gain(work: Work, compiler: CompilerName) -> float:
    """Return the seconds that a compiled program saves of the dispatch in the loop, even of a single lane."""
    if not worth_compiling(compiler, work.updates, _OPERATIONS):
        return 0.0
    cost = COSTS[compiler]
    return work.lanes * work.updates * DISPATCH_SECONDS - cost.seconds - cost.operation * _OPERATIONS
