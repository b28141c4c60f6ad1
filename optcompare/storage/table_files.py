"""Read the Parquet tables of a run directory, after a check of their metadata against the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.bounds import MAX_INT
from ..core.regular_files import open_regular
from ..core.table_schema import FLAG, NUMBER, OTHER, TEXT, WHOLE, Kind, TableSchema
from ..errors import RunDirectoryError

_MOST_COLUMNS = 5_000
_MOST_BYTES = 2**32
"""The most bytes of a table in memory, by its metadata."""

Fits = Callable[[pa.DataType], bool]
_TYPES: dict[Kind, Fits] = {
    TEXT: lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    WHOLE: pa.types.is_integer,
    NUMBER: lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind),
    FLAG: pa.types.is_boolean,
}
_TYPES[OTHER] = lambda kind: _TYPES[TEXT](kind) or _TYPES[NUMBER](kind)


def read_table(
    path: Path, schema: TableSchema, columns: Sequence[str] = (), most: int | None = None
) -> pd.DataFrame:
    """Read one Parquet table.

    Args:
        path: The file.
        schema: The types of its columns; a table without rows may have any types.
        columns: The columns that it must have.
        most: The most rows, which are checked by the metadata before any row is read; None: no limit.

    Raises:
        RunDirectoryError: It is missing, damaged or not a regular file, or does not match the schema.
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
        kind = schema.column(field.name).kind
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


def _wrong(name: str, values: pd.Series, schema: TableSchema) -> str:
    """Describe the first fault in the values of a column; empty for none."""
    column = schema.column(name)
    if column.kind in (TEXT, WHOLE, FLAG) and values.isna().any():
        return f"lacks a value in {int(values.isna().sum()):,} rows, where all have one"
    if column.kind == WHOLE and len(values) and (values.min() < schema.least or values.max() > MAX_INT):
        return f"holds numbers from {values.min()} to {values.max()}, outside of {schema.least} to 2**63-1"
    if column.kind == TEXT and len(values):
        texts = values.unique()
        others = sorted(set(texts) - set(column.choices)) if column.choices else []
        if others:
            return f"holds {others[0][:40]!r}, which is none of {', '.join(column.choices)}"
        if any("\0" in text for text in texts):
            return "holds a text with a NUL character"
    if column.positive and len(values):
        numbers = values.to_numpy(float)
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            return "holds numbers that are not positive and finite"
    if column.finite and len(values):
        numbers = values.to_numpy(float)
        if not (np.isfinite(numbers) & (numbers >= 0)).all():
            return "holds numbers that are negative or not finite"
    return ""
