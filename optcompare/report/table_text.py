"""A table as text: its cells, its lines in a terminal, and LaTeX for a paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from ..analysis.check import Check
from ..core.formatting import duration

Cells = list[str]
"""The cells of one row."""


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a plain table: the first column aligned left, the others right.

    Args:
        header: A title for each column.
        rows: The rows, with as many cells each.
    """
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX ``tabular`` that needs the package booktabs.

    Args:
        header: A title for each column.
        rows: The rows, with as many cells each; characters with a meaning in LaTeX are escaped.
    """
    body = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows)]
    top = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule", body[0], r"\midrule"]
    return "\n".join([*top, *body[1:], r"\bottomrule", r"\end{tabular}"])


def certificate_lines(certificate: Iterable[Check]) -> list[str]:
    """Return one line for each check of the fairness certificate.

    Args:
        certificate: The checks of the certificate.
    """
    return [f"{'✓' if check.held else '✗'} {check.name}: {check.detail}" for check in certificate]


def trial_name(trial: pd.Series) -> str:
    """Name a trial, such as 'full, seed 3', with its tuning repeat if the arms were tuned several times.

    Args:
        trial: A row of the trials table.
    """
    repeat = f", repeat {trial['repeat']}" if "repeat" in trial else ""
    return f"{trial['arm']}, seed {trial['seed']}{repeat}"


def whole_cell(value: float) -> str:
    """Return a number rounded to an integer, or '–' if it is not finite.

    Args:
        value: Any number.
    """
    return f"{round(value):,}" if math.isfinite(value) else "–"


def seconds_cell(value: float) -> str:
    """Return a duration in words, or '–' if it is not finite.

    Args:
        value: Seconds.
    """
    return duration(value) if math.isfinite(value) else "–"


def lowest_to_highest(low: float, high: float) -> str:
    """Return a range of learning rates, or a single rate if both ends are equal.

    Args:
        low: The lowest rate.
        high: The highest rate.
    """
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _escaped(text: str) -> str:
    special = {
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "–": "--",
        "<": "$<$",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\^{}",
    }
    special |= {character: "\\" + character for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)
