"""Measure the speed of this machine, so that costs that are known as ratios become seconds."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import torch

_OPERATIONS, _REPETITIONS = 200, 5


def operation_seconds() -> float:
    """Return the seconds of one small tensor operation, Python's part included.

    The probe takes a few milliseconds, and changes no generator and no setting. Costs of this project that
    are not measured, such as drawing figures or compiling, are written down as numbers of such operations.
    On the two cores of the server on which they were counted, an operation took 2.9 µs.
    """
    value = torch.ones(10, 10)
    seconds = []
    with torch.no_grad():
        for _ in range(_REPETITIONS):
            began = perf_counter()
            for _ in range(_OPERATIONS):
                value + 1.0
            seconds.append((perf_counter() - began) / _OPERATIONS)
    return median(seconds)
