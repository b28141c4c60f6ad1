"""Describe the columns of a table: their names, kinds, units and meanings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["texts", "whole numbers", "numbers", "true and false", "texts or numbers"]
TEXT: Kind = "texts"
WHOLE: Kind = "whole numbers"
NUMBER: Kind = "numbers"
FLAG: Kind = "true and false"
OTHER: Kind = "texts or numbers"
_DTYPES: dict[Kind, str] = {
    TEXT: "string",
    WHOLE: "int64",
    NUMBER: "float64",
    FLAG: "bool",
    OTHER: "string or float64",
}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: The name in the file; with parts in angle brackets, the form of the names of several columns.
        kind: The kind of its values.
        description: The meaning, as a sentence for the reference of files.
        unit: The unit of its numbers; empty: they have none.
        optional: Whether a table may lack it.
        choices: The texts that it may contain; empty: any.
        positive: Whether its numbers are finite and above 0.
        finite: Whether its numbers are finite and not negative.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ""
    optional: bool = False
    choices: tuple[str, ...] = ()
    positive: bool = False
    finite: bool = False

    @property
    def dtype(self) -> str:
        """The type of its values in Parquet."""
        return _DTYPES[self.kind]


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table hold.

    Attributes:
        file: The name of the file.
        columns: Those that are known by name.
        families: The forms of the names of further columns, for the reference of files.
        others: The kind of all columns that are not known by name.
        least: The smallest of all whole numbers.
    """

    file: str
    columns: tuple[Column, ...]
    families: tuple[Column, ...]
    others: Kind
    least: int = 0

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The names of the columns that every such table has, in their order."""
        return tuple(column.name for column in self.columns if not column.optional)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column:
        """Return a column by its name; an unknown name gets the kind of all other columns."""
        return self._by_name.get(name) or Column(name, self.others, "", optional=True)
