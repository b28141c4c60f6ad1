"""Check the parts that all arms of a seed share: weights, order of samples, splits, first losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .check_data import BySeed, CheckData
from .phrases import count


@dataclass(frozen=True)
class PlainLoopAgreement(CheckData):
    """Hold the number of first updates that equal those of a plain loop.

    Attributes:
        updates: The number of updates that were compared, by the label of the arm.
        remarks: Sentences about what the comparison leaves open.
    """

    name = "trained as a plain loop would"
    updates: dict[str, int]
    remarks: list[str]

    def sentence(self) -> str:
        """Name the arms by how many of their updates were compared."""
        arms: dict[int, list[str]] = {}
        for arm, number in self.updates.items():
            arms.setdefault(number, []).append(arm)
        parts = [f"{count(number, 'update')} of {', '.join(labels)}" for number, labels in arms.items()]
        return "; ".join([", ".join(parts), *self.remarks])


@dataclass(frozen=True)
class InitialWeights(BySeed):
    """Hold the check of initial weights; ``arms`` and ``seeds`` are counts."""

    name = "identical initial weights"
    arms: int
    seeds: int

    def evidence(self) -> str:
        """Return the number of arms and seeds that were compared, in words."""
        arms = f"all {self.arms} arms start" if self.arms > 1 else "1 arm starts"
        each = "each of " if self.seeds > 1 else ""
        return f"{arms} identically in {each}{count(self.seeds, 'seed')} (SHA-256 match)"


@dataclass(frozen=True)
class SampleOrder(BySeed):
    """Hold the check of the order of samples.

    Attributes:
        epochs: The number of orders that were compared, over all seeds.
        seeds: The number of seeds.
        shuffled: Whether the order is the default; if not, the caller passed a function.
        rearranged: Labels of the arms that rearrange the shared order.
    """

    name = "identical sample order"
    epochs: int
    seeds: int
    shuffled: bool
    rearranged: list[str]

    def evidence(self) -> str:
        """Describe the epochs that were compared, and the arms that rearranged them."""
        many = f"{count(self.epochs, 'epoch')} of {count(self.seeds, 'seed')}"
        own = "" if self.shuffled else ", in the order that the caller gave"
        moved = f"; offered to all, and rearranged by {', '.join(self.rearranged)}" if self.rearranged else ""
        return f"the same for all arms in {many} (SHA-256 match){own}{moved}"


@dataclass(frozen=True)
class DataSplit(BySeed):
    """Hold the check of the splits into training and validation data; ``splits`` is their number."""

    name = "identical split of the data"
    splits: int

    def evidence(self) -> str:
        """Return the number of splits that the seeds share."""
        return f"one of {count(self.splits, 'split')} of the data a seed, in turn, over all arms"


@dataclass(frozen=True)
class FirstMeasurement(BySeed):
    """Hold the check of the losses before the first update."""

    name = "identical first measurement"

    def evidence(self) -> str:
        """Describe the losses that were compared."""
        return "the loss before training, to the last bit"


@dataclass(frozen=True)
class Coverage(BySeed):
    """Hold the check that the batches of an epoch contain every sample once.

    Attributes:
        epochs: The number of epochs that were checked.
        free: Labels of the strategies that may repeat and omit samples.
        failed: The number of trials that failed; they are not counted.
    """

    name = "every sample once an epoch"
    epochs: int
    free: list[str]
    failed: int

    def evidence(self) -> str:
        """Return the number of epochs that were checked, and the exceptions."""
        checked = f"the batches of {count(self.epochs, 'epoch')} were checked"
        checked += f"; but for {', '.join(self.free)}, which may repeat and leave out" if self.free else ""
        verb = "is" if self.failed == 1 else "are"
        return checked + (
            f"; {count(self.failed, 'trial')} failed and {verb} not counted" if self.failed else ""
        )


@dataclass(frozen=True)
class EqualMeasurements(BySeed):
    """Hold the check of the rows that records are over, where not all records are over all rows.

    Attributes:
        sampled: The rows that records between the first and the last are over, by set.
        sizes: All rows of each set.
    """

    name = "equal measurements"
    sampled: dict[str, int]
    sizes: dict[str, int]

    def evidence(self) -> str:
        """Return the rows of the sample, in words."""
        sample = sample_words(self.sampled, self.sizes)
        return f"all arms {sample}, the same for each; first and last values on all rows"


def sample_words(sampled: Mapping[str, int], sizes: Mapping[str, int]) -> str:
    """Name the rows of a sample, as in "on a sample of 1,024 of 5,000 training rows".

    Args:
        sampled: The rows of the sample, by set: train, valid.
        sizes: All rows of each set.
    """
    names = {"train": "training", "valid": "validation"}
    parts = [
        f"{sampled[name]:,} of {size:,} {names.get(name, name)}"
        for name, size in sizes.items()
        if sampled[name] < size
    ]
    return f"on a sample of {' and '.join(parts)} rows"
