"""Comparison of ``summary.csv`` with the tables, for all versions of the libraries that computed it."""

from __future__ import annotations

import csv
import io
import math

ROUNDING = 1e-9
"""The largest relative difference of numbers that versions of SciPy or NumPy may round differently."""


def is_same_summary(written: bytes, expected: bytes) -> bool:
    """Compare two summaries cell by cell, numbers up to rounding.

    Args:
        written: The contents of a ``summary.csv``.
        expected: The summary computed from the tables.

    Returns:
        Whether all texts are equal, and all numbers within a relative :data:`ROUNDING`.
    """
    if written == expected:
        return True
    try:
        tables = [list(csv.reader(io.StringIO(data.decode("utf-8")))) for data in (written, expected)]
    except (UnicodeDecodeError, csv.Error):
        return False
    if [len(row) for row in tables[0]] != [len(row) for row in tables[1]]:
        return False
    pairs = (cells for rows in zip(*tables, strict=True) for cells in zip(*rows, strict=True))
    return all(_is_same_cell(one, other) for one, other in pairs)


def _is_same_cell(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=ROUNDING)
    except ValueError:
        return False
