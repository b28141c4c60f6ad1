"""Find and rewrite numbers and dates in other notations, in columns that look like text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .date_formats import DateEvidence, DateFormat, Order, decide_dates
from .number_evidence import NumberEvidence
from .number_formats import NumberFormat, decide
from .table_columns import TableLog, listed

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class TextEvidence:
    """Collect the notations of the cells of a column."""

    numbers: NumberEvidence = field(default_factory=NumberEvidence)
    dates: DateEvidence = field(default_factory=DateEvidence)

    def add(self, column: pd.Series[Any]) -> None:
        """Add some cells; in the end all cells of the column must have been added.

        Args:
            column: The cells.
        """
        texts = column.dropna().tolist()
        self.dates.add(self.numbers.add(texts), len(texts))


Format = NumberFormat | DateFormat


def formats_of(
    seen: Mapping[str, TextEvidence], sure: set[str], separator: str, log: TableLog
) -> dict[str, Format]:
    """Find the notations of columns, and note them.

    Args:
        seen: The cells of each text column.
        sure: The certain decimal signs of all other columns.
        separator: The separator of the file.
        log: The log for notes about the table.
    """
    formats: dict[str, Format] = {}
    commas: dict[str, str] = {}
    signs = {name: evidence.numbers.decimals for name, evidence in seen.items()}
    all_signs = sure.union(*signs.values())
    for name, evidence in seen.items():
        others = sure.union(*(each for other, each in signs.items() if other != name))
        numbers = decide(name, evidence.numbers, others, separator)
        dates = decide_dates(name, evidence.dates, _order(seen, all_signs, separator))
        chosen: Format | None = dates.format or (None if evidence.dates.are_dates else numbers.format)
        if chosen is not None:
            formats[name] = chosen
        note = dates.note or ("" if evidence.dates.are_dates else numbers.note)
        if note:
            log.note(note)
        if numbers.commas and chosen is numbers.format:
            commas[name] = numbers.commas
        reason = dates.reason or ("" if evidence.dates.are_dates else numbers.reason)
        if reason:
            log.reasons[name] = reason
    if commas:
        columns = listed([f"'{name}'" for name in commas])
        log.note(f"decimal commas in {columns}: {next(iter(commas.values()))}")
    return formats


def rewritten(column: pd.Series[Any], form: Format) -> pd.Series[Any]:
    """Rewrite numbers and dates of a column as programs write them.

    Args:
        column: The cells.
        form: Their notation.

    Returns:
        The column; as floats if each cell is a number.
    """
    import pandas as pd

    known = column.dropna()
    plain = pd.Series(form.plain(known.tolist()), known.index, dtype=column.dtype, name=column.name)
    if form.complete:
        return pd.to_numeric(plain).astype(float).reindex(column.index)
    return plain.reindex(column.index)


def _order(seen: Mapping[str, TextEvidence], signs: set[str], separator: str) -> Order | None:
    """Return the order of day and month in other columns, else the one that goes with the decimal signs."""
    orders = {evidence.dates.order for evidence in seen.values() if evidence.dates.first} - {None}
    if len(orders) == 1:
        return orders.pop()
    return "day.month.year" if separator == ";" or signs == {","} else None
