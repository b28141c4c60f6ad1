"""Which way of training repays what it costs to begin: loop or lanes, and at which level the lanes run.

The rule knows the question alone, not the clock, so that the same command takes the same way again. Its costs
were measured on two cores of an x86 server with torch 2.13; a factor of two either way changes little, since
at the thresholds both ways take about as long. One look at the clock remains, where a group is admitted:
lanes whose updates are slower than the loop's are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

DISPATCH_SECONDS = 200e-6
"""What Python and torch's dispatch add to one update in the loop, and lanes share."""

MEASURING_SECONDS = 600e-6
"""The same of one measurement."""

IMPORT_SECONDS = 1.5
"""Loading what traces programs, once a process."""

GROUP_SECONDS = 0.4
"""Checking a group of lanes against the loop."""

TRACED_FROM_UPDATES = 200
"""Tracing takes about 1 ms for each operation of an update's graph, and saves about 5 µs of it in each
update.
"""

OPERATION_SECONDS = 3e-6
"""What a compiled program saves of each operation of a traced graph in each update."""

COMPILING_SECONDS = 12.0
"""Compiling takes so long the first time; later runs find the program in the cache, so half of it must be
repaid.
"""


TRACING_SECONDS = 0.5
"""Tracing and the first run of what was traced."""

COMPILED_FASTER = 20.0
"""How much less time an update of a compiled lane takes than one in the loop: from 12 times to 160."""

_OPERATIONS = 100
"""Operations of a small model's update."""


@dataclass(frozen=True)
class Work:
    """What a group of trials will do: lanes side by side, the updates and measurements of each."""

    lanes: int
    updates: float
    measurements: float

    @property
    def gain(self) -> float:
        """Seconds that lanes are expected to save, before what it costs to begin."""
        saved = max(0, self.lanes - 2)  # one update of all lanes costs about two in the loop
        return saved * (self.updates * DISPATCH_SECONDS + self.measurements * MEASURING_SECONDS)


def worth_lanes(groups: list[Work]) -> list[bool]:
    """Which of a run's groups repay being run in lanes."""
    repay = [work.gain > GROUP_SECONDS or _compiles(work) for work in groups]
    gains = [max(work.gain, work.updates * DISPATCH_SECONDS * _compiles(work)) for work in groups]
    total = sum(gain - GROUP_SECONDS for gain, worth in zip(gains, repay, strict=True) if worth)
    return repay if total > IMPORT_SECONDS else [False] * len(groups)


def lanes_seconds(
    work: Work, update_seconds: float, mark_seconds: float, *, compiler: bool
) -> tuple[float, float]:
    """Estimate what a group takes in lanes, from its pace in the loop.

    Args:
        work: What the group does.
        update_seconds: Of one update of one trial in the loop.
        mark_seconds: Of one measurement of one trial in the loop.
        compiler: Whether there is a C++ compiler.

    Returns:
        Seconds at least, where a compiled program lies in the cache, and at most, where it is compiled first.
    """
    begun = GROUP_SECONDS + work.measurements * mark_seconds * work.lanes / 2
    apart = 2 * work.updates * update_seconds + TRACING_SECONDS * worth_tracing(work.updates)
    if not (compiler and worth_compiling(work.updates, _OPERATIONS)):
        return begun + apart, begun + apart
    compiled = work.lanes * work.updates * update_seconds / COMPILED_FASTER + TRACING_SECONDS
    return begun + min(apart, compiled), begun + min(apart, COMPILING_SECONDS + compiled)


def worth_tracing(updates: float) -> bool:
    """Whether so many updates at one batch size repay tracing their program."""
    return updates >= TRACED_FROM_UPDATES


def worth_compiling(updates: float, operations: int) -> bool:
    """Whether so many updates, each a graph of so many operations, repay compiling them."""
    return updates * operations * OPERATION_SECONDS >= COMPILING_SECONDS / 2


def _compiles(work: Work) -> bool:
    """Even a single lane is worth compiling where it is long enough."""
    return work.updates * DISPATCH_SECONDS > COMPILING_SECONDS and worth_compiling(work.updates, _OPERATIONS)
