"""The Parquet tables of a run directory: read only where they are what a run writes, as their metadata says
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.bounds import MAX_INT
from ..core.regular_files import open_regular
from ..errors import RunDirectoryError

_MOST_COLUMNS = 5_000
_MOST_BYTES = 2**32
"""Of a table in memory, as far as its metadata says."""

Fits = Callable[[pa.DataType], bool]
_TYPES: dict[str, Fits] = {
    "texts": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "whole numbers": pa.types.is_integer,
    "numbers": lambda kind: (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    ),
    "true and false": pa.types.is_boolean,
}
TEXT, WHOLE, NUMBER, FLAG = _TYPES
OTHER = "texts or numbers"
_TYPES[OTHER] = lambda kind: _TYPES[TEXT](kind) or _TYPES[NUMBER](kind)


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table hold.

    Attributes:
        columns: By name, what a column that is known holds.
        others: What all other columns hold.
        choices: By name, the texts that a column is made of.
        positive: Columns whose numbers are finite and above 0.
        least: The smallest of all whole numbers.
    """

    columns: Mapping[str, str]
    others: str
    choices: Mapping[str, Sequence[str]]
    positive: Sequence[str] = ()
    least: int = 0

    def kind(self, column: str) -> str:
        """What a column holds."""
        return self.columns.get(column, self.others)


_KEY = {"workload": TEXT, "phase": TEXT, "arm": TEXT, "lr": NUMBER, "seed": WHOLE, "repeat": WHOLE}
_PHASES = {"phase": ("report", "tune")}
RECORDS_SCHEMA = TableSchema(
    _KEY
    | dict.fromkeys(("strategy", "optimizer", "clock"), TEXT)
    | dict.fromkeys(("mark", "update", "samples", "batch_size"), WHOLE),
    NUMBER,
    _PHASES,
    ("lr",),
)
TRIALS_SCHEMA = TableSchema(
    _KEY
    | dict.fromkeys(
        ("status", "reason", "weights_sha256", "order_sha256", "batches_sha256", "final_sha256", "trainer"),
        TEXT,
    )
    | dict.fromkeys(("updates", "samples", "epochs", "epochs_begun", "epochs_checked", "split"), WHOLE)
    | dict.fromkeys(("train_seconds", "measure_seconds"), NUMBER)
    | {"rearranged": FLAG, "budget": NUMBER},
    OTHER,
    _PHASES | {"status": ("finished", "diverged", "failed", "interrupted")},
    ("lr", "budget"),
)
PATHS_SCHEMA = TableSchema(
    {"kind": TEXT, "arm": TEXT, "seed": WHOLE, "update": WHOLE, "x_name": TEXT, "y_name": TEXT}
    | dict.fromkeys(("x", "y", "loss"), NUMBER),
    OTHER,
    {"kind": ("path", "grid", "minimum")},
    least=-1,
)
PLANE_SCHEMA = TableSchema(
    {"arm": TEXT, "seed": WHOLE, "update": WHOLE, "fitted": FLAG, "dimensions": WHOLE}
    | dict.fromkeys(("x", "y", "explained_x", "explained_y"), NUMBER),
    OTHER,
    {},
)


def read_table(
    path: Path, schema: TableSchema, columns: Sequence[str] = (), most: int | None = None
) -> pd.DataFrame:
    """Read one Parquet table.

    Args:
        path: The file.
        schema: What its columns hold; a table without rows may have any.
        columns: Those that it has to have.
        most: Rows that it has at most, by its metadata, before anything of them is read.

    Raises:
        RunDirectoryError: It is missing, damaged, no regular file, or not as the schema says.
    """
    if not path.exists():
        raise RunDirectoryError(
            f"{path.parent} has no {path.name}; was the run stopped before it was written?"
        )
    try:
        with open_regular(path) as file:
            parquet = pq.ParquetFile(file)
            _refuse_large(path, parquet.metadata, most)
            _refuse_types(path, parquet.schema_arrow, schema, columns, parquet.metadata.num_rows)
            table: pd.DataFrame = parquet.read().to_pandas()
    except (OSError, ValueError, OverflowError, TypeError, KeyError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise RunDirectoryError(f"{path} is damaged: {reason}") from error
    if not table.columns.is_unique:
        raise RunDirectoryError(f"{path} is damaged: it has two columns of one name")
    _refuse_values(path, table, schema)
    return table


def _refuse_large(path: Path, metadata: Any, most: int | None) -> None:
    if most is not None and metadata.num_rows > most:
        raise RunDirectoryError(
            f"{path} is damaged: it has {metadata.num_rows:,} rows, and this comparison has at most {most:,}"
        )
    if metadata.num_columns > _MOST_COLUMNS:
        raise RunDirectoryError(f"{path} is damaged: it has {metadata.num_columns:,} columns")
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    size = sum(group.total_byte_size for group in groups)
    if size > _MOST_BYTES:
        raise RunDirectoryError(f"{path} is damaged: it would take {size:,} bytes, more than {_MOST_BYTES:,}")


def _refuse_types(
    path: Path, found: pa.Schema, schema: TableSchema, columns: Sequence[str], rows: int
) -> None:
    missing = [column for column in columns if column not in found.names]
    if missing:
        raise RunDirectoryError(f"{path} is damaged: it has no column {', '.join(missing)}")
    for field in found:
        kind = schema.kind(field.name)
        empty = pa.types.is_null(field.type) and (rows == 0 or kind in (NUMBER, OTHER))
        if not (empty or _TYPES[kind](field.type)):
            raise RunDirectoryError(
                f"{path} is damaged: its column {field.name} holds {field.type} values in place of {kind}"
            )


def _refuse_values(path: Path, table: pd.DataFrame, schema: TableSchema) -> None:
    for name, column in table.items():
        wrong = _wrong(str(name), column, schema)
        if wrong:
            raise RunDirectoryError(f"{path} is damaged: its column {name} {wrong}")


def _wrong(name: str, column: pd.Series, schema: TableSchema) -> str:
    """What is wrong with the values of a column, in words; empty where nothing is."""
    kind = schema.columns.get(name)
    if kind in (TEXT, WHOLE, FLAG) and column.isna().any():
        return f"lacks a value in {int(column.isna().sum()):,} rows, where all have one"
    if kind == WHOLE and len(column) and (column.min() < schema.least or column.max() > MAX_INT):
        return f"holds numbers from {column.min()} to {column.max()}, outside of {schema.least} to 2**63-1"
    if kind == TEXT and len(column):
        values = column.unique()
        others = sorted(set(values) - set(schema.choices[name])) if name in schema.choices else []
        if others:
            return f"holds {others[0][:40]!r}, which is none of {', '.join(schema.choices[name])}"
        if any("\0" in value for value in values):
            return "holds a text with a NUL character"
    if name in schema.positive and len(column):
        numbers = column.to_numpy(float)
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            return "holds numbers that are not positive and finite"
    return ""
