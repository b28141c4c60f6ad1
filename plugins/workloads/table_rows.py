"""A table's rows as tensors: which are held out, what is predicted, and every cell as an input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .table_columns import Encoding, Said, fitted, kind_of, listed, read_as, say_alike
from .table_files import Table

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["auto", "regression", "classification"]
Allocate = Callable[[str, tuple[int, ...], torch.dtype], Tensor]
FEWEST_TO_SPLIT = 10
_UNNAMED = "Unnamed: "


@dataclass(frozen=True)
class Facts:
    """What else is to be known of the tensors of a table.

    ``classes``: 0 where numbers are predicted, of which ``mean`` and ``scale`` are those of the training
    rows; ``power``: mean and largest ‖x‖² + 1 of a training row; ``tested``: rows of the test set.
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
        """The tensors by name, each with its shape and dtype."""
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
    """The shares of rows held out for validation and test; ``number``: which of several such splits."""

    valid: float
    test: float = 0.0
    number: int = 0


def tensors_of(
    table: Table, y: str, task: Task, shares: Shares, said: Said, allocate: Allocate
) -> tuple[Facts, dict[str, Tensor]]:
    """Fill tensors that ``allocate(name, shape, dtype)`` returns: train.x, train.y, and those held out.

    Where rows are held out, these are valid.x, valid.y, test.x and test.y.

    A column at a time is held to decide what it is and to scale it, then some rows at a time to write them in
    their order.
    """
    target = _target(table, y, said)
    known = target.index.to_numpy()
    target = target.reset_index(drop=True)
    classify = _classifies(target, task, said)
    train, held_out, tested = _split(target, classify, shares, said)
    encodings = _encodings(table, y, known, known[train], said)
    answers, classes, mean, scale = _answers(target, train, classify, said)
    inputs = tuple(name for encoding in encodings for name in encoding.inputs)
    counts = f"{len(train)} training and {len(held_out)} validation rows"
    counts = (
        f"{len(train)} training, {len(held_out)} validation and {len(tested)} test rows"
        if len(tested)
        else counts
    )
    said.notes.insert(0, f"{said.kind}: {counts}, {len(inputs)} inputs")
    facts = Facts(
        len(train), len(held_out), inputs, classes, mean, scale, (0.0, 0.0), tuple(said.notes), len(tested)
    )
    tensors = {name: allocate(name, *form) for name, form in facts.parts().items()}
    parts = {"train": train, "valid": held_out, "test": tested}
    for part, rows in parts.items():
        if f"{part}.y" in tensors:
            tensors[f"{part}.y"].copy_(answers[rows])
    of_table = {part: known[rows] for part, rows in parts.items()}
    return dataclasses.replace(facts, power=_write(table, encodings, of_table, tensors)), tensors


def _target(table: Table, y: str, said: Said) -> pd.Series[Any]:
    """Column y where it is known."""
    import pandas as pd

    target = table.column(y).dropna().infer_objects()
    if not pd.api.types.is_bool_dtype(target):
        kind = kind_of(target, said)
        target = read_as(kind, target).dropna()
        target = target[target != "?"] if kind == "text" else target
    if len(target) < table.rows:
        said.note(f"{table.rows - len(target)} of {table.rows} rows have no y and are left out")
    return target


def _classifies(y: pd.Series[Any], task: Task, said: Said) -> bool:
    """Whether y is to be taken as classes; says so, and how to change it."""
    rows, kinds, numeric = len(y), y.nunique(), y.dtype == float
    kind = "numeric" if numeric else "true or false" if y.dtype == bool else "text"
    if kinds < 2:
        value = listed(y[:1]) if rows else "missing"
        raise said.wrong(f"y = '{y.name}' is {value} in every row; choose a column that varies")
    if task == "regression" and kind == "text":
        raise said.wrong(f"task=regression needs numbers; y = '{y.name}' holds {listed(y.unique())}")
    if task == "auto":
        two = kinds == 2 and rows >= 4
        few = numeric and kinds <= 10 and rows >= 5 * kinds and bool((y % 1 == 0).all())
        task = "classification" if not numeric or two or few else "regression"
    if task == "classification" and rows < 2 * kinds:
        if reason := said.reasons.get(str(y.name)):
            raise said.wrong(
                f"y = '{y.name}' is read as text, not numbers: {reason}; rewrite it as plain numbers, or "
                "choose another column"
            )
        raise said.wrong(
            f"y = '{y.name}' has {kinds} distinct values in {rows} rows, too many to be classes; "
            f"choose another column{' or task=regression' if numeric else ''}"
        )
    if task == "classification" and kind == "text":
        say_alike(str(y.name), y, said)
    other = "regression" if task == "classification" else "classification"
    change = "" if kind == "text" else f" (task={other} to change)"
    values = (
        f"{kinds} distinct values" if task == "regression" else f"the classes {listed(sorted(y.unique()))}"
    )
    said.note(f"y = '{y.name}' is {kind} with {values}: {task}{change}")
    return task == "classification"


def _split(y: pd.Series[Any], classify: bool, shares: Shares, said: Said) -> tuple[Any, Any, Any]:
    """The rows to train on, those held out for validation and the test set's, int64 in the table's order.

    They are stratified by class if that can be, and the same at every call with the same number.
    """
    import numpy as np

    rows, counts = (
        np.arange(len(y)),
        {name: math.ceil(getattr(shares, name) * len(y)) for name in ("valid", "test")},
    )
    if len(y) < FEWEST_TO_SPLIT:
        said.note(f"{len(y)} rows are too few to hold some out for validation")
        return rows, rows[:0], rows[:0]
    if sum(counts.values()) >= len(y):
        given = f"valid={shares.valid}" + (f" and test={shares.test}" if shares.test else "")
        raise said.wrong(f"{given} of {len(y)} rows leaves none to train on; make it smaller")
    rows, tested = _held_out(y, rows, counts["test"], classify, shares.number, "test", said)
    train, held_out = _held_out(
        y.iloc[rows], rows, counts["valid"], classify, shares.number, "validation", said
    )
    return train, held_out, tested


def _held_out(
    y: pd.Series[Any], rows: Any, count: int, classify: bool, number: int, name: str, said: Said
) -> tuple[Any, Any]:
    """The rows that stay and so many that do not; ``y``: of these rows."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    if count == 0:
        return rows, rows[:0]
    alike = classify and y.value_counts().min() > 1 and min(count, len(y) - count) >= y.nunique()
    if classify and not alike:
        said.note(f"some classes are too rare to be held out in proportion: {name} rows are drawn at random")
    classes = y.factorize()[0] if alike else None
    stay, held_out = train_test_split(rows, test_size=count, stratify=classes, random_state=number)
    return np.sort(stay), np.sort(held_out)


def _encodings(table: Table, y: str, known: Any, train: Any, said: Said) -> list[Encoding]:
    """Return how columns become inputs, numbers first; ``known``: rows with a y, ``train``: of these."""
    found: list[Encoding] = []
    before = len(said.notes)
    for name in table.names:
        if name.startswith(_UNNAMED):
            empty = table.column(name).isna().all()
            why = (
                "it has neither a name nor values"
                if empty
                else "a column without a name mostly numbers the rows"
            )
            said.note(f"'{name}' is left out: {why}")
        elif name != y:
            column = table.column(name)
            encoding = fitted(kind_of(column.iloc[known], said), column.iloc[train], said)
            found += [] if encoding is None else [encoding]
    if not found:
        why = "; ".join(note.removeprefix(f"{said.kind}: ") for note in said.notes[before:])
        raise said.wrong(f"no column is left to predict y from: {why or f'the table has none beside {y!r}'}")
    return sorted(found, key=lambda encoding: encoding.order)


def _answers(y: pd.Series[Any], train: Any, classify: bool, said: Said) -> tuple[Tensor, int, float, float]:
    """y as a tensor, the number of classes, or 0 and y's mean and scale."""
    if classify:
        codes, classes = y.factorize(sort=True)
        return torch.from_numpy(codes), len(classes), 0.0, 1.0
    values = y.to_numpy(float)
    mean, scale = float(values[train].mean()), float(values[train].std()) or 1.0
    said.note(
        f"the loss is in units of y's variance, mae in y's own (training rows: {mean:.4g} ± {scale:.4g})"
    )
    return torch.tensor((values - mean) / scale, dtype=torch.float32).reshape(-1, 1), 0, mean, scale


def _write(
    table: Table, encodings: Sequence[Encoding], parts: Mapping[str, Any], tensors: dict[str, Tensor]
) -> tuple[float, float]:
    """Write x of the parts, lists of rows, in the table's order; return the power of :class:`Facts`."""
    import numpy as np

    begin, total, largest = 0, 0.0, 0.0
    for frame in table.batches():
        width = sum(len(encoding.inputs) for encoding in encodings)
        block = np.empty((len(frame), width), np.float32)
        place = 0
        for encoding in encodings:
            with np.errstate(over="ignore"):  # what is infinite then is named before training
                block[:, place : place + len(encoding.inputs)] = encoding.encoded(frame[encoding.name])
            place += len(encoding.inputs)
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
