"""Batches on the device, from tensors or from a map-style ``Dataset``, by the core's own indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from ..errors import WorkloadError
from ..mapped import is_mapped
from ..seeds import SAMPLE, preserved_rng, seed_python, sequence
from ..workload import rows

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK_BYTES = 2**22


class Source(Protocol):
    """Where a trainer gets its batches."""

    n: int

    def stream(self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True) -> Iterator[Any]:
        """One batch for each int64 index tensor, on the device. ``ahead``: whether it may be loaded before it is
        asked for."""
        ...


def source(data: Any, device: torch.device, dtype: torch.dtype, workers: int = 0) -> Source:
    """The source for a workload's ``train`` or ``valid``."""
    if isinstance(data, tuple):
        if any(is_mapped(part) and not _fits(part, device, dtype) for part in data):
            return MappedSource(data, device, dtype)
        return TensorSource(tuple(moved(part, device, dtype) for part in data))
    return DatasetSource(data, device, dtype, workers)


class TensorSource:
    """Tensors that stay on the device."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors
        self.n = len(tensors[0])

    def stream(self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True) -> Iterator[Any]:
        tensors = self.tensors
        if tensors[0].device.type != "cpu" and batches:
            flat = torch.cat(list(batches)).to(tensors[0].device)
            batches = flat.split([len(batch) for batch in batches])
        for batch in batches:
            yield tuple([tensor.index_select(0, batch) for tensor in tensors])


class MappedSource:
    """Tensors of which some lie in a file: each batch is read there, then moved and cast."""

    def __init__(self, tensors: tuple[Tensor, ...], device: torch.device, dtype: torch.dtype) -> None:
        self.tensors, self.n = tensors, len(tensors[0])
        self._device, self._dtype = device, dtype

    def stream(self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True) -> Iterator[Any]:
        for batch in batches:
            found = [tensor.index_select(0, batch.to(tensor.device)) for tensor in self.tensors]
            yield tuple(moved(part, self._device, self._dtype) for part in found)


class DatasetSource:
    """A map-style ``Dataset`` behind a ``DataLoader`` that is handed index batches and never shuffles.

    What a sample draws from torch's, NumPy's or Python's global generators is a
    function of (seed, epoch, index), whichever process loads it and whatever
    else was drawn; the training process's own generators are left alone.
    """

    def __init__(self, dataset: Any, device: torch.device, dtype: torch.dtype, workers: int) -> None:
        self.dataset, self.n = dataset, len(dataset)
        self._device, self._dtype, self._workers = device, dtype, workers

    def stream(self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            SeededSamples(self.dataset, seed, epoch),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self._workers if ahead else 0,
            generator=torch.Generator(),
        )
        with preserved_rng():
            iterator = iter(loader)
        while True:
            with preserved_rng():
                batch = next(iterator, None)
            if batch is None:
                return
            yield moved(batch, self._device, self._dtype)


class SeededSamples(torch.utils.data.Dataset[Any]):
    """A Dataset whose samples draw from generators seeded by (seed, epoch, index)."""

    def __init__(self, dataset: Any, seed: int, epoch: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        words = sequence(SAMPLE, self.seed, self.epoch, index).generate_state(2, np.uint64)
        torch.default_generator.manual_seed(int(words[0] >> np.uint64(1)))
        seed_python(int(words[1]))
        return self.dataset[index]


def moved(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The batch on the device, its floating-point tensors in ``dtype``."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, dtype if batch.is_floating_point() else None)
    if isinstance(batch, Mapping):
        return {key: moved(value, device, dtype) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(moved(part, device, dtype) for part in batch)
    return batch


def _fits(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    return tensor.device == device and (tensor.dtype == dtype or not tensor.is_floating_point())


def first_rows(data: Any, count: int) -> Any:
    """A batch of the first rows, on the CPU in float32."""
    count = min(count, rows(data))
    if isinstance(data, tuple):
        batch: Any = tuple(part[:count].clone() for part in data)
    else:
        with preserved_rng():
            batch = default_collate([SeededSamples(data, 0, 0)[index] for index in range(count)])
    return moved(batch, torch.device("cpu"), torch.float32)


def default_chunk(data: Any) -> int:
    """Rows in one forward pass unless told otherwise: a power of two from 32 to 16384 whose input fills at most 4 MiB.

    A function of the data alone, since it decides the rounding of a result.
    """
    try:
        bytes_a_row = max(1, _bytes(first_rows(data, 1)))
    except (TypeError, RuntimeError, KeyError) as error:
        raise WorkloadError(f"the first sample of the Dataset cannot be made into a batch: {error}") from error
    return min(16384, max(32, 1 << max(0, (_CHUNK_BYTES // bytes_a_row).bit_length() - 1)))


def _bytes(batch: Any) -> int:
    if isinstance(batch, torch.Tensor):
        return batch.numel() * batch.element_size()
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return sum(map(_bytes, parts))
