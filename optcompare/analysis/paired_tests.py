"""The tests of each arm against the baseline."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.goal import Goal


@dataclass(frozen=True)
class PairedTests:
    """The tests that compare each arm with the baseline.

    Attributes:
        baseline: The label of the arm to compare with.
        column: The column of the records with the final values to compare.
        goal: The goal to test; None: no goal is tested.
        control: The label of the baseline's copy with other rounding, which gets no row; None: there is none.
        margin: Differences within ±margin count as equal; None: equality is not tested.
        final: Whether final values are tested; if not, only the goal is.
        dtype: The floating-point type of the trials.
    """

    baseline: str
    column: str
    goal: Goal | None = None
    control: str | None = None
    margin: float | None = None
    final: bool = True
    dtype: str = "float64"

    @property
    def measures(self) -> dict[str, str]:
        """Return the name of each test in the family of a look, by the prefix of its columns in the table."""
        found = {"goal_": f"samples to {self.goal}"} if self.goal else {}
        found |= {"": f"final {self.column}"} if self.final else {}
        equal = self.final and self.margin is not None
        return found | ({"equal_": f"final {self.column} within {self.margin:g}"} if equal else {})
