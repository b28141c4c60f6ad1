"""Load batches by their indices, from tensors or from a map-style ``Dataset``, onto the device."""

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
from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from ..interfaces.data import is_tensors, rows
from ..interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK_BYTES = 2**22
FEWEST_ROWS_A_PASS = 32
"""The rows of one forward pass, by default, at the least."""

Collate = Callable[[list[Any]], Any]


class Source(Protocol):
    """Describe one set of data that a trainer draws batches from.

    Attributes:
        n: Rows of the set.
    """

    n: int

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        """Yield one batch for each index tensor, on the device.

        Args:
            batches: Indices of the rows, int64[B] each.
            seed: Seed of the trial, for the random numbers that a Dataset draws.
            epoch: Number of the epoch, for the same purpose.
            ahead: Whether batches may be loaded before they are used.
        """
        ...


def source(
    data: Any, device: torch.device, dtype: torch.dtype, workers: int = 0, collate: Collate | None = None
) -> Source:
    """Return the source of one set of a workload.

    Args:
        data: Tensors in a tuple or a mapping, or a map-style ``Dataset``.
        device: The device of the batches.
        dtype: The dtype of their floating-point tensors.
        workers: Worker processes that load samples of a Dataset.
        collate: A function that makes a batch of samples of a Dataset; None: torch's default.
    """
    if not is_tensors(data):
        return DatasetSource(data, device, dtype, workers, collate)
    whole = plain(data)
    if any(is_memory_mapped(part) and not _fits(part, device, dtype) for part in tensors(whole)):
        return MappedSource(whole, device, dtype)
    return TensorSource(move_batch(whole, device, dtype))


def plain(data: Any) -> Any:
    """Return nested tensors with every mapping as a plain dictionary."""
    if isinstance(data, Mapping):
        return {key: plain(value) for key, value in data.items()}
    return tuple(map(plain, data)) if isinstance(data, tuple) else data


def _fits(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> bool:
    return tensor.device == device and tensor.dtype == move_batch(tensor[:0], device, dtype).dtype


def sources(workload: Workload, device: torch.device, dtype: torch.dtype) -> dict[str, Source]:
    """Return the source of each set of a workload, by the name of the set."""
    return {
        name: source(data, device, dtype, workload.workers, workload.collate)
        for name, data in workload.sets.items()
    }


class TensorSource:
    """Draw batches from tensors that stay on the device.

    Attributes:
        tensors: The tensors of the data, flattened.
        batch: Builds a batch with the structure of the data from selected rows of each tensor.
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
        parts, build_batch = self.tensors, self.batch
        if parts[0].device.type != "cpu" and batches:
            flat = torch.cat(list(batches)).to(parts[0].device)
            batches = flat.split([len(batch) for batch in batches])
        for batch in batches:
            yield build_batch([part.index_select(0, batch) for part in parts])


class MappedSource:
    """Draw batches from memory-mapped tensors: each batch is read from the file, then moved and cast."""

    def __init__(self, data: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._data, self.n = data, rows(data)
        self._device, self._dtype = device, dtype

    def stream(
        self, batches: Sequence[Tensor], seed: int, epoch: int, *, ahead: bool = True
    ) -> Iterator[Any]:
        for batch in batches:
            parts = [part.index_select(0, batch.to(part.device)) for part in tensors(self._data)]
            yield move_batch(replace_tensors(self._data, parts), self._device, self._dtype)


class DatasetSource:
    """Draw batches from a map-style ``Dataset`` through a ``DataLoader`` that never shuffles.

    The random numbers that a sample draws from the global generators of torch, NumPy or Python depend only on
    (seed, epoch, index), not on the process that loads it or on other samples. The generators of the training
    process do not change.
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
    """Seed the global generators by (seed, epoch, index) before each sample of a Dataset is read."""

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
    """Return a batch of the first rows, on the CPU in float32."""
    count = min(count, rows(data))
    if is_tensors(data):
        batch: Any = map_tensors(torch.clone, select_rows(plain(data), slice(count)))
    else:
        with preserved_rng():
            batch = (collate or default_collate)([SeededSamples(data, 0, 0)[index] for index in range(count)])
    return move_batch(batch, torch.device("cpu"), torch.float32)


def default_chunk(data: Any, collate: Collate | None = None) -> int:
    """Return the default number of rows in one forward pass: a power of two from 32 to 16384.

    The input of these rows fills at most 4 MiB. The number depends on the data alone, since it determines how
    results are rounded.

    Args:
        data: A set of a workload.
        collate: A function that makes a batch of samples of a Dataset; None: torch's default.

    Raises:
        WorkloadError: The first sample of a Dataset does not make a batch.
    """
    try:
        bytes_a_row = max(1, sum(part.nbytes for part in tensors(first_rows(data, 1, collate))))
    except USER_CODE_ERRORS as error:
        raise WorkloadError(
            f"the first sample of the Dataset cannot be made into a batch: {explain(error)}"
        ) from error
    return min(16384, max(FEWEST_ROWS_A_PASS, 1 << max(0, (_CHUNK_BYTES // bytes_a_row).bit_length() - 1)))
