"""Columns of a file that look like text: numbers and dates in other notations are found and rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .date_formats import DateEvidence, DateFormat, Order, decide_dates
from .number_formats import NumberEvidence, NumberFormat, decide
from .table_columns import Said, listed

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class TextEvidence:
    """What a column's cells look like."""

    numbers: NumberEvidence = field(default_factory=NumberEvidence)
    dates: DateEvidence = field(default_factory=DateEvidence)

    def add(self, column: pd.Series[Any]) -> None:
        """Takes some cells into account; all of the column's have to be, in any portions."""
        texts = column.dropna().tolist()
        self.dates.add(self.numbers.add(texts), len(texts))


Format = NumberFormat | DateFormat


def formats_of(
    seen: Mapping[str, TextEvidence], sure: set[str], separator: str, said: Said
) -> dict[str, Format]:
    """How columns are to be rewritten; what that means is said.

    ``sure``: the decimal signs of the columns that are not in ``seen``.
    """
    found: dict[str, Format] = {}
    commas: dict[str, str] = {}
    signs = {name: evidence.numbers.decimals for name, evidence in seen.items()}
    all_signs = sure.union(*signs.values())
    for name, evidence in seen.items():
        others = sure.union(*(each for other, each in signs.items() if other != name))
        verdict = decide(name, evidence.numbers, others, separator)
        dates = decide_dates(name, evidence.dates, _order(seen, all_signs, separator))
        chosen: Format | None = dates.format or (None if evidence.dates.are_dates else verdict.format)
        if chosen is not None:
            found[name] = chosen
        note = dates.note or ("" if evidence.dates.are_dates else verdict.note)
        if note:
            said.note(note)
        if verdict.commas and chosen is verdict.format:
            commas[name] = verdict.commas
        reason = dates.reason or ("" if evidence.dates.are_dates else verdict.reason)
        if reason:
            said.reasons[name] = reason
    if commas:
        columns = listed([f"'{name}'" for name in commas])
        said.note(f"decimal commas in {columns}: {next(iter(commas.values()))}")
    return found


def rewritten(column: pd.Series[Any], form: Format) -> pd.Series[Any]:
    """The column with its numbers and dates as programs write them; floats where each cell is a number."""
    import pandas as pd

    known = column.dropna()
    plain = pd.Series(form.plain(known.tolist()), known.index, dtype=column.dtype, name=column.name)
    if form.complete:
        return pd.to_numeric(plain).astype(float).reindex(column.index)
    return plain.reindex(column.index)


def _order(seen: Mapping[str, TextEvidence], signs: set[str], separator: str) -> Order | None:
    """Return the order of day and month of the file's other dates, else that of its decimal signs."""
    orders = {evidence.dates.order for evidence in seen.values() if evidence.dates.first} - {None}
    if len(orders) == 1:
        return orders.pop()
    return "day.month.year" if separator == ";" or signs == {","} else None
