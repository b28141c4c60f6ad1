"""What was found of model and data before training, as far as the certificate says something of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.formatting import percent

MOST_REMAINING = 0.05
"""The share of the initial running averages that may be left at a trial's end, where they are not
recalibrated.
"""


@dataclass(frozen=True)
class Traits:
    """Running averages and random numbers of a comparison's trials.

    Args:
        norm: The kind of module that keeps running averages, such as ``BatchNorm1d``; empty where none does.
        kept: The share of its running averages that an update keeps, of the slowest such module.
        sample: In words, the rows from which they can be recalibrated.
        drawing: Labels of the arms whose first updates drew random numbers.
        dataset: Whether samples are read from a ``Dataset``, which may draw random numbers for each.
    """

    norm: str = ""
    kept: float = 0.0
    sample: str = ""
    drawing: Sequence[str] = ()
    dataset: bool = False

    def remaining(self, updates: int) -> float:
        """The share of the initial running averages that is left after so many updates."""
        return self.kept**updates if self.norm else 0.0

    def averages(self, recalibrated: bool, fewest: Mapping[str, int]) -> tuple[bool, str]:
        """Whether losses are measured with running averages of the trained model, and the evidence in words.

        Args:
            recalibrated: Whether they are computed anew before each measurement.
            fewest: The fewest updates of a finished trial, by the arm's label.
        """
        if recalibrated:
            return True, (
                f"recalibrated before each measurement, for all arms, from {self.sample}; the raw_ columns "
                "hold what the "
                "averages of the training give"
            )
        if not fewest:
            return True, "not recalibrated"
        if self.kept == 0:
            return True, "not recalibrated; after the first update nothing is left of their initial values"
        arm = min(fewest, key=lambda label: fewest[label])
        left = self.remaining(fewest[arm])
        share = f"of their initial values {percent(left)} is left at the end of {arm}"
        if left <= MOST_REMAINING:
            return True, f"not recalibrated; {share}, the arm of the fewest updates"
        return False, f"not recalibrated, and {share}, whose losses are measured with that"

    def random_numbers(self) -> str:
        """Which random numbers arms have in common; empty where none were drawn."""
        parts = []
        if self.dataset:
            parts.append(
                "what a sample of the Dataset draws follows from seed, epoch and sample, alike for all arms"
            )
        if self.drawing:
            parts.append(
                f"updates of {', '.join(self.drawing)} draw random numbers, such as dropout masks, from one "
                "generator a trial, "
                "seeded alike for all arms of a seed: arms with the same batches draw the same, arms with "
                "other batch sizes "
                "draw others"
            )
        return "; ".join(parts)
