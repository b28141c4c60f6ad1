"""Read CSV files into memory, or convert them to Parquet in portions, with the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import table_files
from .number_cells import number
from .table_columns import TableLog
from .table_dialect import Dialect, dialect_of
from .table_source import Source, source_of
from .table_text import Format, TextEvidence, formats_of, rewritten

if TYPE_CHECKING:
    import pandas as pd


class CsvTable(table_files.FrameTable):
    """Hold a CSV file in memory; numbers and dates in other notations are rewritten.

    Args:
        file: The file.
        encoding: The encoding of the file.
        log: The log for notes about the table.
    """

    def __init__(self, file: Path, encoding: str, log: TableLog) -> None:
        import pandas as pd

        csv = _Csv.of(file, encoding)
        with _one_line_errors(csv.source), csv.source.opened() as stream:
            frame = pd.read_csv(stream, **csv.dialect.options)
        frame.columns = pd.Index(csv.dialect.names)
        columns = _Columns()
        columns.add(frame)
        formats = _formats(csv, columns, [frame], log)
        reread = [name for name in columns.points if name in formats]
        texts = pd.concat(csv.texts(reread)) if reread else frame
        for name, form in formats.items():
            frame[name] = rewritten(texts[name] if name in reread else frame[name], form)
        super().__init__(frame, csv.dialect.header)


def convert_to_parquet(file: Path, target: Path, encoding: str, log: TableLog) -> list[str]:
    """Convert a CSV file to Parquet, with the types that pandas finds when it reads the file at once.

    The file is read three times, since the type and the notation of a column are only known at its end.

    Args:
        file: The CSV file.
        target: The Parquet file.
        encoding: The encoding of the CSV file.
        log: The log for notes about the table.

    Returns:
        The header of the CSV file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    csv = _Csv.of(file, encoding)
    columns = _Columns()
    for chunk in csv.chunks():
        columns.add(chunk)
    formats = _formats(csv, columns, csv.texts(columns.texts), log)
    kinds = dict(columns.types)
    for name, form in formats.items():
        kinds[name] = "float64" if form.complete else "str"
    as_text = [name for name in kinds if name in formats or kinds[name] == "str"]
    others = {name: kind for name, kind in kinds.items() if kind != "str"}
    arrow = {"float64": pa.float64(), "boolean": pa.bool_(), "str": pa.large_string()}
    schema = pa.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    with pq.ParquetWriter(target, schema) as writer:
        for chunk in csv.chunks(as_text):
            for name, form in formats.items():
                chunk[name] = rewritten(chunk[name], form)
            writer.write_table(pa.Table.from_pandas(chunk.astype(others), schema, preserve_index=False))
    return csv.dialect.header


@dataclass(frozen=True)
class _Csv:
    """Hold a file, and how it is split into cells."""

    source: Source
    dialect: Dialect

    @classmethod
    def of(cls, file: Path, encoding: str) -> _Csv:
        source = source_of(file, encoding)
        with _one_line_errors(source):
            return cls(source, dialect_of(source))

    def chunks(self, as_text: Iterable[str] = ()) -> Iterator[pd.DataFrame]:
        """Yield all rows in portions; the columns ``as_text`` as text."""
        yield from self._read(dtype=dict.fromkeys(self._written(as_text), str))

    def texts(self, names: Iterable[str]) -> Iterator[pd.DataFrame]:
        """Yield some columns as text, in portions of rows."""
        written = self._written(names)
        if written:
            yield from self._read(dtype=str, usecols=written)

    def _written(self, names: Iterable[str]) -> list[str]:
        written = dict(zip(self.dialect.names, self.dialect.written, strict=True))
        return [written[name] for name in names]

    def _read(self, **more: Any) -> Iterator[pd.DataFrame]:
        import pandas as pd

        names = dict(zip(self.dialect.written, self.dialect.names, strict=True))
        size = table_files.batch_rows(len(names))
        with _one_line_errors(self.source), self.source.opened() as stream:
            for chunk in pd.read_csv(stream, chunksize=size, **self.dialect.options, **more):
                chunk.columns = pd.Index([names[str(name)] for name in chunk.columns])
                yield chunk


@dataclass
class _Columns:
    """Find the type of each column from its portions, as pandas does from the whole column.

    Attributes:
        kinds: The types of the portions, by column.
        points: The results of :func:`_decimal_points`, by column.
    """

    kinds: dict[str, set[str]] = field(default_factory=dict)
    points: dict[str, set[bool]] = field(default_factory=dict)

    def add(self, frame: pd.DataFrame) -> None:
        for name in map(str, frame):
            kind = _inferred(frame[name])
            self.kinds.setdefault(name, set()).update(kind)
            if kind == {"float64"}:
                self.points.setdefault(name, set()).update(_decimal_points(frame[name]))

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each column: the common type of its portions, else text."""
        return {
            name: next(iter(kinds or {"float64"})) if len(kinds) < 2 else "str"
            for name, kinds in self.kinds.items()
        }

    @property
    def texts(self) -> list[str]:
        return [name for name, kind in self.types.items() if kind == "str"]


def _formats(csv: _Csv, columns: _Columns, texts: Iterable[pd.DataFrame], log: TableLog) -> dict[str, Format]:
    """Find the notations of text columns, and of columns whose decimal points are in doubt."""
    dialect = csv.dialect
    seen: dict[str, TextEvidence] = {name: TextEvidence() for name in columns.texts}
    for frame in texts:
        for name in columns.texts:
            seen[name].add(frame[name])
    pointed = [name for name in columns.points if name not in seen and columns.points[name]]
    sure = [name for name in pointed if True in columns.points[name] or _starts_with_points(dialect, name)]
    doubtful = [name for name in pointed if name not in sure]
    if not sure or any("," in evidence.numbers.decimals for evidence in seen.values()):
        for frame in csv.texts(doubtful):
            for name in doubtful:
                seen.setdefault(name, TextEvidence()).add(frame[name])
    in_order = {name: seen[name] for name in dialect.names if name in seen}
    return formats_of(in_order, {"."} if sure else set(), dialect.separator, log)


def _inferred(column: pd.Series[Any]) -> set[str]:
    import pandas as pd

    if not column.notna().any():
        return set()
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return {"boolean"}
    return {"float64"} if pd.api.types.is_numeric_dtype(column) else {"str"}


def _decimal_points(column: pd.Series[Any]) -> set[bool]:
    """Return whether some number must have a decimal point, rather than 57.429 meaning 57429.

    The result is empty if all numbers are whole.
    """
    import numpy as np

    values = np.abs(column.dropna().to_numpy(float))
    values = values[np.isfinite(values)]
    values = values[values % 1 != 0]
    if not len(values):
        return set()
    thousandth = np.abs(values * 1000 - np.rint(values * 1000)) <= 1e-6
    return {bool(((values < 1) | (values >= 1000) | ~thousandth).any())}


def _starts_with_points(dialect: Dialect, name: str) -> bool:
    """Return whether one of the first cells of a column certainly has a decimal point."""
    place = dialect.names.index(name)
    read = [number(row[place]) for row in dialect.rows if len(row) > place]
    return any(cell is not None and cell.form.decimal == "." for cell in read)


@contextmanager
def _one_line_errors(source: Source) -> Iterator[None]:
    """Raise one-line errors for rows that are too long, undecodable bytes, and empty or cut files."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows have more values than its header has names") from error
        except UnicodeDecodeError as error:
            raise ValueError(source.undecodable()) from error
        except pd.errors.EmptyDataError as error:
            raise ValueError("it has no header line, nor anything else") from error
        except EOFError as error:
            raise ValueError(f"it cannot be unpacked to its end ({error})") from error
