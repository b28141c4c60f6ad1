"""Properties of model and data that the certificate reports, found before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .training_checks import DropoutMasks, OtherRandomNumbers, RandomNumbers, RunningAverages


@dataclass(frozen=True)
class Traits:
    """Describe the running averages and random numbers of the trials of a comparison.

    Attributes:
        norm: The kind of module that keeps running averages, such as ``BatchNorm1d``; empty for none.
        kept: The share of the running averages that an update keeps, in the slowest such module.
        sample: The rows from which they can be recalibrated, in words.
        drawing: Labels of the arms whose first updates drew random numbers.
        dataset: Whether samples are read from a ``Dataset``, which may draw random numbers for each.
        masked: The kinds of layers whose masks are drawn from a counter; empty for none.
    """

    norm: str = ""
    kept: float = 0.0
    sample: str = ""
    drawing: Sequence[str] = ()
    dataset: bool = False
    masked: Sequence[str] = ()

    def remaining(self, updates: int) -> float:
        """Return the share of the initial running averages that is left after some number of updates."""
        return self.kept**updates if self.norm else 0.0

    def averages(self, recalibrated: bool, fewest: Mapping[str, int]) -> list[RunningAverages]:
        """Check that losses are measured with running averages of the trained model.

        Args:
            recalibrated: Whether they are computed again before each measurement.
            fewest: The fewest updates of a finished trial, by the label of its arm.

        Returns:
            One check; none if the model keeps no running averages.
        """
        if not self.norm:
            return []
        if recalibrated:
            return [RunningAverages(self.sample, None, 0.0, False)]
        arm = min(fewest, key=lambda label: fewest[label]) if fewest and self.kept else None
        left = 0.0 if arm is None else self.remaining(fewest[arm])
        return [RunningAverages(None, arm, left, bool(fewest) and self.kept == 0)]

    def random_numbers(self) -> list[RandomNumbers]:
        """Return a check of the random numbers that arms share; none if none are drawn."""
        drawn = self.dataset or bool(self.drawing)
        kind = OtherRandomNumbers if self.masked else RandomNumbers
        return [kind(self.dataset, list(self.drawing))] if drawn else []

    def masks(self) -> list[DropoutMasks]:
        """Return a check of the masks that are drawn from a counter; none if there are none."""
        return [DropoutMasks(list(self.masked))] if self.masked else []
