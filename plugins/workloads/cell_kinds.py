"""Recognise cells that are not numbers: signs for missing values, times, ranges and others."""

import re

_SIGNS = frozenset({"", "?", "-", "--", "–", "—", ".", "..", "...", "*", "**", "x", "X"})
_WORDS = frozenset({"nan", "NaN", "none", "None", "null", "NULL", "missing", "unknown"})
_SHORT = frozenset({"na", "n.a.", "n. a.", "N.A.", "n/a", "NA", "k.A.", "k. A."})
MISSING = _SIGNS | _WORDS | _SHORT
"""Cells that stand for a missing value."""

SHARE = 0.9
"""The share of known cells that must be numbers, or dates, for a column to be read as such."""

_PATTERNS = {
    "times such as 12:30": re.compile(r"\d{1,3}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"),
    "ranges such as 10-20": re.compile(r"[\d.,]+ ?(?:-|–|to|bis) ?[\d.,]+"),
    "limits such as <5 or 10+": re.compile(r"[<>≤≥~] ?=? ?[\d.,]+|[\d.,]+ ?\+"),
    "months such as 3/2024": re.compile(r"\d{1,2}[/.]\d{4}"),
    "fractions such as 3/4": re.compile(r"\d+ ?/ ?\d+"),
    "lists such as 2;3": re.compile(r"[\[(]?[\d.]+(?:[;,|] ?[\d.]+)+[\])]?"),
}


def describe_cell(shape: str) -> str:
    """Describe a cell that is no number but is written with digits, such as a time; empty for words.

    Args:
        shape: The cell; its digits may be replaced by others.
    """
    return next((what for what, pattern in _PATTERNS.items() if pattern.fullmatch(shape.strip())), "")
