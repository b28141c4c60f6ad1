"""The data that a check of the fairness certificate carries, from which its sentence is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

_SHOWN = 5
"""So many seeds are named in a sentence."""


@dataclass(frozen=True)
class CheckData:
    """Data of one kind of check, all of plain values, as ``comparison.json`` keeps them.

    Attributes:
        name: The name of the check, which is that of its kind.
    """

    name: ClassVar[str]

    @property
    def held(self) -> bool:
        """Whether the rule was kept."""
        return True

    def sentence(self) -> str:
        """Return the evidence in words."""
        raise NotImplementedError

    def same(self, other: CheckData | None) -> bool:
        """Compare with what was found again, lists in any order: trials end in any."""
        return type(self) is type(other) and _unordered(self) == _unordered(other)


@dataclass(frozen=True)
class BySeed(CheckData):
    """A check that names the seeds of which it did not hold.

    Attributes:
        differ: These seeds.
    """

    differ: list[int]

    @property
    def held(self) -> bool:
        """Whether it held for every seed."""
        return not self.differ

    def sentence(self) -> str:
        """Return the evidence, or the first seeds of which there is none."""
        if self.differ:
            return f"differs for seed {', '.join(map(str, self.differ[:_SHOWN]))}"
        return self.evidence()

    def evidence(self) -> str:
        """Return the evidence where the check held."""
        raise NotImplementedError


def _unordered(data: CheckData | None) -> dict[str, Any]:
    fields = {} if data is None else vars(data)
    return {
        name: sorted(map(repr, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
        for name, value in fields.items()
    }
