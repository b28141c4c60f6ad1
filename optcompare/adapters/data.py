"""Data as people have it (arrays, tables, lists, mappings, loaders) becomes data as a workload takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, default_collate

from ..core.tree import map_tensors, tensors
from ..errors import WorkloadError
from ..interfaces.data import is_tensors, refuse_empty, rows

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 8
Classes = tuple[Any, ...]


@dataclass(frozen=True)
class Given:
    """``data``: as :class:`Workload` takes it.

    ``classes``: what y's codes stand for, where y was not given as numbers.
    ``collate``, ``batch_size``, ``workers``: a loader's. ``notes``: what was decided.
    """

    data: Any
    classes: Classes | None = None
    collate: Any = None
    batch_size: int | None = None
    workers: int = 0
    notes: tuple[str, ...] = field(default=())

    def part(self, indices: Tensor) -> Given:
        """Some of the samples."""
        if is_tensors(self.data):
            return replace(self, data=map_tensors(lambda part: part[indices], self.data))
        return replace(self, data=Subset(self.data, indices.tolist()))


def given(
    data: Any, name: str, classes: Classes | None = None, *, alone: bool = False, samples: bool = False
) -> Given:
    """Data of one side in the form that a workload takes.

    Args:
        data: As the user has it.
        name: train or valid.
        classes: Those that y's values must be among.
        alone: Whether inputs without a y are enough.
        samples: Whether a list is one of samples, since there is a function that makes a batch of them.
    """
    if isinstance(data, DataLoader):
        return _of_loader(data, name)
    if isinstance(data, IterableDataset):
        raise WorkloadError(
            f"{name} is an IterableDataset, whose samples come in an order of its own; give a map-style "
            "Dataset, with "
            "__getitem__ and __len__"
        )
    if isinstance(data, (tuple, list)) and len(data) == 0:
        raise WorkloadError(f"{name} holds no samples")
    if isinstance(data, Mapping):
        return Given(
            _of_one_length({key: _inputs(value, f"{name}[{key!r}]") for key, value in data.items()}, name)
        )
    if isinstance(data, list) and data and (samples or isinstance(data[0], (tuple, Mapping))):
        return Given(data)
    if isinstance(data, tuple) and len(data) == 1 and _is_input(data[0]):
        return Given(_of_one_length((_inputs(data[0], f"{name}: x"),), name))
    if alone and _is_array(data) and not isinstance(data, list):
        return Given((_inputs(data, f"{name}: x"),))
    if isinstance(data, (tuple, list)) and len(data) >= 2 and all(map(_is_input, data[:-1])):
        whos = [
            f"{name}: x" if len(data) == 2 else f"{name}: input {number}" for number in range(1, len(data))
        ]
        inputs = [_inputs(part, who) for part, who in zip(data, whos, strict=False)]
        y, classes = _answers(data[-1], name, classes)
        return Given(_of_one_length((*inputs, y), name), classes)
    if _is_array(data) or isinstance(data, (tuple, list)):
        what = f"a {type(data).__name__}"
        if (
            isinstance(data, list)
            and not isinstance(data[0], (int, float, str, list, np.generic))
            and not _is_array(data[0])
        ):
            raise WorkloadError(
                f"{name} is a list of {type(data[0]).__name__} objects; give collate=, a function that "
                "makes a batch of a list "
                "of them, and where that is not (x, y), forward=, called as forward(model, batch), which "
                "returns output, y"
            )
        raise WorkloadError(
            f"{name} is {what}, which does not say what is to be predicted; give inputs and y as (X, y), or "
            "(x1, x2, y); or (X,) "
            "of a model that returns its loss"
        )
    _refuse_other(data, name)
    return Given(_plain_tensors(data))


def _refuse_other(data: Any, name: str) -> None:
    """Raises for what is no map-style Dataset with samples in it."""
    kind = type(data).__name__
    if isinstance(data, (str, bytes)) or not hasattr(data, "__getitem__"):
        raise WorkloadError(
            f"{name} is a {kind}; give (X, y), a mapping of tensors, a map-style Dataset, or a DataLoader "
            "of one"
        )
    refuse_empty(name, data)


def listed(values: Sequence[Any]) -> str:
    """A few of them, in words."""
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown}, … ({len(values)} in all)"


def _of_loader(loader: DataLoader[Any], name: str) -> Given:
    dataset, sampler, batches = loader.dataset, loader.sampler, loader.batch_sampler
    if isinstance(dataset, IterableDataset):
        raise WorkloadError(
            f"{name} is a DataLoader of an IterableDataset, whose samples come in an order of its own; give "
            "one of a "
            "map-style Dataset, with __getitem__ and __len__"
        )
    if batches is None:
        raise WorkloadError(
            f"{name} is a DataLoader with batch_size=None, whose Dataset makes the batches itself; give one "
            "of single samples"
        )
    _refuse_other(dataset, name)
    kind = type(sampler if type(batches) is torch.utils.data.BatchSampler else batches).__name__
    notes = [
        f"{name}: the DataLoader's {kind} is replaced by the shared order, cut into batches by each strategy"
    ]
    if loader.drop_last and name == "train":
        notes.append("train: drop_last is not taken over; mini:tail=merge leaves no short last batch either")
    indices = getattr(sampler, "indices", None)
    if indices is not None and len(indices) != len(dataset):  # type: ignore[arg-type]
        notes.append(f"{name}: the {len(indices)} samples of its {kind} are taken, of {len(dataset)}")  # type: ignore[arg-type]
        dataset = Subset(dataset, list(indices))
    elif isinstance(drawn := getattr(sampler, "num_samples", None), int) and drawn != rows(dataset):
        notes.append(
            f"{name}: its {type(sampler).__name__} draws {drawn} samples an epoch, of {rows(dataset)}; here "
            "every sample comes "
            "once an epoch"
        )
    if type(sampler).__name__ == "WeightedRandomSampler":
        notes.append(f"{name}: the weights of its {kind} are not used: every sample comes once an epoch")
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    size = loader.batch_size or getattr(batches, "batch_size", None)
    data = dataset if collate else _plain_tensors(dataset)
    workers = 0 if is_tensors(data) else loader.num_workers
    return Given(data, None, collate, size, workers, tuple(notes))


def _plain_tensors(dataset: Any) -> Any:
    """The tensors of a ``TensorDataset`` or of a part of one, which need not be loaded one by one; else the
    Dataset.
    """
    if type(dataset) is TensorDataset and len(dataset.tensors) > 1:
        return dataset.tensors
    if type(dataset) is Subset and isinstance(whole := _plain_tensors(dataset.dataset), tuple):
        return tuple(part[torch.as_tensor(dataset.indices)] for part in whole)
    return dataset


def _is_input(value: Any) -> bool:
    """Whether it is an array, or a tuple or a mapping of them."""
    if isinstance(value, Mapping):
        return bool(value) and all(map(_is_input, value.values()))
    return _is_array(value) or (isinstance(value, tuple) and bool(value) and all(map(_is_input, value)))


def _is_array(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, list)) or hasattr(value, "__array__") or hasattr(value, "toarray")


def _inputs(value: Any, who: str) -> Any:
    """A tensor of numbers; raises :class:`WorkloadError`, naming the column that holds something else."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise WorkloadError(f"{who} holds complex numbers; give real and imaginary parts as columns")
        return value.to_dense() if value.layout != torch.strided else value
    if isinstance(value, Mapping):
        return {key: _inputs(each, f"{who}[{key!r}]") for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_inputs(each, f"{who}[{number}]") for number, each in enumerate(value))
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        return _of_frame(value, who)
    return _of_array(value.toarray() if hasattr(value, "toarray") else value, who)


def _of_array(value: Any, who: str) -> Tensor:
    _refuse_masked(value, who)
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(float)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"their type is {array.dtype}")
        return _tensor(array)
    except (TypeError, ValueError) as error:
        raise WorkloadError(
            f"{who} holds {_oddity(value, error)}, where numbers are expected; encode it, or take a table as "
            "csv:FILE:y=COLUMN, which does"
        ) from error


def _oddity(value: Any, error: Exception) -> str:
    """What an array holds that is no number."""
    if len({len(row) for row in value if isinstance(row, (list, tuple))}) > 1:
        return "rows of several lengths"
    each = np.asarray(value, dtype=object).flat
    sample = next((one for one in each if isinstance(one, str) or one is None), 0)
    if sample is None:
        return "None"
    return f"text, such as {sample!r}" if isinstance(sample, str) else f"values that make no array ({error})"


def _tensor(array: Any) -> Tensor:
    """Of any array of numbers, whatever its byte order, strides and width."""
    kind = (
        {"f": np.float64} if array.dtype.itemsize > 8 else {"u": np.int64} if array.dtype.itemsize > 1 else {}
    )
    wanted = kind.get(array.dtype.kind, array.dtype.newbyteorder("="))
    return torch.tensor(np.ascontiguousarray(array, dtype=wanted).reshape(array.shape))


def _refuse_masked(value: Any, who: str) -> None:
    """Raises for a masked array, whose masked values would be trained on."""
    mask = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else np.zeros(1, dtype=bool)
    if mask.any():
        first = int(np.argwhere(mask)[0][0])
        raise WorkloadError(
            f"{who} holds {mask.sum()} masked values, the first in row {first}; replace them, or leave out "
            "their rows"
        )


def _of_frame(frame: Any, who: str) -> Tensor:
    import pandas as pd

    frame = frame.infer_objects()
    for number, name in enumerate(frame.columns):
        column = frame.iloc[:, number]
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            held = column.dropna()
            sample = next((each for each in held if isinstance(each, str)), next(iter(held), None))
            raise WorkloadError(
                f"{who}: column '{name}' holds {column.dtype}, such as {sample!r}, where numbers are "
                "expected; drop or encode "
                "it, or save the table and take csv:FILE:y=COLUMN, which encodes by itself"
            )
    return torch.tensor(frame.to_numpy(dtype=np.float32, na_value=np.nan))


def _answers(y: Any, name: str, classes: Classes | None) -> tuple[Any, Classes | None]:
    """y as numbers; of booleans, texts and categories the codes, and what they stand for; several ys as they
    are.
    """
    who = f"{name}: y"
    if isinstance(y, (tuple, Mapping)) and _is_input(y):
        return _inputs(y, who), None
    _refuse_masked(y, who)
    if isinstance(y, torch.Tensor):
        return (y.long(), classes or (False, True)) if y.dtype == torch.bool else (y, None)
    if hasattr(y, "columns") and len(y.columns) == 1:
        y = y.iloc[:, 0]
    elif hasattr(y, "columns"):
        return _of_frame(y, who), None
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    array = np.asarray(y)
    if array.dtype.kind in "iuf" and categories is None:
        return _tensor(array), None
    if array.dtype.kind not in "bOUST" and categories is None:
        raise WorkloadError(f"{who} holds {array.dtype}, which is neither numbers nor classes")
    values = array.reshape(-1).tolist()
    missing = [place for place, value in enumerate(values) if value is None or value != value]
    if missing:
        raise WorkloadError(
            f"{who} has no value in row {missing[0]} ({len(missing)} in all); leave those rows out"
        )
    if categories is None and not all(isinstance(value, (str, bytes, bool)) for value in values):
        try:
            return torch.tensor(np.asarray(values, dtype=float)), None
        except (TypeError, ValueError):
            raise WorkloadError(
                f"{who} holds values of several kinds; give numbers, or a text for each class"
            ) from None
    known = classes or tuple(sorted(set(values)) if categories is None else list(categories))
    codes = {value: code for code, value in enumerate(known)}
    new = [value for value in dict.fromkeys(values) if value not in codes]
    if new:
        raise WorkloadError(
            f"{who} holds {listed(new)}, which is none of the classes of train: {listed(known)}"
        )
    return torch.tensor([codes[value] for value in values]), known


def _of_one_length(data: Any, name: str) -> Any:
    lengths = [len(part) if part.ndim else 0 for part in tensors(data)]
    if not any(lengths):
        raise WorkloadError(f"{name} holds no samples")
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise WorkloadError(f"{name}: its parts have {listed(lengths)} rows; give as many rows of each")
    return data
