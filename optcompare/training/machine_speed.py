"""Measure the speed of this machine, so that costs that are known as ratios become seconds."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch

_OPERATIONS = 200


def mean_seconds(call: Callable[[], object], window: float) -> float:
    """Return the mean seconds of a call, repeated for a while after a first call that does not count.

    The mean counts other programs that use the machine now, and may do so during the run; the fastest call
    would not. A first call that takes longer than the window counts after all, and is not repeated.

    Args:
        call: The call to time.
        window: The approximate seconds of all calls that count.
    """
    began = perf_counter()
    call()
    first = perf_counter() - began
    if first > window:
        return first
    began, number = perf_counter(), 0
    while (passed := perf_counter() - began) < window:
        call()
        number += 1
    return passed / number


def operation_seconds(window: float) -> float:
    """Return the mean seconds of one small tensor operation, Python's part included.

    The probe changes no generator and no setting. Costs of this project that are not measured, such as
    drawing figures or compiling, are written down as numbers of such operations. On the two cores of the
    server on which they were counted, an operation took 2.9 µs.

    Args:
        window: The approximate seconds of the probe.
    """
    value = torch.ones(10, 10)

    def operations() -> None:
        for _ in range(_OPERATIONS):
            value + 1.0

    with torch.no_grad():
        return mean_seconds(operations, window) / _OPERATIONS
