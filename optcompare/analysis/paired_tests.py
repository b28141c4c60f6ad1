"""What is tested of each arm against the baseline."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.goal import Goal


@dataclass(frozen=True)
class PairedTests:
    """The tests that compare each arm with the baseline.

    Attributes:
        baseline: The label of the arm to compare with.
        column: What is compared at the end: a column of the records.
        goal: What is to be reached; None: no goal is tested.
        control: The label of the baseline's copy in other rounding, which has no row; None: there is none.
        margin: Differences within ±margin count as equal; None: equality is not tested.
        final: Whether final values are tested; else the goal alone.
        dtype: In which trials were computed.
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
        """What each test is called in the family of a look, by the prefix of its columns in the table."""
        found = {"goal_": f"samples to {self.goal}"} if self.goal else {}
        found |= {"": f"final {self.column}"} if self.final else {}
        equal = self.final and self.margin is not None
        return found | ({"equal_": f"final {self.column} within {self.margin:g}"} if equal else {})
