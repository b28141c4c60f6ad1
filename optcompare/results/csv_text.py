"""Tables as CSV that spreadsheets open without computing anything: a cell of text never begins a formula."""

from __future__ import annotations

import re

import pandas as pd
from pandas.api.types import is_numeric_dtype

_BEGINS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""Also in the full-width form that some spreadsheets read alike."""
_AFTER_SEPARATOR = re.compile(r"([;\t]\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet that separates by semicolons or tabs would begin a cell."""


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, numbers as they are.

    Args:
        table: Its texts, titles of columns too, get a leading ``'`` where a spreadsheet would take them for a
        formula.
    """
    safe = table.copy()
    for name, column in table.items():
        if not is_numeric_dtype(column):
            safe[name] = column.astype(object).map(_inert)
    return str(safe.rename(columns=_inert).to_csv(index=False, lineterminator="\n"))


def _inert(value: object) -> object:
    if not isinstance(value, str) or _is_number(value):
        return value
    text = _AFTER_SEPARATOR.sub(r"\1'", value.replace("\r", " "))  # which ends a row unquoted
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS_A_FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
