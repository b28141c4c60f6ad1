"""The summary and the certificate as text: what the terminal shows. Formats; computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from ..fairness import Check

Row = list[str]


def summary_cells(summary: pd.DataFrame) -> tuple[Row, list[Row]]:
    """Header and one row an arm: ``mean ± half of the 95% t interval``, and the median where a seed was lost."""
    measured = [name for name in summary.columns if f"{name}_median" in summary.columns and _is_shown(name, summary)]
    plain = {"updates": _whole, "samples": _whole, "train_seconds": _seconds, "diverged": _whole, "failed": _whole}
    titles = {"train_seconds": "train time"}
    header = ["arm", *map(_title, measured), *(titles.get(name, name) for name in plain)]
    rows = [
        [
            str(row["arm"]),
            *(_with_interval(row, name) for name in measured),
            *(show(row[name]) for name, show in plain.items()),
        ]
        for _, row in summary.iterrows()
    ]
    return header, rows


def certificate_lines(certificate: Iterable[Check]) -> list[str]:
    """One line a check."""
    return [f"{'✓' if check.held else '✗'} {check.name}: {check.detail}" for check in certificate]


def number(value: float) -> str:
    """Three significant digits, without the noise of a long exponent."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """``0.8 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain table: the first column to the left, the others to the right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _is_shown(name: str, summary: pd.DataFrame) -> bool:
    """Losses, and each metric on the validation data; on the training data only where there is no other."""
    return name.endswith("_loss") or name.replace("_train_", "_valid_", 1) not in set(summary.columns) - {name}


def _title(column: str) -> str:
    when, *rest = column.split("_")
    return f"{when} {' '.join(rest)}"


def _with_interval(row: pd.Series, name: str) -> str:
    mean, low, median = (float(row[key]) for key in (name, f"{name}_low", f"{name}_median"))
    if math.isnan(mean):
        return number(mean) if math.isnan(median) else f"median {number(median)}"
    return number(mean) if math.isnan(low) else f"{number(mean)} ± {mean - low:.2g}"


def _whole(value: float) -> str:
    return f"{round(value):,}" if math.isfinite(value) else "–"


def _seconds(value: float) -> str:
    return duration(value) if math.isfinite(value) else "–"
