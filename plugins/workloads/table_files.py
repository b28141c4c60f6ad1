"""Tables in files: a column as a whole, or all columns of some rows at a time."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .table_columns import Said, listed

if TYPE_CHECKING:
    import pandas as pd

_BATCH_CELLS = 2**21
_INDEX = "__index_level_"


class Table(Protocol):
    """``names`` of its columns, and how many rows it has."""

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


class CsvTable:
    """A CSV file, read into memory as pandas types it."""

    def __init__(self, file: Path) -> None:
        import pandas as pd

        header, options = dialect(file)
        with _no_row_cut():
            self._frame = pd.read_csv(file, **options)
        self.header, self.names, self.rows = header, list(map(str, self._frame)), len(self._frame)

    def column(self, name: str) -> pd.Series[Any]:
        column: pd.Series[Any] = self._frame[name]
        return column

    def batches(self) -> Iterator[pd.DataFrame]:
        step = batch_rows(len(self.names))
        for begin in range(0, self.rows, step):
            yield self._frame.iloc[begin : begin + step]


class ParquetTable:
    """A Parquet file, of which a column, or some rows, are in memory at a time; ``header``: where it was a CSV file."""

    def __init__(self, file: Path, header: Sequence[str] = ()) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Buffered ahead, all rows would be in memory at the end.
        self._file = pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
        fields = list(self._file.schema_arrow)
        self.header, self.rows = list(header) or [field.name for field in fields], self._file.metadata.num_rows
        kinds = {field.name: field.type for field in fields}
        self.nested = {
            name: str(kind) for name, kind in kinds.items() if pa.types.is_nested(kind) or pa.types.is_binary(kind)
        }
        self.names = [name for name in kinds if name not in self.nested and not name.startswith(_INDEX)]

    def column(self, name: str) -> pd.Series[Any]:
        return _plain(self._file.read([name]).to_pandas(ignore_metadata=True))[name]

    def batches(self) -> Iterator[pd.DataFrame]:
        for batch in self._file.iter_batches(batch_rows(len(self.names)), columns=self.names):
            yield _plain(batch.to_pandas())


def parquet_cells(file: Path) -> int:
    """Rows times columns; 0 where that cannot be known, which :func:`opened` explains."""
    import pyarrow.parquet as pq

    try:
        told = pq.read_metadata(file)
    except (OSError, ValueError):
        return 0
    return int(told.num_rows * told.num_columns)


def opened(kind: str, file: Path, y: str, said: Said) -> Table:
    """The table of a CSV or a Parquet file; raises ``WorkloadError`` in one line for what is none, or has no column y."""
    try:
        table = CsvTable(file) if kind == "csv" else ParquetTable(file)
    except (OSError, ValueError) as error:
        raise unreadable(kind, file, error, said) from error
    return checked(table, file, y, said)


def checked(table: CsvTable | ParquetTable, file: Path, y: str, said: Said) -> Table:
    """The table, if it has one column y and rows."""
    header = table.header
    twice = [name for name in header if header.count(name) > 1 and (name == y or said.kind == "parquet")]
    if twice:
        raise said.wrong(f"{file} has {header.count(twice[0])} columns '{twice[0]}'; rename all but one of them")
    for name in dict.fromkeys(name for name in header if name and header.count(name) > 1):
        said.note(f"{header.count(name)} columns are called '{name}', and all are used; the second as '{name}.1'")
    if y not in table.names:
        close = difflib.get_close_matches(y, header, 1, 0.5)
        hint = f" (did you mean '{close[0]}'?)" if close and close[0] != y else ""
        where = "its header line holds" if said.kind == "csv" else "its columns are"
        what = "no column" if y not in header else "no plain values in column"
        raise said.wrong(f"{file} has {what} '{y}'{hint}; {where} {listed(header)}")
    if not table.rows:
        raise said.wrong(f"{file} has {'a header line and no rows below it' if said.kind == 'csv' else 'no rows'}")
    for name, held in getattr(table, "nested", {}).items():
        said.note(f"'{name}' is left out: it holds {held}")
    return table


def unreadable(kind: str, file: Path, error: Exception, said: Said) -> Exception:
    """What is wrong with a file, as an error of one line."""
    what = "CSV table in UTF-8 with a header line" if kind == "csv" else "Parquet file"
    return said.wrong(f"{file} is no {what}: {' '.join(str(error).split())}")


def dialect(file: Path) -> tuple[list[str], dict[str, Any]]:
    """The header line as written, and how pandas is to read the lines below."""
    import pandas as pd

    with file.open("rb") as stream:
        if b"\0" in stream.read(4096):
            raise ValueError("it holds zero bytes, as binary files and UTF-16 do")
    options: dict[str, Any] = {"compression": None, "skipinitialspace": True, "index_col": False, "low_memory": False}
    first: dict[str, Any] = {"header": None, "nrows": 1, "dtype": str, "na_filter": False}
    header: list[str] = pd.read_csv(file, **first, **options).iloc[0].tolist()
    if len(header) == 1:
        separator = max(",;\t|", key=header[0].count)
        # Spreadsheets write ';' where the decimal sign is a comma.
        options |= {"sep": separator, "decimal": "," if separator == ";" else "."}
        header = pd.read_csv(file, **first, **options).iloc[0].tolist()
    return header, options


def as_parquet(file: Path, target: Path) -> list[str]:
    """Writes a CSV file's rows as Parquet, typed as if it had been read at once; returns its header line.

    Two passes: whether a column holds numbers, truths or text is known at its end alone.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    header, options = dialect(file)
    options["chunksize"] = batch_rows(len(header))
    kinds: dict[str, set[str]] = {}
    with _no_row_cut():
        for chunk in pd.read_csv(file, **options):
            for name in chunk:
                kinds.setdefault(name, set()).update(_inferred(chunk[name]))
    # Where nothing is known, or all is of one kind, that is it; a mixture is text, as in a table read at once.
    types = {name: (found or {"float64"}).pop() if len(found) < 2 else "str" for name, found in kinds.items()}
    others = {name: kind for name, kind in types.items() if kind != "str"}
    options["dtype"] = {name: "str" for name, kind in types.items() if kind == "str"}
    arrow = {"float64": pa.float64(), "boolean": pa.bool_(), "str": pa.large_string()}
    schema = pa.schema([(name, arrow[kind]) for name, kind in types.items()])
    with pq.ParquetWriter(target, schema) as writer, _no_row_cut():
        for chunk in pd.read_csv(file, **options):
            writer.write_table(pa.Table.from_pandas(chunk.astype(others), schema, preserve_index=False))
    return header


def _inferred(column: pd.Series[Any]) -> set[str]:
    import pandas as pd

    if not column.notna().any():
        return set()
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return {"boolean"}
    return {"float64"} if pd.api.types.is_numeric_dtype(column) else {"str"}


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories as what they stand for."""
    import pandas as pd

    held = {
        name: dtype.categories.dtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)
    }
    return frame.astype({name: object if dtype.kind in "iub" else dtype for name, dtype in held.items()})


@contextmanager
def _no_row_cut() -> Iterator[None]:
    """Raises where a row has more values than the header has names, of which pandas only warns."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows have more values than its header has names") from error
