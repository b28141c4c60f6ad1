"""Make a workload on other splits of its data, each at its first use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from ..core.memmap import is_memory_mapped
from ..core.rng import SPLIT, preserved_rng, seed_everything, seed_sequence
from ..core.tree import tensors
from ..interfaces.data import is_tensors
from ..interfaces.workload import Workload
from .data import Source, plain, sources

_KEPT_BYTES = 2**30


class Split(NamedTuple):
    """Hold a workload on one split of its data, and the sources of its sets."""

    workload: Workload
    sources: dict[str, Source]


class Splits:
    """Make the splits of a workload other than its own, and cache the last few within a memory limit.

    Args:
        workload: The workload on its own split.
        device: The device of its tensors.
        dtype: The dtype of its floating-point tensors.
    """

    def __init__(self, workload: Workload, device: torch.device, dtype: torch.dtype) -> None:
        self._workload, self._device, self._dtype = workload, device, dtype
        self._most = max(1, _KEPT_BYTES // max(1, _bytes(workload)))
        self._kept: dict[int, Split] = {}

    def of(self, number: int) -> Split:
        """Return a split by its number.

        Args:
            number: The number of the split, from 1; 0 is the workload's own split.

        Raises:
            WorkloadError: The split cannot be made.
        """
        if number in self._kept:
            self._kept[number] = self._kept.pop(number)  # now the most recently used
        else:
            workload = split_again(self._workload, number)
            while len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = Split(workload, sources(workload, self._device, self._dtype))
        return self._kept[number]


def other_splits(workload: Workload, count: int) -> Iterator[Workload]:
    """Yield the workload on each of ``count`` splits but its own."""
    yield from (split_again(workload, number) for number in range(1, count))


def split_again(workload: Workload, number: int) -> Workload:
    """Return ``workload.on_split(number)``, with the global generators seeded by the number."""
    with preserved_rng():
        seed_everything(seed_sequence(SPLIT, number))
        return workload.on_split(number)


def _bytes(workload: Workload) -> int:
    """Return the bytes of a workload's tensors, without memory-mapped ones."""
    held = [part for data in workload.sets.values() if is_tensors(data) for part in tensors(plain(data))]
    return sum(part.nbytes for part in held if not is_memory_mapped(part))
