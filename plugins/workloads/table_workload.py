"""Make a workload from a table, in memory or from files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from optcompare import Workload, accuracy

from .csv_table import CsvTable, convert_to_parquet
from .memory import check_model, machine_memory
from .table_columns import TableLog, Task
from .table_copy import cached_tensors
from .table_files import ParquetTable, Table, check_target, parquet_cells, reading_error
from .table_rows import Allocate, Facts, Shares, tensors_of
from .table_source import unpacked_size

_SHARE_IN_MEMORY = 8


def table_workload(
    kind: str,
    path: Path,
    y: str,
    task: Task,
    hidden: int,
    valid: float,
    test: float,
    mapped: bool | None,
    store: Path,
    encoding: str,
    number: int,
) -> Workload:
    log = TableLog(kind)
    if task not in get_args(Task):
        raise log.error(f"task is one of {', '.join(get_args(Task))}; got {task}")
    check_settings(hidden, valid, test, log)
    shares, file = Shares(valid, test, number), Path(path)
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise log.error(f"{path} {what}; give the path of a {'CSV' if kind == 'csv' else 'Parquet'} file")
    if mapped or (mapped is None and _size(kind, file) * _SHARE_IN_MEMORY > machine_memory()):
        facts, tensors = _on_disk(kind, file, y, task, shares, store, encoding, log)
    else:
        table = _table(kind, file, encoding, log)
        facts, tensors = tensors_of(table, check_target(table, file, y, log), task, shares, log, in_memory)
    again = partial(
        table_workload, kind, file.resolve(), y, task, hidden, valid, test, mapped, store, encoding
    )
    return trained_on(facts, tensors, hidden, again if facts.held_out else None, log)


def check_settings(hidden: int, valid: float, test: float, log: TableLog) -> None:
    """Refuse a number of hidden units, or shares of rows, that cannot be."""
    if hidden < 0:
        raise log.error(f"hidden is a number of units, 0 for a linear model; got {hidden}")
    if not 0 < valid < 1:
        raise log.error(f"valid is the share of rows held out, between 0 and 1; got {valid}")
    if not 0 <= test < 1:
        raise log.error(f"test is the share of rows in the test set, from 0 to 1; got {test}")


def _size(kind: str, file: Path) -> int:
    """Estimate the least bytes that the table takes in memory."""
    return unpacked_size(file) if kind == "csv" else 8 * parquet_cells(file)


def _table(kind: str, file: Path, encoding: str, log: TableLog) -> Table:
    try:
        return CsvTable(file, encoding, log) if kind == "csv" else ParquetTable(file)
    except (OSError, ValueError) as error:
        raise reading_error(kind, file, error, log) from error


def in_memory(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Allocate a tensor in memory, whatever its name."""
    return torch.empty(shape, dtype=dtype)


def _on_disk(
    kind: str, file: Path, y: str, task: Task, shares: Shares, store: Path, encoding: str, log: TableLog
) -> tuple[Facts, dict[str, Tensor]]:
    """Return the tensors of a table in files, by way of a Parquet file, whose columns can be read singly."""

    def make(folder: Path, allocate: Allocate) -> tuple[Facts, dict[str, Tensor]]:
        if kind == "parquet":
            table = _table(kind, file, encoding, log)
        else:
            typed = folder / "typed.parquet"
            try:
                table = ParquetTable(typed, convert_to_parquet(file, typed, encoding, log))
            except (OSError, ValueError) as error:
                raise reading_error(kind, file, error, log) from error
        return tensors_of(table, check_target(table, file, y, log), task, shares, log, allocate)

    other = (shares.test, shares.number) if shares.test or shares.number else ()
    return cached_tensors(file, store, (kind, y, task, shares.valid, encoding, *other), make, log)


def trained_on(
    facts: Facts,
    tensors: dict[str, Tensor],
    hidden: int,
    again: Callable[[int], Workload] | None,
    log: TableLog,
) -> Workload:
    """Make the workload of a table's tensors.

    Args:
        facts: What the tensors are.
        tensors: ``train.x``, ``train.y`` and those of the rows held out.
        hidden: The number of hidden units; 0: a linear model.
        again: Returns the workload on another split; None: there is none.
        log: The log, whose notes become those of the workload.
    """
    inputs, outputs, scale = len(facts.columns), facts.classes or 1, facts.scale
    check_model(log.kind, hidden * (inputs + outputs + 1), f"hidden={hidden}")

    def absolute_error(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
        return scale * (output - y).abs().sum(), y.numel()

    classes: dict[str, Any] = {"loss": nn.functional.cross_entropy, "metrics": {"accuracy": accuracy}}
    numbers: dict[str, Any] = {
        "loss": nn.functional.mse_loss,
        "metrics": {"mae": absolute_error},
        "errors": ("mae",),
    }
    return Workload(
        model=lambda: _model(inputs, hidden, outputs),
        train=(tensors["train.x"], tensors["train.y"]),
        valid=(tensors["valid.x"], tensors["valid.y"]) if facts.held_out else None,
        test=(tensors["test.x"], tensors["test.y"]) if facts.tested else None,
        **(classes if facts.classes else numbers),
        lr={"sgd": _rate(facts), "adam": 0.003, "adamw": 0.003},
        epochs=max(
            5, min(50, 30_000 // facts.rows)
        ),  # fewer for a large table, since single-sample updates take long
        batch_size=max(2, min(32, facts.rows // 8)),
        notes=tuple(log.notes),
        columns=facts.columns,
        resplit=again,
    )


def _model(inputs: int, hidden: int, outputs: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _rate(facts: Facts) -> float:
    """Return a learning rate at which updates by single samples are stable.

    The squared error of a linear model diverges from 1/(‖x‖² + 1) on; the slope of cross-entropy is bounded.
    """
    mean, largest = facts.power
    return float(f"{min(0.1, 0.5 / mean) if facts.classes else min(0.1 / mean, 0.5 / largest):.1g}")
