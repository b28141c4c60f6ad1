"""Tables in files: a column as a whole, or all columns of some rows at a time."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .number_cells import number
from .table_columns import Said, listed
from .table_dialect import named, shown

if TYPE_CHECKING:
    import pandas as pd

_ODD_ROW = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
"""What pandas says of a row with more cells than the first ones."""
_BATCH_CELLS = 2**21
_INDEX = "__index_level_"


class Table(Protocol):
    """``names`` of its columns, ``header`` as the file has them, and how many rows it has."""

    header: list[str]
    names: list[str]
    rows: int

    def column(self, name: str) -> pd.Series[Any]:
        """All of one column, with the rows' numbers as its index."""
        ...

    def batches(self) -> Iterator[pd.DataFrame]:
        """All rows in their order, some at a time."""
        ...


def batch_rows(columns: int) -> int:
    """Rows that are held at once."""
    return max(1024, _BATCH_CELLS // max(1, columns))


class ParquetTable:
    """A Parquet file, of which a column or some rows are in memory at a time; ``header``: that of a CSV."""

    def __init__(self, file: Path, header: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Buffered ahead, all rows would be in memory at the end.
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
    """Rows times columns; 0 where that cannot be known, which reading it explains."""
    import pyarrow.parquet as pq

    try:
        told = pq.read_metadata(file)
    except (OSError, ValueError):
        return 0
    return int(told.num_rows * told.num_columns)


def checked(table: Table, file: Path, wanted: str, said: Said) -> str:
    """The table's name of the column to be predicted, if it has one such column, and rows."""
    header, y = table.header, named(table.names, wanted)
    twice = [name for name in header if header.count(name) > 1 and (name == y or said.kind == "parquet")]
    if twice:
        what = _headless(header, said) or "; rename all but one of them"
        raise said.wrong(f"{file} has {header.count(twice[0])} columns '{twice[0]}'{what}")
    for name in dict.fromkeys(name for name in header if name and header.count(name) > 1):
        said.note(
            f"{header.count(name)} columns are called '{name}', and all are used; the second as '{name}.1'"
        )
    if y not in table.names:
        raise said.wrong(f"{file} has {_no_column(header, y, said)}")
    if not table.rows:
        raise said.wrong(
            f"{file} has {'a header line and no rows below it' if said.kind == 'csv' else 'no rows'}"
        )
    for name, held in getattr(table, "nested", {}).items():
        said.note(f"'{name}' is left out: it holds {held}")
    return y


def _no_column(header: Sequence[str], y: str, said: Said) -> str:
    close = difflib.get_close_matches(y, header, 1, 0.5) if len(header) > 1 else []
    hint = f" (did you mean '{shown(close[0])}'?)" if close and close[0] != y else ""
    where = "its header line holds" if said.kind == "csv" else "its columns are"
    what = "no column" if y not in header else "no plain values in column"
    names = listed(f"'{shown(name)}'" if "," in name else shown(name) for name in header)
    told = f"{what} '{shown(y)}'{hint}; {where} {names}"
    if said.kind == "csv" and len(header) == 1 and len(header[0].split()) > 1:
        return f"{told}, which no comma, semicolon, tab or bar separates; save the table with one of these"
    return told + _headless(header, said)


def _headless(header: Sequence[str], said: Said) -> str:
    """What to do where the first line seems to hold numbers and no names; '' where it holds names."""
    numbers = sum(number(name) is not None for name in header)
    if said.kind != "csv" or 2 * numbers <= len(header):
        return ""
    return "; the first line holds numbers, so write a line with the names of the columns above it"


def unreadable(kind: str, file: Path, error: Exception, said: Said) -> Exception:
    """What is wrong with a file, as an error of one line."""
    what, why = "CSV table" if kind == "csv" else "Parquet file", " ".join(str(error).split())
    if cut := _ODD_ROW.search(why):
        why = (
            f"line {cut[2]} has {cut[3]} fields, those above it {cut[1]}; quote a cell that holds the "
            "separator, or remove what "
            "is too much"
        )
    return said.wrong(f"{file} is no {what}: {why}")


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories as what they stand for."""
    import pandas as pd

    held = {
        name: dtype.categories.dtype
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype)
    }
    return frame.astype({name: object if dtype.kind in "iub" else dtype for name, dtype in held.items()})
