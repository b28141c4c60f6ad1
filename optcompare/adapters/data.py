"""Convert a user's data (arrays, tables, mappings, Datasets, loaders) to the form that a workload accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, default_collate

from ..core.tree import Batch, Tree, map_tensors, tensors
from ..errors import WorkloadError
from ..interfaces.data import is_tensors, refuse_empty, rows
from .arrays import Classes, holds_arrays, is_array, list_values, to_inputs, to_targets

if TYPE_CHECKING:
    from torch import Tensor

UserData = Any
"""Data as a user has it: (X, y), a mapping, a list of samples, a map-style Dataset, or its DataLoader."""
Data = Any
"""Data as a workload accepts it: a tuple or a mapping of tensors, or a map-style Dataset."""
Collate = Callable[[list[Any]], Batch]
"""Makes a batch of a list of samples."""


@dataclass(frozen=True)
class PreparedData:
    """Data in the form that a workload accepts, with what was found out about it.

    Attributes:
        data: A tuple or a mapping of tensors, or a map-style Dataset.
        classes: What the codes of y stand for; None where y held numbers.
        collate: The collate function of a DataLoader; None for torch's.
        batch_size: The batch size of a DataLoader.
        workers: The number of worker processes of a DataLoader.
        notes: Notes for the user: a sentence for each decision.
    """

    data: Data
    classes: Classes | None = None
    collate: Collate | None = None
    batch_size: int | None = None
    workers: int = 0
    notes: tuple[str, ...] = ()

    def select(self, indices: Tensor) -> PreparedData:
        """Return the same data with some of its samples.

        Args:
            indices: The samples to keep, int64[n].
        """
        if is_tensors(self.data):
            return replace(self, data=map_tensors(lambda part: part[indices], self.data))
        return replace(self, data=Subset(self.data, indices.tolist()))


def prepare_data(
    data: UserData,
    name: str,
    classes: Classes | None = None,
    *,
    without_y: bool = False,
    samples: bool = False,
) -> PreparedData:
    """Convert data to the form that a workload accepts.

    Args:
        data: Arrays as (X, y), (x1, x2, y) or (X,), a mapping of arrays, a list of samples, a map-style
            Dataset, or a DataLoader of one.
        name: ``train``, ``valid`` or ``test``, for messages.
        classes: The classes that the values of y must be among; None to find them.
        without_y: Whether inputs without a y are enough.
        samples: Whether a list holds samples, since a collate function makes batches of it.

    Returns:
        The prepared data.

    Raises:
        WorkloadError: The data has another form, is empty, or its parts do not fit together.
    """
    if isinstance(data, DataLoader):
        return _from_loader(data, name)
    if isinstance(data, IterableDataset):
        raise WorkloadError(
            f"{name} is an IterableDataset, which decides the order of its samples itself; give a map-style "
            "Dataset, with __getitem__ and __len__"
        )
    if isinstance(data, (tuple, list)) and len(data) == 0:
        raise WorkloadError(f"{name} holds no samples; give at least one")
    if isinstance(data, Mapping):
        inputs = {key: to_inputs(value, f"{name}[{key!r}]") for key, value in data.items()}
        return PreparedData(_with_equal_lengths(inputs, name))
    if isinstance(data, list) and (samples or isinstance(data[0], (tuple, Mapping))):
        return PreparedData(data)
    if isinstance(data, (tuple, list)) or is_array(data):
        return _from_arrays(data, name, classes, without_y)
    _refuse_other(data, name)
    return PreparedData(_unwrap_tensors(data))


def _from_arrays(data: UserData, name: str, classes: Classes | None, without_y: bool) -> PreparedData:
    """Convert (X, y), (x1, x2, y), (X,) or, where no y is needed, X."""
    if isinstance(data, tuple) and len(data) == 1 and holds_arrays(data[0]):
        return PreparedData(_with_equal_lengths((to_inputs(data[0], f"{name}: x"),), name))
    if without_y and is_array(data) and not isinstance(data, list):
        return PreparedData((to_inputs(data, f"{name}: x"),))
    if isinstance(data, (tuple, list)) and len(data) >= 2 and all(map(holds_arrays, data[:-1])):
        single = len(data) == 2
        inputs = [
            to_inputs(part, f"{name}: x" if single else f"{name}: input {number}")
            for number, part in enumerate(data[:-1], 1)
        ]
        y, classes = to_targets(data[-1], f"{name}: y", classes)
        return PreparedData(_with_equal_lengths((*inputs, y), name), classes)
    if isinstance(data, list) and not (
        isinstance(data[0], (int, float, str, list, np.generic)) or is_array(data[0])
    ):
        raise WorkloadError(
            f"{name} is a list of {type(data[0]).__name__} objects; give collate=, a function that makes a "
            "batch of a list of them, and, if that batch is not (x, y), forward=, a function "
            "forward(model, batch) that returns output, y"
        )
    raise WorkloadError(
        f"{name} is a {type(data).__name__}, which does not say what is to be predicted; give inputs and y "
        "as (X, y) or (x1, x2, y), or (X,) for a model that returns its loss"
    )


def _refuse_other(data: UserData, name: str) -> None:
    """Raise WorkloadError for an object that is no map-style Dataset with samples."""
    kind = type(data).__name__
    if isinstance(data, (str, bytes)) or not hasattr(data, "__getitem__"):
        raise WorkloadError(
            f"{name} is a {kind}; give (X, y), a mapping of tensors, a map-style Dataset, or a DataLoader "
            "of one"
        )
    refuse_empty(name, data)


def _from_loader(loader: DataLoader[Any], name: str) -> PreparedData:
    """Return the Dataset, collate function, batch size and worker count of a loader."""
    dataset, batches = loader.dataset, loader.batch_sampler
    if isinstance(dataset, IterableDataset):
        raise WorkloadError(
            f"{name} is a DataLoader of an IterableDataset, which decides the order of its samples itself; "
            "give a DataLoader of a map-style Dataset, with __getitem__ and __len__"
        )
    if batches is None:
        raise WorkloadError(
            f"{name} is a DataLoader with batch_size=None, whose Dataset returns whole batches; give a "
            "DataLoader of single samples"
        )
    _refuse_other(dataset, name)
    selected, notes = _apply_sampler(loader, name)
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    size = loader.batch_size or getattr(batches, "batch_size", None)
    data = selected if collate else _unwrap_tensors(selected)
    workers = 0 if is_tensors(data) else loader.num_workers
    return PreparedData(data, None, collate, size, workers, tuple(notes))


def _apply_sampler(loader: DataLoader[Any], name: str) -> tuple[Data, list[str]]:
    """Return the samples that a loader's sampler selects, and notes on what of it is not used."""
    dataset, sampler, batches = loader.dataset, loader.sampler, loader.batch_sampler
    kind = type(sampler if type(batches) is torch.utils.data.BatchSampler else batches).__name__
    notes = [
        f"{name}: the DataLoader's {kind} is replaced by the shared order, which each strategy cuts into "
        "batches"
    ]
    if loader.drop_last and name == "train":
        notes.append("train: drop_last is not used; mini:tail=merge avoids a short last batch, too")
    indices, size = getattr(sampler, "indices", None), len(cast(Sized, dataset))
    if indices is not None and len(indices) != size:
        notes.append(f"{name}: only the {len(indices)} of {size} samples that its {kind} selects are used")
        dataset = Subset(dataset, list(indices))
    elif isinstance(drawn := getattr(sampler, "num_samples", None), int) and drawn != rows(dataset):
        notes.append(
            f"{name}: its {type(sampler).__name__} draws {drawn} times from {size} samples in an epoch; a "
            "comparison uses every sample once in an epoch"
        )
    if type(sampler).__name__ == "WeightedRandomSampler":
        notes.append(
            f"{name}: the weights of its {kind} are not used, since every sample is used once in an epoch"
        )
    return dataset, notes


def _unwrap_tensors(dataset: Data) -> Data:
    """Return the tensors of a ``TensorDataset``, or of a subset of one; any other Dataset as it is."""
    if type(dataset) is TensorDataset and len(dataset.tensors) > 1:
        return dataset.tensors
    if type(dataset) is Subset and isinstance(whole := _unwrap_tensors(dataset.dataset), tuple):
        return tuple(part[torch.as_tensor(dataset.indices)] for part in whole)
    return dataset


def _with_equal_lengths(data: Tree, name: str) -> Tree:
    """Return the data; raise WorkloadError unless all its tensors have as many rows, at least one."""
    lengths = [len(part) if part.ndim else 0 for part in tensors(data)]
    if not any(lengths):
        raise WorkloadError(f"{name} holds no samples; give at least one")
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise WorkloadError(
            f"{name} has parts of {list_values(lengths)} rows; give the same number of rows in each"
        )
    return data
