"""A table's columns, and how each becomes inputs: decided on whole columns, applied to any rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optcompare import WorkloadError

from .number_formats import MISSING, SHARE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Kind = Literal["number", "date", "text"]
MOST_CATEGORIES = 100
_EXACT, _CLOSE = 2**53, 1e-6
"""The largest whole number up to which a float64 holds all; a spread, relative to numbers beyond it, that
rounding hurts.
"""


@dataclass
class Said:
    """What is told about a table: ``kind`` is the workload's name, which begins each note and each error.

    ``reasons``: why columns that hold something like numbers or dates are text all the same.
    """

    kind: str
    notes: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def note(self, text: str) -> None:
        self.notes.append(f"{self.kind}: {text}")

    def wrong(self, text: str) -> WorkloadError:
        return WorkloadError(f"workload {self.kind}: {text}")


def kind_of(column: pd.Series[Any], said: Said) -> Kind:
    """Numbers (or truths) or dates in ISO 8601 where nine of ten known cells are, else text.

    Signs for missing cells, such as '?', count as known where no other cell is a number or a date.
    """
    import pandas as pd

    known = column.dropna()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        said.note(f"'{column.name}' holds dates, taken as a number of days")
        return "date"
    signs = 0 if pd.api.types.is_numeric_dtype(known.dtype) else known.map(_is_sign_for_missing).sum()
    enough = SHARE * (len(known) - signs)
    numbers = _numbers(known)
    if numbers.count() >= enough and (numbers.count() or not len(known)):
        if numbers.count() < len(known):
            odd = listed(known[numbers.isna()].unique())
            said.note(f"'{column.name}' is numeric, and {odd} there is taken as missing")
        spread = float(numbers.max()) - float(numbers.min())
        if (most := float(numbers.abs().max())) > _EXACT and spread < _CLOSE * most:
            said.note(
                f"'{column.name}' holds numbers above 2^53, whose units are rounded; subtract what is "
                "common to all"
            )
        return "number"
    dates = pd.to_datetime(known, errors="coerce", format="ISO8601", utc=True)
    if dates.count() < enough or not dates.count():
        return "text"
    odd = listed(known[dates.isna()].unique())
    said.note(
        f"'{column.name}' holds dates, taken as a number of "
        f"days{f'; {odd} is taken as missing' if odd else ''}"
    )
    return "date"


def read_as(kind: Kind, column: pd.Series[Any]) -> pd.Series[Any]:
    """Floats of numbers and of dates, in days since 1970; text as text; NaN where a cell is missing."""
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
    """One input: (value - mean) / scale, a missing one being ``fill``."""

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
        """float64[N, 1]."""
        values: np.ndarray = read_as(self.kind, column).fillna(self.fill).to_numpy(float)
        return ((values - self.mean) / self.scale).reshape(-1, 1)


@dataclass(frozen=True)
class Categories:
    """One input for each category, one for missing cells and one for others, where training has them."""

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
        """float64[N, inputs] of zeros and ones; all zeros for what training never saw."""
        import numpy as np
        import pandas as pd

        text = read_as("text", column)
        codes = pd.Index(self.kept, dtype=text.dtype).get_indexer(pd.Index(text))
        odd = codes < 0
        gone = odd & text.isna().to_numpy() & self.missing
        codes[gone] = len(self.kept)
        codes[odd & ~gone] = len(self.kept) + self.missing if self.others else -1
        ones: np.ndarray = codes[:, None] == np.arange(len(self.inputs))
        return ones.astype(float)


Encoding = Numbers | Categories


def fitted(kind: Kind, column: pd.Series[Any], said: Said) -> Encoding | None:
    """The encoding of a column by its training rows; None if it is not worth using, which is said."""
    name, values = str(column.name), read_as(kind, column)
    if values.nunique(dropna=False) < 2 if kind == "text" else not values.min() < values.max():
        said.note(f"'{name}' is left out: it has a single value in the training rows")
        return None
    if kind != "text":
        return _scaled(name, kind, values, said)
    kinds, known = values.nunique(), values.count()
    if 2 * kinds > known:
        why = f"; {said.reasons[name]}" if name in said.reasons else ""
        said.note(f"'{name}' is left out: text with {kinds} distinct values in {known} training rows{why}")
        return None
    if name in said.reasons:
        said.note(f"'{name}' is taken as categories: {said.reasons[name]}")
    say_alike(name, column, said)
    missing = bool(known < len(values))
    if missing:
        said.note(
            f"'{name}' is missing in {len(values) - known} of {len(values)} training rows, taken as a "
            "category"
        )
    counts = values.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    others = kinds + missing > MOST_CATEGORIES
    if others:
        said.note(f"'{name}' has {kinds} categories; the rarest share one input")
        counts = counts[: MOST_CATEGORIES - 1 - missing]
    return Categories(name, tuple(sorted(map(str, counts.index))), missing, others)


def say_alike(name: str, column: pd.Series[Any], said: Said) -> None:
    """Names categories that differ in case or in spaces alone; spaces at the ends of a cell do not count."""
    written = column.dropna().map(str).unique().tolist()
    bare = sorted({text.strip() for text in written} - {""})
    spaced = [text for text in written if text != text.strip() and text.strip() in written]
    if spaced:
        said.note(
            f"spaces at the ends of cells do not count in '{name}': '{spaced[0]}' is '{spaced[0].strip()}'"
        )
    groups: dict[str, list[str]] = {}
    for text in bare:
        groups.setdefault(" ".join(text.casefold().split()), []).append(f"'{text}'")
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if alike:
        said.note(
            f"'{name}' has categories that differ in case or spaces alone: {listed(alike)}; they are taken "
            "as different, "
            "so write them alike if they are the same"
        )


def _scaled(name: str, kind: Kind, column: pd.Series[Any], said: Said) -> Numbers:
    import numpy as np

    fill = float(column.median())
    gone = int(column.isna().sum())
    if gone:
        said.note(f"'{name}' is missing in {gone} of {len(column)} training rows, taken as its median there")
    values = column.fillna(fill).to_numpy(float)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not np.isfinite([mean, scale]).all():
        largest = np.abs(values).max()
        raise said.wrong(
            f"'{name}' holds numbers up to {largest:.3g}, too large to be standardised; rescale that column"
        )
    return Numbers(name, kind, fill, mean, scale or 1.0)


def listed(values: Iterable[Any], most: int = 6) -> str:
    """The first values, and how many more there are."""
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
