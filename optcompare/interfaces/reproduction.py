"""A published result that can be reproduced: the claim, what is expected of it here, and how it is found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.formatting import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Expected:
    """State a number that the claim predicts, with the range in which it holds.

    The range is decided before the first full run, and stays.

    Attributes:
        words: What the number is, such as "slope of log updates against log B, up to B = 64".
        low: The smallest value that holds.
        high: The largest value that holds.
        if_not: The likely reason where a run found something else; empty: none is known.
        full_only: Whether only the whole setting has the number: quick attempts neither find nor show it.

    Raises:
        ValueError: There are no words, or no number or every number would hold.
    """

    words: str
    low: float = -math.inf
    high: float = math.inf
    if_not: str = ""
    full_only: bool = False

    def __post_init__(self) -> None:
        _check_texts(words=self.words)
        for end in ("low", "high"):
            object.__setattr__(self, end, _as_number(getattr(self, end), f"{end} of '{self.words}'"))
        if not self.low <= self.high or self.low == math.inf or self.high == -math.inf:
            raise ValueError(f"no number holds for '{self.words}' from low={self.low} to high={self.high}")
        if math.isinf(self.low) and math.isinf(self.high):
            raise ValueError(f"any number holds for '{self.words}'; give low, high or both")

    @classmethod
    def about(cls, words: str, value: float, within: float, if_not: str = "") -> Expected:
        """Expect a value, up to a difference.

        Args:
            words: What the number is.
            value: The expected value.
            within: The largest difference from it that holds.
            if_not: See above.
        """
        return cls(words, value - within, value + within, if_not)

    def holds(self, found: float) -> bool:
        """Return whether a value is finite and lies in the range, whose ends belong to it up to rounding."""
        at_an_end = any(math.isclose(found, end, rel_tol=1e-12) for end in (self.low, self.high))
        return math.isfinite(found) and (self.low <= found <= self.high or at_an_end)

    @property
    def range(self) -> str:
        """The range in words, such as "0.9 to 1.1", "at least 2" or "1.0089 ± 0.00005"."""
        if self._decimals is not None:
            return f"{(self.low + self.high) / 2:.{self._decimals}f} ± {number((self.high - self.low) / 2)}"
        if math.isinf(self.low):
            return f"at most {number(self.high)}"
        return (
            f"at least {number(self.low)}"
            if math.isinf(self.high)
            else f"{number(self.low)} to {number(self.high)}"
        )

    def shown(self, found: float) -> str:
        """Return a value with as many digits as the range needs."""
        if self._decimals is not None and math.isfinite(found):
            return f"{found:.{self._decimals}f}"
        return number(found) if math.isfinite(found) else str(found)

    @property
    def _decimals(self) -> int | None:
        """The decimals of a range that is narrow beside its values; None: it is not."""
        width, size = self.high - self.low, max(abs(self.low), abs(self.high))
        if not 0 < width < 0.02 * size < math.inf:
            return None
        return max(0, -math.floor(math.log10(width)))


@dataclass(frozen=True)
class Found:
    """Hold what one run of a reproduction found.

    Attributes:
        values: The value of each expected number, by its name.
        figure: The figure that shows it; None: there is none.
        notes: Further sentences about this run, such as what was cut short.

    Raises:
        ValueError: A value is no number, or figure or notes are something else.
    """

    values: Mapping[str, float]
    figure: Figure | None = None
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.values, Mapping):
            raise ValueError(
                f"values must be a mapping of names to numbers, got a {type(self.values).__name__}"
            )
        numbers = {name: _as_number(value, f"values['{name}']") for name, value in self.values.items()}
        object.__setattr__(self, "values", numbers)
        if self.figure is not None and not hasattr(self.figure, "savefig"):
            raise ValueError(f"figure must be a matplotlib Figure, got a {type(self.figure).__name__}")
        if isinstance(self.notes, str) or not all(isinstance(note, str) for note in self.notes):
            raise ValueError(f"notes must be a list of sentences, got {self.notes!r}")


@dataclass(frozen=True)
class Reproduction:
    """Describe a published result and how to reproduce it.

    Attributes:
        claim: What the source claims, in its words where it states it loosely.
        source: The source, such as "Shallue et al. 2019, arXiv 1811.03600, figure 1".
        setting: What is trained here instead, in a sentence or two.
        expected: The numbers that the claim predicts, by name.
        find: A function that trains and returns what it found. Its argument has ``full``, ``choose()``,
            ``compare()`` and ``study()``; see :class:`optcompare.Attempt`.
        quick: How ``--quick`` differs from the whole setting, in a few words.

    Raises:
        ValueError: Claim, source or setting are missing, it expects nothing, or ``find`` cannot be called.
    """

    claim: str
    source: str
    setting: str
    expected: Mapping[str, Expected]
    find: Callable[[Any], Found]
    quick: str = ""

    def __post_init__(self) -> None:
        _check_texts(claim=self.claim, source=self.source, setting=self.setting)
        known = isinstance(self.expected, Mapping) and all(
            isinstance(each, Expected) for each in self.expected.values()
        )
        if not known or not self.expected:
            raise ValueError("expected must be a mapping of names to Expected, with one at least")
        if not callable(self.find):
            raise ValueError(f"find must be a function, got a {type(self.find).__name__}")

    def expected_at(self, full: bool) -> dict[str, Expected]:
        """Return the numbers that an attempt of one size must find.

        Args:
            full: Whether the whole setting is trained, rather than the quick one.
        """
        return {key: each for key, each in self.expected.items() if full or not each.full_only}


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name} must be a text that is not empty, got {text!r}")


def _as_number(value: Any, what: str) -> float:
    """Return a number of any kind, such as one of NumPy or a tensor of one element, as a float."""
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several elements
        pass
    raise ValueError(f"{what} must be a number, got {value!r}")
