"""Turn a table into tensors: split its rows, encode the target, and encode every cell as input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optcompare import hold_out

from .table_columns import (
    Encoding,
    TableLog,
    Task,
    convert,
    fit_encoding,
    kind_of,
    listed,
    note_similar_categories,
)
from .table_files import Table

if TYPE_CHECKING:
    import pandas as pd

Allocate = Callable[[str, tuple[int, ...], torch.dtype], Tensor]
Split = Callable[["pd.Series[Any]", bool, "Shares", TableLog], tuple[Any, Any, Any]]
"""Return the rows for training, validation and test from y, whether it holds classes, and the shares."""
FEWEST_TO_SPLIT = 10
_UNNAMED = "Unnamed: "


@dataclass(frozen=True)
class Facts:
    """Describe the tensors of a table; saved with them.

    Attributes:
        rows: The number of training rows.
        held_out: The number of validation rows.
        columns: The names of the inputs.
        classes: The number of classes; 0 if numbers are predicted.
        mean: The mean of the predicted numbers in training.
        scale: Their standard deviation in training.
        power: The mean and the largest ‖x‖² + 1 of a training row.
        notes: Notes for the user.
        tested: Rows of the test set.
    """

    rows: int
    held_out: int
    columns: tuple[str, ...]
    classes: int
    mean: float
    scale: float
    power: tuple[float, float]
    notes: tuple[str, ...]
    tested: int = 0

    def parts(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return shape and dtype of each tensor, by its name."""
        answer = ((), torch.int64) if self.classes else ((1,), torch.float32)
        sizes = {"train": self.rows, "valid": self.held_out, "test": self.tested}
        return {
            f"{part}.{name}": ((size, *shape), dtype)
            for part, size in sizes.items()
            if size
            for name, shape, dtype in (("x", (len(self.columns),), torch.float32), ("y", *answer))
        }


@dataclass(frozen=True)
class Shares:
    """Hold the shares of rows for validation and test, and the number of the split."""

    valid: float
    test: float = 0.0
    number: int = 0


def tensors_of(
    table: Table,
    y: str,
    task: Task,
    shares: Shares,
    log: TableLog,
    allocate: Allocate,
    split: Split | None = None,
) -> tuple[Facts, dict[str, Tensor]]:
    """Fill the tensors train.x and train.y, and valid.x, valid.y, test.x and test.y for rows held out.

    First each column is read as a whole to fit its encoding. Then the rows are read in portions and written
    in their order.

    Args:
        table: The table.
        y: The column to predict.
        task: Whether it holds numbers or classes; ``auto``: its values decide.
        shares: The rows to hold out.
        log: The log for notes about the table.
        allocate: ``allocate(name, shape, dtype)`` returns an empty tensor.
        split: Chooses the rows to hold out, of those with a y; default: at random.
    """
    target = _target(table, y, log)
    known = target.index.to_numpy()
    target = target.reset_index(drop=True)
    classify = _classifies(target, task, log)
    train, held_out, tested = (split or _split)(target, classify, shares, log)
    encodings = _encodings(table, y, known, known[train], log)
    answers, classes, mean, scale = _answers(target, train, classify, log)
    inputs = tuple(name for encoding in encodings for name in encoding.inputs)
    counts = f"{len(train)} training and {len(held_out)} validation rows"
    counts = (
        f"{len(train)} training, {len(held_out)} validation and {len(tested)} test rows"
        if len(tested)
        else counts
    )
    log.notes.insert(0, f"{log.kind}: {counts}, {len(inputs)} input{'s' * (len(inputs) != 1)}")
    facts = Facts(
        len(train), len(held_out), inputs, classes, mean, scale, (0.0, 0.0), tuple(log.notes), len(tested)
    )
    tensors = {name: allocate(name, *form) for name, form in facts.parts().items()}
    parts = {"train": train, "valid": held_out, "test": tested}
    for part, rows in parts.items():
        if f"{part}.y" in tensors:
            tensors[f"{part}.y"].copy_(answers[rows])
    of_table = {part: known[rows] for part, rows in parts.items()}
    return dataclasses.replace(facts, power=_write(table, encodings, of_table, tensors)), tensors


def _target(table: Table, y: str, log: TableLog) -> pd.Series[Any]:
    """Return column y without its missing cells."""
    import pandas as pd

    target = table.column(y).dropna().infer_objects()
    if not pd.api.types.is_bool_dtype(target):
        kind = kind_of(target, log)
        target = convert(kind, target).dropna()
        target = target[target != "?"] if kind == "text" else target
    if len(target) < table.rows:
        log.note(f"{table.rows - len(target)} of {table.rows} rows have no y and are left out")
    return target


def _classifies(y: pd.Series[Any], task: Task, log: TableLog) -> bool:
    """Return whether y holds classes, and note that and how to change it."""
    rows, kinds, numeric = len(y), y.nunique(), y.dtype == float
    kind = "numeric" if numeric else "true or false" if y.dtype == bool else "text"
    if kinds < 2:
        value = listed(y[:1]) if rows else "missing"
        raise log.error(f"y = '{y.name}' is {value} in every row; choose a column that varies")
    if task == "regression" and kind == "text":
        raise log.error(f"task=regression needs numbers; y = '{y.name}' holds {listed(y.unique())}")
    if task == "auto":
        two = kinds == 2 and rows >= 4
        few = numeric and kinds <= 10 and rows >= 5 * kinds and bool((y % 1 == 0).all())
        task = "classification" if not numeric or two or few else "regression"
    if task == "classification" and rows < 2 * kinds:
        if reason := log.reasons.get(str(y.name)):
            raise log.error(
                f"y = '{y.name}' is read as text, not numbers: {reason}; rewrite it as plain numbers, or "
                "choose another column"
            )
        raise log.error(
            f"y = '{y.name}' has {kinds} distinct values in {rows} rows, too many to be classes; "
            f"choose another column{' or task=regression' if numeric else ''}"
        )
    if task == "classification" and kind == "text":
        note_similar_categories(str(y.name), y, log)
    other = "regression" if task == "classification" else "classification"
    change = "" if kind == "text" else f" (task={other} to change)"
    values = (
        f"{kinds} distinct values" if task == "regression" else f"the classes {listed(sorted(y.unique()))}"
    )
    log.note(f"y = '{y.name}' is {kind} with {values}: {task}{change}")
    return task == "classification"


def _split(y: pd.Series[Any], classify: bool, shares: Shares, log: TableLog) -> tuple[Any, Any, Any]:
    """Return the rows for training, validation and test, int64 in the order of the table.

    They are stratified by class if possible, and the same for every call with the same number.
    """
    import numpy as np

    rows = np.arange(len(y))
    if len(y) < FEWEST_TO_SPLIT:
        log.note(f"{len(y)} rows are too few to hold some out for validation")
        return rows, rows[:0], rows[:0]
    valid, test = held_out_counts(len(y), shares, log)
    rows, tested = _held_out(y, rows, test, classify, shares.number, "test", log)
    train, held_out = _held_out(y.iloc[rows], rows, valid, classify, shares.number, "validation", log)
    return train, held_out, tested


def held_out_counts(rows: int, shares: Shares, log: TableLog) -> tuple[int, int]:
    """Return the numbers of rows for validation and test, their shares rounded up."""
    valid, test = math.ceil(shares.valid * rows), math.ceil(shares.test * rows)
    if valid + test >= rows:
        typed = f"valid={shares.valid}" + (f" and test={shares.test}" if shares.test else "")
        raise log.error(f"{typed} of {rows} rows leaves none to train on; make it smaller")
    return valid, test


def _held_out(
    y: pd.Series[Any], rows: Any, count: int, classify: bool, number: int, name: str, log: TableLog
) -> tuple[Any, Any]:
    """Split rows into those that stay and ``count`` that are held out; ``y`` has their targets."""
    import numpy as np

    if count == 0:
        return rows, rows[:0]
    alike = classify and y.value_counts().min() > 1 and min(count, len(y) - count) >= y.nunique()
    if classify and not alike:
        log.note(f"some classes are too rare to be held out in proportion: {name} rows are drawn at random")
    classes = y.factorize()[0] if alike else None
    stay, held = hold_out(len(rows), count, number, classes)
    return np.sort(rows[stay]), np.sort(rows[held])


def _encodings(table: Table, y: str, known: Any, train: Any, log: TableLog) -> list[Encoding]:
    """Fit the encodings of all columns, numbers first.

    Args:
        table: The table.
        y: The column to predict.
        known: Rows with a y.
        train: Rows for training.
        log: The log for notes about the table.
    """
    encodings: list[Encoding] = []
    before = len(log.notes)
    for name in table.names:
        if name.startswith(_UNNAMED):
            empty = table.column(name).isna().all()
            why = (
                "it has neither a name nor values"
                if empty
                else "a column without a name mostly numbers the rows"
            )
            log.note(f"'{name}' is left out: {why}")
        elif name != y:
            column = table.column(name)
            encoding = fit_encoding(kind_of(column.iloc[known], log), column.iloc[train], log)
            encodings += [] if encoding is None else [encoding]
    if not encodings:
        why = "; ".join(note.removeprefix(f"{log.kind}: ") for note in log.notes[before:])
        raise log.error(f"no column is left to predict y from: {why or f'the table has none besides {y!r}'}")
    return sorted(encodings, key=lambda encoding: encoding.order)


def _answers(
    y: pd.Series[Any], train: Any, classify: bool, log: TableLog
) -> tuple[Tensor, int, float, float]:
    """Return y as a tensor, its number of classes (0 for numbers), its mean and its scale."""
    if classify:
        codes, classes = y.factorize(sort=True)
        return torch.from_numpy(codes), len(classes), 0.0, 1.0
    values = y.to_numpy(float)
    mean, scale = float(values[train].mean()), float(values[train].std()) or 1.0
    log.note(
        f"the loss is in units of y's variance, mae in y's own (training rows: {mean:.4g} ± {scale:.4g})"
    )
    return torch.tensor((values - mean) / scale, dtype=torch.float32).reshape(-1, 1), 0, mean, scale


def _write(
    table: Table, encodings: Sequence[Encoding], parts: Mapping[str, Any], tensors: dict[str, Tensor]
) -> tuple[float, float]:
    """Write x of each part in the order of the table, and return the power of :class:`Facts`."""
    import numpy as np

    begin, total, largest = 0, 0.0, 0.0
    for frame in table.batches():
        width = sum(len(encoding.inputs) for encoding in encodings)
        block = np.empty((len(frame), width), np.float32)
        column = 0
        for encoding in encodings:
            with np.errstate(over="ignore"):  # infinite inputs are reported before training
                block[:, column : column + len(encoding.inputs)] = encoding.encoded(frame[encoding.name])
            column += len(encoding.inputs)
        for part, rows in parts.items():
            first, last = np.searchsorted(rows, [begin, begin + len(frame)])
            chosen = block[rows[first:last] - begin]
            if len(chosen):
                tensors[f"{part}.x"][first:last] = torch.from_numpy(chosen)
            if part == "train" and len(chosen):
                power = np.square(chosen).sum(1) + 1
                total, largest = total + float(power.sum(dtype=float)), max(largest, float(power.max()))
        begin += len(frame)
    return total / len(parts["train"]), largest
