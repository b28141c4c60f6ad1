"""Arrays, tables and lists become tensors: numbers for inputs, numbers or class codes for y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.tree import Tree
from ..errors import WorkloadError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

_MAX_LISTED = 8
Classes = tuple[Any, ...]
"""The classes of y, in the order of their codes 0, 1, …."""
Array = Any
"""Anything that NumPy reads as an array: tensors, NumPy arrays, pandas frames and series, lists."""


def is_array(value: object) -> bool:
    """Return whether a value is a tensor, an array, a table, a sparse matrix or a list.

    Args:
        value: Any object.
    """
    return isinstance(value, (torch.Tensor, list)) or hasattr(value, "__array__") or hasattr(value, "toarray")


def holds_arrays(value: object) -> bool:
    """Return whether a value is an array, or a tuple or a mapping of arrays.

    Args:
        value: Any object.
    """
    if isinstance(value, Mapping):
        return bool(value) and all(map(holds_arrays, value.values()))
    if isinstance(value, tuple):
        return bool(value) and all(map(holds_arrays, value))
    return is_array(value)


def list_values(values: Sequence[object]) -> str:
    """Format values for a message.

    Args:
        values: The values.

    Returns:
        The values separated by commas; of more than eight, the first eight and their number.
    """
    text = ", ".join(str(value) for value in values[:_MAX_LISTED])
    return text if len(values) <= _MAX_LISTED else f"{text}, … ({len(values)} in all)"


def to_inputs(value: Array, name: str) -> Tree:
    """Convert inputs to tensors of numbers, with the tuples and mappings that hold them.

    Args:
        value: An array, or a tuple or mapping of arrays.
        name: What the inputs are called in messages, such as ``train: x``.

    Returns:
        A tensor, or a tuple or mapping of tensors.

    Raises:
        WorkloadError: Something holds no numbers; the message names the column.
    """
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise WorkloadError(f"{name} holds complex numbers; give real and imaginary parts as columns")
        return value.to_dense() if value.layout != torch.strided else value
    if isinstance(value, Mapping):
        return {key: to_inputs(each, f"{name}[{key!r}]") for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(to_inputs(each, f"{name}[{number}]") for number, each in enumerate(value))
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        return _from_frame(value, name)
    return _from_array(value.toarray() if hasattr(value, "toarray") else value, name)


def to_targets(y: Array, name: str, classes: Classes | None) -> tuple[Tree, Classes | None]:
    """Convert y to numbers, and texts, booleans and categories to class codes.

    Args:
        y: An array, or several of them in a tuple or mapping, which stay as they are.
        name: What y is called in messages, such as ``train: y``.
        classes: The classes of the training data; None to find them in ``y``.

    Returns:
        The targets, and the classes that their codes stand for; None where y holds numbers.

    Raises:
        WorkloadError: y has missing values, values of several kinds, or a class that ``classes`` lacks.
    """
    if isinstance(y, (tuple, Mapping)) and holds_arrays(y):
        return to_inputs(y, name), None
    _refuse_masked(y, name)
    if isinstance(y, torch.Tensor):
        return (y.long(), classes or (False, True)) if y.dtype == torch.bool else (y, None)
    if hasattr(y, "columns") and len(y.columns) == 1:
        y = y.iloc[:, 0]
    elif hasattr(y, "columns"):
        return _from_frame(y, name), None
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    array = np.asarray(y)
    if array.dtype.kind in "iuf" and categories is None:
        return _to_tensor(array), None
    if array.dtype.kind not in "bOUST" and categories is None:
        raise WorkloadError(
            f"{name} holds {array.dtype}, which is neither numbers nor classes; give numbers, or a text for "
            "each class"
        )
    return _encode(array.reshape(-1).tolist(), name, classes, categories)


def _encode(
    values: list[Any], name: str, classes: Classes | None, categories: Sequence[Any] | None
) -> tuple[Tensor, Classes | None]:
    """Replace classes by their codes; numbers that were stored as objects stay numbers."""
    missing = [row for row, value in enumerate(values) if value is None or value != value]
    if missing:
        raise WorkloadError(
            f"{name} has no value in {len(missing)} of {len(values)} rows, the first is row {missing[0]}; "
            "leave those rows out"
        )
    if categories is None and not all(isinstance(value, (str, bytes, bool)) for value in values):
        try:
            return torch.tensor(np.asarray(values, dtype=float)), None
        except (TypeError, ValueError):
            raise WorkloadError(
                f"{name} holds values of several kinds; give numbers, or a text for each class"
            ) from None
    known = classes or tuple(sorted(set(values)) if categories is None else list(categories))
    codes = {value: code for code, value in enumerate(known)}
    new = [value for value in dict.fromkeys(values) if value not in codes]
    if new:
        raise WorkloadError(
            f"{name} holds {list_values(new)}, which is none of the classes of train: {list_values(known)}; "
            "add rows of every class to train, or leave those rows out"
        )
    return torch.tensor([codes[value] for value in values]), known


def _from_array(value: Array, name: str) -> Tensor:
    _refuse_masked(value, name)
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(float)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
        return _to_tensor(array)
    except (TypeError, ValueError) as error:
        raise WorkloadError(
            f"{name} holds {_describe_values(value, error)}, where numbers are expected; encode it as "
            "numbers, or use a table as the workload csv:FILE:y=COLUMN, which encodes it"
        ) from error


def _describe_values(value: Array, error: Exception) -> str:
    """Describe what an array holds that is not a number."""
    if len({len(row) for row in value if isinstance(row, (list, tuple))}) > 1:
        return "rows of several lengths"
    each = np.asarray(value, dtype=object).flat
    sample = next((one for one in each if isinstance(one, str) or one is None), 0)
    if sample is None:
        return "None"
    return f"text, such as {sample!r}" if isinstance(sample, str) else f"values that are no numbers ({error})"


def _to_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """Copy an array of numbers of any byte order, strides and width."""
    kind = (
        {"f": np.float64} if array.dtype.itemsize > 8 else {"u": np.int64} if array.dtype.itemsize > 1 else {}
    )
    dtype = kind.get(array.dtype.kind, array.dtype.newbyteorder("="))
    return torch.tensor(np.ascontiguousarray(array, dtype=dtype).reshape(array.shape))


def _refuse_masked(value: Array, name: str) -> None:
    """Raise WorkloadError for a masked array with masked values, which would be trained on."""
    mask = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else np.zeros(1, dtype=bool)
    if mask.any():
        first = int(np.argwhere(mask)[0][0])
        raise WorkloadError(
            f"{name} holds {mask.sum()} masked values, the first in row {first}; replace them, or leave out "
            "their rows"
        )


def _from_frame(frame: pd.DataFrame, name: str) -> Tensor:
    import pandas as pd

    frame = frame.infer_objects()
    for number, label in enumerate(frame.columns):
        column = frame.iloc[:, number]
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            values = column.dropna()
            sample = next((each for each in values if isinstance(each, str)), next(iter(values), None))
            raise WorkloadError(
                f"{name}: column '{label}' holds {column.dtype}, such as {sample!r}, where numbers are "
                "expected; drop or encode it, or save the table and use it as the workload "
                "csv:FILE:y=COLUMN, which encodes it"
            )
    return torch.tensor(frame.to_numpy(dtype=np.float32, na_value=np.nan))
