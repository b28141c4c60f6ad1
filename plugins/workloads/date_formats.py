"""Find the notation of dates in a column from all its cells, and rewrite them in ISO format."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from .cell_kinds import MISSING, SHARE

Order = Literal["day.month.year", "month.day.year", "year.month.day"]
_TIME = (
    r"(?:[ T,]+(?:um )?(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?[ "
    r"]?(?P<half>[AaPp]\.?[Mm]\.?)?)?"
)
_DIGITS = re.compile(
    rf"(?P<a>\d{{1,4}})(?P<mark>[./-])[ ]?(?P<b>\d{{1,2}})(?P=mark)[ ]?(?P<c>\d{{1,4}}){_TIME}"
)
_NAMED = re.compile(
    rf"(?:(?P<a>\d{{1,2}})\.?[ -]?(?P<name>[^\W\d_]{{3,9}})\.?[ ,-]*|(?P<name2>[^\W\d_]{{3,9}})\.?[ "
    rf"](?P<a2>\d{{1,2}}),?[ ])"
    rf"(?P<c>\d{{4}}|\d\d){_TIME}"
)
_ENGLISH = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: month for month, name in enumerate(_ENGLISH, 1)}
_MONTHS |= {"mär": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12}
_PIVOT = 69  # two-digit years below it are in this century, as in strptime


@dataclass
class DateEvidence:
    """Count the dates in a column, and keep the numbers of their first and second fields."""

    known: int = 0
    dates: int = 0
    plain: int = 0
    example: str = ""
    odd: str = ""
    marks: set[str] = field(default_factory=set)
    years_first: bool = False
    first: set[int] = field(default_factory=set)
    second: set[int] = field(default_factory=set)
    unambiguous: str = ""

    def add(self, texts: Iterable[str], known: int) -> None:
        """Add cells that are no numbers.

        Args:
            texts: The cells.
            known: How many cells there are, including numbers.
        """
        self.known += known
        for text in texts:
            cell = text.strip()
            if cell in MISSING:
                self.known -= 1
                continue
            match = _match(cell)
            if match is None:
                self.odd = self.odd or cell
                continue
            self.dates += 1
            self.example = self.example or cell
            if match.re is _NAMED:
                continue
            if len(match["a"]) > 2:
                self.years_first = True
                self.plain += len(match["b"]) == 2 and len(match["c"]) == 2 and not match["half"]
                continue
            self.marks.add(match["mark"])
            one, two = int(match["a"]), int(match["b"])
            if max(one, two) > 12 and not self.unambiguous:
                self.unambiguous = cell
            self.first.add(one)
            self.second.add(two)

    @property
    def are_dates(self) -> bool:
        return self.dates > 0 and self.dates >= SHARE * self.known

    @property
    def order(self) -> Order | None:
        """Return the order of day and month; None if the cells do not show it, or contradict each other."""
        day_first, month_first = max(self.first, default=0) > 12, max(self.second, default=0) > 12
        if day_first != month_first:
            return "day.month.year" if day_first else "month.day.year"
        if day_first:
            return None
        if self.marks == {"."} or not self.first:
            return "day.month.year"
        # If one field is always 1 and the other varies, the dates are the first days of months.
        if len(self.first) == 1 and self.first == {1} and len(self.second) > 1:
            return "day.month.year"
        if len(self.second) == 1 and self.second == {1} and len(self.first) > 1:
            return "month.day.year"
        return None

    @property
    def contradicts(self) -> bool:
        return max(self.first, default=0) > 12 and max(self.second, default=0) > 12


@dataclass(frozen=True)
class DateFormat:
    """Describe the order of day, month and year in a column of dates."""

    complete: ClassVar[bool] = False
    order: Order

    def plain(self, texts: Iterable[str]) -> list[str]:
        """Rewrite cells in ISO 8601; cells that are no dates stay unchanged."""
        return [_iso(text.strip(), self.order) or text for text in texts]


@dataclass(frozen=True)
class DateDecision:
    """Hold the decision on a column: its notation and a note, or the reason why it stays text."""

    format: DateFormat | None = None
    note: str = ""
    reason: str = ""


def decide_dates(name: str, seen: DateEvidence, other_order: Order | None) -> DateDecision:
    """Find the notation of dates in a column.

    Args:
        name: The column.
        seen: What was counted in its cells.
        other_order: The order that the other columns of the file suggest; None: unknown.
    """
    if not seen.are_dates:
        return DateDecision()
    if seen.contradicts:
        return DateDecision(
            reason=f"it mixes dates of day/month and of month/day, such as {seen.unambiguous}; write them as "
            "2024-12-31"
        )
    if seen.plain == seen.dates:
        return DateDecision()
    if not seen.first:
        return DateDecision(DateFormat("year.month.day"), f"'{name}' holds dates such as {seen.example}")
    order = seen.order or other_order or "month.day.year"
    words = order.replace(".", next(iter(sorted(seen.marks)), "."))
    note = f"'{name}' holds dates such as {seen.unambiguous or seen.example}, read as {words}"
    if seen.order is None:
        note += "; no cell distinguishes day and month, so write them as 2024-12-31 if that is wrong"
    return DateDecision(DateFormat(order), note)


def _match(cell: str) -> re.Match[str] | None:
    match = _DIGITS.fullmatch(cell)
    if match is not None:
        years = (len(match["a"]) == 4) + (len(match["c"]) == 4)
        return match if years == 1 or (len(match["a"]), len(match["c"])) in ((1, 2), (2, 2)) else None
    match = _NAMED.fullmatch(cell)
    return match if match is not None and _month(match) else None


def _month(match: re.Match[str]) -> int | None:
    return _MONTHS.get((match["name"] or match["name2"])[:3].lower())


def _iso(cell: str, order: Order) -> str | None:
    match = _match(cell)
    if match is None:
        return None
    if match.re is _NAMED:
        day, month, year = int(match["a"] or match["a2"]), _month(match) or 0, match["c"]
    elif len(match["a"]) == 4:
        year, month, day = match["a"], int(match["b"]), int(match["c"])
    else:
        one, two, year = int(match["a"]), int(match["b"]), match["c"]
        day, month = (two, one) if order == "month.day.year" else (one, two)
    number = int(year) if len(year) == 4 else int(year) + (2000 if int(year) < _PIVOT else 1900)
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if match["half"]:
        hour = hour % 12 + (12 if match["half"][0] in "pP" else 0)
    try:
        return datetime.datetime(number, month, day, hour, minute, second).isoformat(" ")
    except ValueError:
        return None
