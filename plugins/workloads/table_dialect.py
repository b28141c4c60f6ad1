"""Find how a CSV file is split into cells: its separator, its header and the names of columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .table_source import Source

SPACES = " \t\r\n\f\v\u00a0\u2007\u2009\u202f\u200b\u3000\ufeff"
_SEPARATORS = ",;\t|"
_MOST_RECORDS = 100
_ALIKE = 0.9
_DECLARED = re.compile(r'"?sep=([^\r\n"])"?[ \t,;]*(?:\r\n|\r|\n)', re.IGNORECASE)
_NUMERIC = re.compile(r"[-+(]?[\d.,' %€$£]*\d[\d.,' %€$£)]*")


@dataclass(frozen=True)
class Dialect:
    """Describe how a CSV file is split into cells.

    Attributes:
        separator: The separator.
        header: The cells of the header line.
        written: The names of the columns in ``pandas.read_csv``.
        names: The names of the columns in this package.
        rows: The cells of the first rows.
        options: The options for ``pandas.read_csv``.
    """

    separator: str
    header: list[str]
    written: list[str]
    names: list[str]
    rows: list[list[str]]
    options: dict[str, Any]


@dataclass(frozen=True)
class _Cut:
    """Hold the first records of a file as one separator splits them, and how well it fits."""

    separator: str
    records: list[list[str]]
    lines: list[int]
    width: int
    alike: bool
    fits_header: bool
    clean: float

    @property
    def rank(self) -> tuple[Any, ...]:
        return (
            self.alike,
            self.fits_header,
            round(self.clean, 2),
            self.width,
            -_SEPARATORS.find(self.separator),
        )


def dialect_of(source: Source) -> Dialect:
    """Find the dialect of a file.

    Args:
        source: The file.

    Raises:
        ValueError: The lines of the file are not a table.
    """
    import pandas as pd

    text, whole = source.head()
    declared = _DECLARED.match(text)
    text = text[declared.end() :] if declared else text
    cut = _best([_cut(text, whole, separator) for separator in (declared[1] if declared else _SEPARATORS)])
    separator = declared[1] if declared else cut.separator
    _refuse_title(cut, 1 if declared else 0)
    options: dict[str, Any] = {
        "sep": separator,
        "compression": None,
        "encoding": "utf-8" if source.encoding == "utf-8-sig" else source.encoding,
        "skipinitialspace": True,
        "index_col": False,
        "low_memory": False,
        "skiprows": 1 if declared else 0,
    }
    with source.opened() as stream:
        first = pd.read_csv(stream, header=None, nrows=1, dtype=str, na_filter=False, **options)
    with source.opened() as stream:
        written = list(map(str, pd.read_csv(stream, nrows=0, **options)))
    header = [name.strip(SPACES) for name in first.iloc[0].tolist()]
    return Dialect(separator, header, written, _names(written), cut.records[1:], options)


def escape(text: str) -> str:
    """Escape tabs and line ends of a text for a message of one line."""
    return text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")


def find_name(names: Iterable[str], wanted: str) -> str:
    """Return the name that equals the wanted one up to spaces; the wanted one if there is not exactly one."""
    names = list(names)
    if wanted in names:
        return wanted
    alike = [name for name in names if " ".join(name.split()) == " ".join(wanted.split())]
    return alike[0] if len(alike) == 1 else wanted


def _names(written: Iterable[str]) -> list[str]:
    """Strip names, and number repeated ones as pandas does."""
    names: list[str] = []
    for position, name in enumerate(written):
        plain = name.strip(SPACES) or f"Unnamed: {position}"
        number = 0
        while (f"{plain}.{number}" if number else plain) in names:
            number += 1
        names.append(f"{plain}.{number}" if number else plain)
    return names


def _best(cuts: list[_Cut]) -> _Cut:
    """Return the best separator: rows of equal length first, then the header, then the cells."""
    several = [cut for cut in cuts if cut.width > 1]
    if several:
        return max(several, key=lambda cut: cut.rank)
    return max(cuts, key=lambda cut: len(cut.records[0]) if cut.records else 0)


def _cut(text: str, whole: bool, separator: str) -> _Cut:
    records, lines = _records(text, whole, separator)
    header, rows = (len(records[0]) if records else 0), records[1:]
    counts = Counter(map(len, rows))
    width = max(counts, key=lambda size: (counts[size], size), default=header)
    of_width = [row for row in rows if len(row) == width]
    cells = [cell for row in of_width for cell in row]
    others = [other for other in _SEPARATORS if other != separator]
    clean = sum(
        not any(other in cell for other in others) or bool(_NUMERIC.fullmatch(cell)) for cell in cells
    )
    if width == header + 1 and all(row[-1] == "" for row in of_width):
        width = header  # each row ends in a separator
    alike = len(of_width) >= _ALIKE * len(rows)
    return _Cut(separator, records, lines, width, alike, width == header, clean / max(1, len(cells)))


def _records(text: str, whole: bool, separator: str) -> tuple[list[list[str]], list[int]]:
    """Return the first records that are not empty, and the line in which each ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    records: list[list[str]] = []
    lines: list[int] = []
    try:
        for record in reader:
            if record and (len(record) > 1 or record[0].strip()):
                records.append(record)
                lines.append(reader.line_num)
            if len(records) > _MOST_RECORDS:
                return records, lines
    except csv.Error:
        return records, lines
    return (records, lines) if whole or len(records) < 2 else (records[:-1], lines[:-1])


def _refuse_title(cut: _Cut, skipped: int) -> None:
    """Refuse rows with more cells than the first line, which then is a title or lacks names."""
    header = len(cut.records[0]) if cut.records else 0
    if not cut.alike or cut.width <= header:
        return
    first = next(place for place, record in enumerate(cut.records) if len(record) == cut.width)
    above, fields = cut.lines[0] + skipped, f"{header} field{'s' if header > 1 else ''}"
    below = f"line {above} has {fields}, the lines below have {cut.width}"
    if any(_NUMERIC.fullmatch(cell) for cell in cut.records[first]):
        raise ValueError(
            f"its rows have more values than its header has names: {below}; name every column, "
            f"or if line {above} is a title, write the names in its place"
        )
    if first > 1:
        raise ValueError(f"{below}: are the {first} lines above the names a title? remove them")
    raise ValueError(f"{below}: is it a title? remove it")
