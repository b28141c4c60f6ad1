"""The data of a check of the fairness certificate, from which its sentence is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

_SHOWN = 5
"""The number of seeds that a sentence names at most."""


@dataclass(frozen=True)
class CheckData:
    """Hold the data of one kind of check, as plain values that ``comparison.json`` stores.

    Attributes:
        name: The name of this kind of check.
    """

    name: ClassVar[str]

    @property
    def held(self) -> bool:
        """Return whether the rule was kept."""
        return True

    def sentence(self) -> str:
        """Return the evidence in words."""
        raise NotImplementedError

    def same(self, other: CheckData | None) -> bool:
        """Return whether other data are the same; the order of lists may differ, as that of trials."""
        return type(self) is type(other) and _unordered(self) == _unordered(other)


@dataclass(frozen=True)
class BySeed(CheckData):
    """Hold the data of a check that names the seeds for which it failed.

    Attributes:
        differ: The seeds for which it failed.
    """

    differ: list[int]

    @property
    def held(self) -> bool:
        """Return whether the rule was kept for every seed."""
        return not self.differ

    def sentence(self) -> str:
        """Return the evidence, or the first seeds for which the check failed."""
        if self.differ:
            return f"differs for seed {', '.join(map(str, self.differ[:_SHOWN]))}"
        return self.evidence()

    def evidence(self) -> str:
        """Return the evidence of a check that held."""
        raise NotImplementedError


def _unordered(data: CheckData | None) -> dict[str, Any]:
    fields = {} if data is None else vars(data)
    return {
        name: sorted(map(repr, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
        for name, value in fields.items()
    }
