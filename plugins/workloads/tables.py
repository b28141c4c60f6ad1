"""Predict a column of the user's own table, of any size; the notes list all decisions about it."""

from __future__ import annotations

from pathlib import Path

from optcompare import Workload, hookimpl

from .table_columns import Task

_STORE = Path("runs/tables")


def csv(
    path: Path,
    y: str,
    *,
    task: Task = "auto",
    hidden: int = 32,
    valid: float = 0.2,
    test: float = 0.0,
    mapped: bool | None = None,
    store: Path = _STORE,
    encoding: str = "utf-8",
) -> Workload:
    """Predict column y of your CSV file from all other columns, by one hidden layer or linearly (hidden=0).

    Numbers are standardised, and missing ones replaced by the median. Text becomes one input for each
    category; missing is a category too. Dates become days. Medians, scales and categories come from the
    training rows only. The share valid of the rows is held out for validation, and the share test (none by
    default) as a test set. The separator, decimal commas, thousands, currencies, percent signs, units and the
    order of day and month are found in the cells. The file may be compressed by gzip, bzip2, xz or zip. Its
    encoding is UTF-8, UTF-16 with a byte order mark, or the argument. A file larger than an eighth of the
    memory (or any file with mapped=true) is converted once to arrays in the directory store, from which rows
    are read when they are needed; the numbers are the same.
    """
    from .table_workload import table_workload

    return table_workload("csv", path, y, task, hidden, valid, test, mapped, store, encoding, 0)


def parquet(
    path: Path,
    y: str,
    *,
    task: Task = "auto",
    hidden: int = 32,
    valid: float = 0.2,
    test: float = 0.0,
    mapped: bool | None = None,
    store: Path = _STORE,
) -> Workload:
    """Predict column y of your Parquet file from all other columns, as csv does.

    Columns that hold lists, structs or bytes are left out.
    """
    from .table_workload import table_workload

    return table_workload("parquet", path, y, task, hidden, valid, test, mapped, store, "", 0)


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"csv": csv, "parquet": parquet}
