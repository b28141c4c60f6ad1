"""Read tables from files: a whole column, or all columns of some rows at a time."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .number_cells import number
from .table_columns import TableLog, listed
from .table_dialect import escape, find_name

if TYPE_CHECKING:
    import pandas as pd

_ODD_ROW = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
"""The message of pandas for a row with more cells than the first ones."""
_BATCH_CELLS = 2**21
_INDEX = "__index_level_"


class Table(Protocol):
    """Describe a table in a file.

    Attributes:
        header: The names of its columns as the file has them.
        names: The names of its columns in this package.
        rows: The number of rows.
    """

    header: list[str]
    names: list[str]
    rows: int

    def column(self, name: str) -> pd.Series[Any]:
        """Return one column, with the numbers of the rows as its index."""
        ...

    def batches(self) -> Iterator[pd.DataFrame]:
        """Yield all rows in their order, in portions."""
        ...


def batch_rows(columns: int) -> int:
    """Return the number of rows that are held at once."""
    return max(1024, _BATCH_CELLS // max(1, columns))


class FrameTable:
    """Hold a table in memory.

    Args:
        frame: All rows; their index numbers them from 0.
        header: The names of the columns in the file that it was read from; None: those of the frame.
    """

    def __init__(self, frame: pd.DataFrame, header: list[str] | None = None) -> None:
        self._frame, self.rows = frame, len(frame)
        self.names = [str(name) for name in frame.columns]
        self.header = self.names if header is None else header

    def column(self, name: str) -> pd.Series[Any]:
        column: pd.Series[Any] = self._frame[name]
        return column

    def batches(self) -> Iterator[pd.DataFrame]:
        step = batch_rows(len(self.names))
        for begin in range(0, self.rows, step):
            yield self._frame.iloc[begin : begin + step]


class ParquetTable:
    """Read a Parquet file by columns or by portions of rows.

    Args:
        file: The file.
        header: The header of the CSV file that it was converted from; empty: its own.
    """

    def __init__(self, file: Path, header: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # With buffering, all rows would be in memory at the end.
        self._file = pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
        fields = list(self._file.schema_arrow)
        self.header, self.rows = (
            list(header) or [field.name for field in fields],
            self._file.metadata.num_rows,
        )
        kinds = {field.name: field.type for field in fields}
        self.nested = {
            name: str(kind)
            for name, kind in kinds.items()
            if pa.types.is_nested(kind) or pa.types.is_binary(kind)
        }
        self.names = [name for name in kinds if name not in self.nested and not name.startswith(_INDEX)]

    def column(self, name: str) -> pd.Series[Any]:
        return _plain(self._file.read([name]).to_pandas(ignore_metadata=True))[name]

    def batches(self) -> Iterator[pd.DataFrame]:
        for batch in self._file.iter_batches(batch_rows(len(self.names)), columns=self.names):
            yield _plain(batch.to_pandas())


def parquet_cells(file: Path) -> int:
    """Return rows times columns; 0 if the file cannot be read, which a later error explains."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(file)
    except (OSError, ValueError):
        return 0
    return int(metadata.num_rows * metadata.num_columns)


def check_target(table: Table, file: Path, wanted: str, log: TableLog) -> str:
    """Check that a table has rows and exactly one column to predict, and return its name.

    Args:
        table: The table.
        file: The file of the table, for messages.
        wanted: The name of the column as the user typed it.
        log: The log for notes about the table.

    Raises:
        WorkloadError: It has not.
    """
    header, y = table.header, find_name(table.names, wanted)
    twice = [name for name in header if header.count(name) > 1 and (name == y or log.kind == "parquet")]
    if twice:
        what = _headless(header, log) or "; rename all but one of them"
        raise log.error(f"{file} has {header.count(twice[0])} columns '{twice[0]}'{what}")
    for name in dict.fromkeys(name for name in header if name and header.count(name) > 1):
        log.note(
            f"{header.count(name)} columns are called '{name}', and all are used; the second as '{name}.1'"
        )
    if y not in table.names:
        raise log.error(f"{file} has {_no_column(header, y, log)}")
    if not table.rows:
        raise log.error(
            f"{file} has {'a header line and no rows below it' if log.kind == 'csv' else 'no rows'}"
        )
    for name, held in getattr(table, "nested", {}).items():
        log.note(f"'{name}' is left out: it holds {held}")
    return y


def _no_column(header: Sequence[str], y: str, log: TableLog) -> str:
    close = difflib.get_close_matches(y, header, 1, 0.5) if len(header) > 1 else []
    hint = f" (did you mean '{escape(close[0])}'?)" if close and close[0] != y else ""
    where = "its header line holds" if log.kind == "csv" else "its columns are"
    what = "no column" if y not in header else "no plain values in column"
    names = listed(f"'{escape(name)}'" if "," in name else escape(name) for name in header)
    message = f"{what} '{escape(y)}'{hint}; {where} {names}"
    if log.kind == "csv" and len(header) == 1 and len(header[0].split()) > 1:
        return f"{message}, which no comma, semicolon, tab or bar separates; save the table with one of these"
    return message + _headless(header, log)


def _headless(header: Sequence[str], log: TableLog) -> str:
    """Return advice if the first line seems to hold numbers; empty if it holds names."""
    numbers = sum(number(name) is not None for name in header)
    if log.kind != "csv" or 2 * numbers <= len(header):
        return ""
    return "; the first line holds numbers, so write a line with the names of the columns above it"


def reading_error(kind: str, file: Path, error: Exception, log: TableLog) -> Exception:
    """Return the error for a file that cannot be read, in one line.

    Args:
        kind: ``csv`` or ``parquet``.
        file: The file.
        error: The exception of pandas or pyarrow.
        log: The log, which formats the error.
    """
    what, why = "CSV table" if kind == "csv" else "Parquet file", " ".join(str(error).split())
    if cut := _ODD_ROW.search(why):
        why = (
            f"line {cut[2]} has {cut[3]} fields, those above it {cut[1]}; quote a cell that holds the "
            "separator, or remove what is too much"
        )
    return log.error(f"{file} is no {what}: {why}")


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace categorical columns by their values."""
    import pandas as pd

    held = {
        name: dtype.categories.dtype
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype)
    }
    return frame.astype({name: object if dtype.kind in "iub" else dtype for name, dtype in held.items()})
