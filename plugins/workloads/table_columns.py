"""Encode the columns of a table as inputs: fitted to whole columns, applied to any rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optcompare import WorkloadError

from .cell_kinds import MISSING, SHARE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Task = Literal["auto", "regression", "classification"]
Kind = Literal["number", "date", "text"]
MOST_CATEGORIES = 100
_EXACT, _CLOSE = 2**53, 1e-6
"""The largest number up to which float64 holds all whole numbers; above it, columns with a relative spread
below the second number suffer from rounding.
"""


@dataclass
class TableLog:
    """Collect notes on a table, and make its errors.

    Attributes:
        kind: The name of the workload, with which each note and error begins.
        notes: The notes so far.
        reasons: The reason why columns with something like numbers or dates stay text, by column.
    """

    kind: str
    notes: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def note(self, text: str) -> None:
        self.notes.append(f"{self.kind}: {text}")

    def error(self, text: str) -> WorkloadError:
        return WorkloadError(f"workload {self.kind}: {text}")


def kind_of(column: pd.Series[Any], log: TableLog) -> Kind:
    """Return the kind of a column: that of nine of ten known cells, else text.

    Numbers include booleans; dates are in ISO 8601. Signs for missing cells, such as '?', count as known if
    no other cell is a number or a date.

    Args:
        column: The cells.
        log: The log for notes about the table.
    """
    import pandas as pd

    known = column.dropna()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        log.note(f"'{column.name}' holds dates, taken as a number of days")
        return "date"
    signs = 0 if pd.api.types.is_numeric_dtype(known.dtype) else known.map(_is_sign_for_missing).sum()
    enough = SHARE * (len(known) - signs)
    numbers = _numbers(known)
    if numbers.count() >= enough and (numbers.count() or not len(known)):
        if numbers.count() < len(known):
            odd = listed(known[numbers.isna()].unique())
            log.note(f"'{column.name}' is numeric, and {odd} there is taken as missing")
        spread = float(numbers.max()) - float(numbers.min())
        if (most := float(numbers.abs().max())) > _EXACT and spread < _CLOSE * most:
            log.note(
                f"'{column.name}' holds numbers above 2^53, whose units are rounded; subtract what is "
                "common to all"
            )
        return "number"
    dates = pd.to_datetime(known, errors="coerce", format="ISO8601", utc=True)
    if dates.count() < enough or not dates.count():
        return "text"
    odd = listed(known[dates.isna()].unique())
    log.note(
        f"'{column.name}' holds dates, taken as a number of "
        f"days{f'; {odd} is taken as missing' if odd else ''}"
    )
    return "date"


def convert(kind: Kind, column: pd.Series[Any]) -> pd.Series[Any]:
    """Convert a column to floats (dates: days since 1970) or text, with NaN for missing cells.

    Args:
        kind: The kind of the column.
        column: The cells.
    """
    import pandas as pd

    if kind == "number":
        plain = column.dtype != object and pd.api.types.is_numeric_dtype(column.dtype)
        return _numbers(column) if plain else _numbers(column.dropna()).reindex(column.index)
    if kind == "date":
        times = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        return (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    text = column.map(str, na_action="ignore") if column.dtype == object else column
    if not pd.api.types.is_string_dtype(text.dtype):
        return text
    bare = text.str.strip()
    return bare.mask(bare == "")


def _is_sign_for_missing(cell: object) -> bool:
    return isinstance(cell, str) and cell.strip() in MISSING


def _numbers(known: pd.Series[Any]) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(known, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers), np.nan)


@dataclass(frozen=True)
class Numbers:
    """Encode a column as one input: (value - mean) / scale, where a missing value is ``fill``."""

    order: ClassVar[int] = 0
    name: str
    kind: Kind
    fill: float
    mean: float
    scale: float

    @property
    def inputs(self) -> list[str]:
        return [self.name]

    def encoded(self, column: pd.Series[Any]) -> np.ndarray:
        """Encode rows as float64[N, 1]."""
        values: np.ndarray = convert(self.kind, column).fillna(self.fill).to_numpy(float)
        return ((values - self.mean) / self.scale).reshape(-1, 1)


@dataclass(frozen=True)
class Categories:
    """Encode a column with an input for each category, and one for missing cells and others if needed."""

    order: ClassVar[int] = 1
    name: str
    kept: tuple[str, ...]
    missing: bool
    others: bool

    @property
    def inputs(self) -> list[str]:
        extra = ["missing"] * self.missing + ["others"] * self.others
        return [f"{self.name}={value}" for value in (*self.kept, *extra)]

    def encoded(self, column: pd.Series[Any]) -> np.ndarray:
        """Encode rows as float64[N, inputs] of zeros and ones; all zeros for categories not in training."""
        import numpy as np
        import pandas as pd

        text = convert("text", column)
        codes = pd.Index(self.kept, dtype=text.dtype).get_indexer(pd.Index(text))
        odd = codes < 0
        gone = odd & text.isna().to_numpy() & self.missing
        codes[gone] = len(self.kept)
        codes[odd & ~gone] = len(self.kept) + self.missing if self.others else -1
        ones: np.ndarray = codes[:, None] == np.arange(len(self.inputs))
        return ones.astype(float)


Encoding = Numbers | Categories


def fit_encoding(kind: Kind, column: pd.Series[Any], log: TableLog) -> Encoding | None:
    """Fit the encoding of a column to its training rows.

    Args:
        kind: The kind of the column.
        column: The training rows.
        log: The log for notes about the table.

    Returns:
        The encoding; None if the column is left out.
    """
    name, values = str(column.name), convert(kind, column)
    if values.nunique(dropna=False) < 2 if kind == "text" else not values.min() < values.max():
        log.note(f"'{name}' is left out: it has a single value in the training rows")
        return None
    if kind != "text":
        return _scaled(name, kind, values, log)
    kinds, known = values.nunique(), values.count()
    if 2 * kinds > known:
        why = f"; {log.reasons[name]}" if name in log.reasons else ""
        log.note(f"'{name}' is left out: text with {kinds} distinct values in {known} training rows{why}")
        return None
    if name in log.reasons:
        log.note(f"'{name}' is taken as categories: {log.reasons[name]}")
    note_similar_categories(name, column, log)
    missing = bool(known < len(values))
    if missing:
        log.note(
            f"'{name}' is missing in {len(values) - known} of {len(values)} training rows, taken as a "
            "category"
        )
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    others = kinds + missing > MOST_CATEGORIES
    if others:
        log.note(f"'{name}' has {kinds} categories; the rarest share one input")
        counts = counts[: MOST_CATEGORIES - 1 - missing]
    return Categories(name, tuple(sorted(map(str, counts.index))), missing, others)


def note_similar_categories(name: str, column: pd.Series[Any], log: TableLog) -> None:
    """Note categories that differ only in case or spaces; spaces at the ends of a cell are ignored."""
    written = column.dropna().map(str).unique().tolist()
    bare = sorted({text.strip() for text in written} - {""})
    spaced = [text for text in written if text != text.strip() and text.strip() in written]
    if spaced:
        log.note(
            f"spaces at the ends of cells do not count in '{name}': '{spaced[0]}' is '{spaced[0].strip()}'"
        )
    groups: dict[str, list[str]] = {}
    for text in bare:
        groups.setdefault(" ".join(text.casefold().split()), []).append(f"'{text}'")
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if alike:
        log.note(
            f"'{name}' has categories that differ in case or spaces alone: {listed(alike)}; they are taken "
            "as different, so write them alike if they are the same"
        )


def _scaled(name: str, kind: Kind, column: pd.Series[Any], log: TableLog) -> Numbers:
    import numpy as np

    fill = float(column.median())
    gone = int(column.isna().sum())
    if gone:
        log.note(f"'{name}' is missing in {gone} of {len(column)} training rows, taken as its median there")
    values = column.fillna(fill).to_numpy(float)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not np.isfinite([mean, scale]).all():
        largest = np.abs(values).max()
        raise log.error(
            f"'{name}' holds numbers up to {largest:.3g}, too large to be standardised; rescale that column"
        )
    return Numbers(name, kind, fill, mean, scale or 1.0)


def listed(values: Iterable[Any], most: int = 6) -> str:
    """Join the first values, and count the others."""
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
