"""Write tables as CSV in which no text begins a formula of a spreadsheet."""

from __future__ import annotations

import re

import pandas as pd
from pandas.api.types import is_numeric_dtype

_BEGINS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""The characters that begin a formula, also in the full-width form that some spreadsheets accept."""
_AFTER_SEPARATOR = re.compile(r"([;\t]\s*)(?=[=+\-@＝＋－＠])")
"""The beginning of a formula for spreadsheets that separate cells by semicolons or tabs."""


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, with numbers as they are.

    Args:
        table: The table. A text or a column title that a spreadsheet would take for a formula gets a leading
            ``'``.
    """
    safe = table.copy()
    for name, column in table.items():
        if not is_numeric_dtype(column):
            safe[name] = column.astype(object).map(_inert)
    return str(safe.rename(columns=_inert).to_csv(index=False, lineterminator="\n"))


def _inert(value: object) -> object:
    if not isinstance(value, str) or _is_number(value):
        return value
    text = _AFTER_SEPARATOR.sub(r"\1'", value.replace("\r", " "))  # an unquoted \r would end the row
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS_A_FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
