"""Batches on the device, from tensors or from a map-style ``Dataset``, by the core's own indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from ..core.memmap import is_memory_mapped
from ..core.rng import SAMPLE, preserved_rng, seed_python, seed_sequence
from ..core.tree import map_tensors, move_batch, replace_tensors, select_rows, tensors
from ..errors import WorkloadError
from ..interfaces.data import is_tensors, rows
from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK_BYTES = 2**22

Collate = Callable[[list[Any]], Any]


class Source(Protocol):
    """Where a trainer gets its batches."""

    n: int

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        """One batch for each int64 index tensor, on the device.

        ``ahead``: whether it may be loaded before it is asked for.
        """
        ...


def source(
    data: Any, device: torch.device, dtype: torch.dtype, workers: int = 0, collate: Collate | None = None
) -> Source:
    """The source of one set of a workload."""
    if not is_tensors(data):
        return DatasetSource(data, device, dtype, workers, collate)
    whole = plain(data)
    if any(is_memory_mapped(part) and not _fits(part, device, dtype) for part in tensors(whole)):
        return MappedSource(whole, device, dtype)
    return TensorSource(move_batch(whole, device, dtype))


def plain(data: Any) -> Any:
    """Tensors in tuples and dictionaries, whatever kind of mapping holds them."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    return tuple(map(plain, data)) if isinstance(data, tuple) else data


def _fits(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    return tensor.device == device and tensor.dtype == move_batch(tensor[:0], device, dtype).dtype


def sources(workload: Workload, device: torch.device, dtype: torch.dtype) -> dict[str, Source]:
    """The source of each set of a workload, by its name."""
    return {
        name: source(data, device, dtype, workload.workers, workload.collate)
        for name, data in workload.sets.items()
    }


class TensorSource:
    """Tensors that stay on the device, in a tuple or a dictionary.

    ``batch``: makes one of its form from some of each.
    """

    def __init__(self, data: Any) -> None:
        self.tensors = tuple(tensors(data))
        self.n = len(self.tensors[0])
        form = map_tensors(lambda part: part[:0], data)
        flat = isinstance(data, tuple) and len(data) == len(self.tensors)
        self.batch: Callable[[Sequence[Tensor]], Any] = tuple if flat else partial(replace_tensors, form)

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        parts, made = self.tensors, self.batch
        if parts[0].device.type != "cpu" and batches:
            flat = torch.cat(list(batches)).to(parts[0].device)
            batches = flat.split([len(batch) for batch in batches])
        for batch in batches:
            yield made([part.index_select(0, batch) for part in parts])


class MappedSource:
    """Tensors of which some lie in a file: each batch is read there, then moved and cast."""

    def __init__(self, data: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._data, self.n = data, rows(data)
        self._device, self._dtype = device, dtype

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        for batch in batches:
            found = [part.index_select(0, batch.to(part.device)) for part in tensors(self._data)]
            yield move_batch(replace_tensors(self._data, found), self._device, self._dtype)


class DatasetSource:
    """A map-style ``Dataset`` behind a ``DataLoader`` that is handed index batches and never shuffles.

    What a sample draws from torch's, NumPy's or Python's global generators is a
    function of (seed, epoch, index), whichever process loads it and whatever
    else was drawn; the training process's own generators are left alone.
    """

    def __init__(
        self,
        dataset: Any,
        device: torch.device,
        dtype: torch.dtype,
        workers: int,
        collate: Collate | None = None,
    ) -> None:
        self.dataset, self.n = dataset, len(dataset)
        self._device, self._dtype, self._workers, self._collate = device, dtype, workers, collate

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            SeededSamples(self.dataset, seed, epoch),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self._workers if ahead else 0,
            collate_fn=self._collate,
            generator=torch.Generator(),
        )
        with preserved_rng():
            iterator = iter(loader)
        while True:
            with preserved_rng():
                batch = next(iterator, None)
            if batch is None:
                return
            yield move_batch(batch, self._device, self._dtype)


class SeededSamples(torch.utils.data.Dataset[Any]):
    """A Dataset whose samples draw from generators seeded by (seed, epoch, index)."""

    def __init__(self, dataset: Any, seed: int, epoch: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        words = seed_sequence(SAMPLE, self.seed, self.epoch, index).generate_state(2, np.uint64)
        torch.default_generator.manual_seed(int(words[0] >> np.uint64(1)))
        seed_python(int(words[1]))
        return self.dataset[index]


def first_rows(data: Any, count: int, collate: Collate | None = None) -> Any:
    """A batch of the first rows, on the CPU in float32."""
    count = min(count, rows(data))
    if is_tensors(data):
        batch: Any = map_tensors(torch.clone, select_rows(plain(data), slice(count)))
    else:
        with preserved_rng():
            batch = (collate or default_collate)([SeededSamples(data, 0, 0)[index] for index in range(count)])
    return move_batch(batch, torch.device("cpu"), torch.float32)


def default_chunk(data: Any, collate: Collate | None = None) -> int:
    """Return the default number of rows in one forward pass: a power of two from 32 to 16384.

    Their input fills at most 4 MiB. It is a function of the data alone, since it decides the rounding of a
    result.
    """
    try:
        bytes_a_row = max(1, sum(part.nbytes for part in tensors(first_rows(data, 1, collate))))
    except (TypeError, RuntimeError, KeyError) as error:
        raise WorkloadError(
            f"the first sample of the Dataset cannot be made into a batch: {error}"
        ) from error
    return min(16384, max(32, 1 << max(0, (_CHUNK_BYTES // bytes_a_row).bit_length() - 1)))
