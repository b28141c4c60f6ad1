"""The rows of each set that are measured between the first and the last evaluation point of a trial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.comparison import Comparison
from ...core.goal import ROWS, Goal
from ...core.rng import EVALUATION_ROWS, seed_sequence
from ...errors import WorkloadError
from ...interfaces.data import rows
from ...interfaces.metric_value import MetricValue
from ...interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Source
    from .counters import Progress
    from .goal_watch import GoalWatch

TEST_SET = "test"
PARTS = 16
"""The parts of a sample from whose values the standard error of a metric is estimated."""
NEAR_ERRORS = 3.0
"""The standard errors within which a sample cannot decide whether a goal is reached."""


@dataclass(frozen=True)
class EvaluationRows:
    """Hold the rows that evaluation points measure: the same for all arms and seeds.

    The first record of a trial, and the last of one that finished or diverged, are over all rows, whatever
    the sample (but in the short trials of a dry run). So is the set of the goal at each evaluation point
    where the sample cannot exclude that the goal is reached.

    Attributes:
        sizes: The number of rows of each set, by its name.
        sampled: The sampled rows, int64[K] in random order, of each set of which not all rows are measured.
        goal: The goal that trials reach by values over all rows; None: there is none.
    """

    sizes: Mapping[str, int]
    sampled: Mapping[str, Tensor]
    goal: Goal | None = None

    @classmethod
    def of(cls, comparison: Comparison, sources: Mapping[str, Source], split: int) -> EvaluationRows:
        """Draw the rows for a comparison, by a random stream that nothing else uses.

        Args:
            comparison: The comparison; its ``measure_rows`` is the size of the sample.
            sources: The sets that are measured at evaluation points, by their names.
            split: The number of the split of the data.
        """
        sizes = {name: source.n for name, source in sources.items()}
        most = comparison.measure_rows
        sampled = {
            name: _drawn(size, most, split, number)
            for number, (name, size) in enumerate(sizes.items())
            if most is not None and size > most
        }
        goal = None if comparison.goal is None else Goal.parse(comparison.goal, comparison.errors)
        return cls(sizes, sampled, goal if goal is not None and goal.data in sampled else None)

    def chunk(self, name: str, most: int) -> int:
        """Return the rows in one forward pass over the sample of a set.

        Args:
            name: The set.
            most: The rows in one forward pass of evaluation at most. The sample of the goal's set is divided
                into at least :data:`PARTS` passes.
        """
        if self.goal is None or name != self.goal.data:
            return most
        return min(most, math.ceil(len(self.sampled[name]) / PARTS))

    def counts(self, whole: Iterable[str] | None = None) -> dict[str, int]:
        """Return the columns of a record that say how many rows were measured.

        Args:
            whole: The sets of which all rows were measured, which have the only columns returned; None: all
                sets, on the sample.
        """
        if whole is not None:
            return {rows_column(name): self.sizes[name] for name in whole}
        return {
            rows_column(name): len(self.sampled[name]) if name in self.sampled else size
            for name, size in self.sizes.items()
        }

    def not_whole(self, values: Mapping[str, float]) -> list[str]:
        """Return the sets of which a record holds values over a sample.

        Args:
            values: The columns of the record.
        """
        return [name for name, size in self.sizes.items() if values[rows_column(name)] < size]

    def part_values(self, progress: Progress) -> PartValues | None:
        """Return an empty collection for the goal's metric; None where no goal is left to be reached."""
        if self.goal is None or progress.goal_reached:
            return None
        return PartValues(self.goal.metric, self.sizes[self.goal.data])

    def needing_all(
        self,
        values: Mapping[str, float],
        parts: PartValues | None,
        progress: Progress,
        watch: GoalWatch | None,
    ) -> list[str]:
        """Return the sets of which all rows must be measured, since the sample cannot decide.

        These are the set of the goal, where it may be reached, and sets whose loss on the sample is not
        finite: the sample may have no labelled row, and a trial diverges by the loss over all rows.

        Args:
            values: The columns of the record, over the sample.
            parts: The values of the goal's metric; None: no goal is left to be reached.
            progress: The counters of the trial.
            watch: Follows a smoothed goal, near which all rows are measured; None: the goal is not smoothed.
        """
        names = [name for name in self.sampled if not math.isfinite(values[f"{name}_loss"])]
        if parts is not None and self._may_be_reached(values, parts, progress, watch):
            names.append(parts.data)
        return list(dict.fromkeys(names))

    def _may_be_reached(
        self,
        values: Mapping[str, float],
        parts: PartValues,
        progress: Progress,
        watch: GoalWatch | None,
    ) -> bool:
        """Return whether only all rows can show if the goal is reached."""
        if self.goal is None:
            return False
        if watch is not None and (watch.near(progress) or watch.to_be_probed(progress)):
            return True
        value = values[self.goal.metric]
        short = value - self.goal.value if self.goal.falls else self.goal.value - value
        return not short > NEAR_ERRORS * parts.standard_error()

    def note_goal(self, progress: Progress, values: Mapping[str, float], watch: GoalWatch | None) -> None:
        """Note that a goal is reached, after which the sample is enough; one that is smoothed needs more.

        Args:
            progress: The counters of the trial.
            values: The columns of the record; those over a sample decide nothing.
            watch: Follows a smoothed goal; None: the goal is not smoothed.
        """
        if self.goal is not None and watch is None and self.goal.data not in self.not_whole(values):
            progress.goal_reached = self.goal.is_reached_by(values[self.goal.metric])


def rows_column(name: str) -> str:
    """Return the column of the number of rows that were measured of a set, as in ``valid_rows``."""
    return f"{name}{ROWS}"


def all_rows(workload: Workload) -> dict[str, int]:
    """Return the columns of a record over all rows of a workload, which earlier versions did not write."""
    return {rows_column(name): rows(data) for name, data in workload.sets.items() if name != TEST_SET}


def _drawn(size: int, count: int, split: int, number: int) -> Tensor:
    """Draw rows without replacement, int64[count] in random order, so that parts are samples too."""
    generator = np.random.Generator(np.random.PCG64(seed_sequence(EVALUATION_ROWS, split, number)))
    return torch.from_numpy(generator.choice(size, count, replace=False))


class PartValues:
    """Collect the values of one metric over parts of a sample, for the standard error of its mean.

    Args:
        metric: The column of the metric, as in ``valid_loss``.
        size: The rows from which the sample was drawn.
    """

    def __init__(self, metric: str, size: int) -> None:
        self.metric = metric
        self.data, _, self.name = metric.partition("_")
        self._size = size
        self._count, self._values, self._weights = 0, list[float](), list[float]()

    def add(self, value: float, weight: float, rows: int) -> None:
        """Add a part.

        Args:
            value: The metric over the part.
            weight: The weight of the part.
            rows: Its rows.
        """
        if weight > 0:
            self._values.append(value)
            self._weights.append(weight)
        self._count += rows

    def add_batch(
        self, workload: Workload, loss: Tensor, weight: float, output: Any, y: Any, rows: int
    ) -> None:
        """Add a part by the results of a forward pass; a metric that fails on it counts as NaN."""
        if self.name == "loss":
            self.add(float(loss), weight, rows)
            return
        metric = MetricValue(self.name, workload.metric_functions[self.name])
        try:
            metric.add(output, y)
            value = metric.value()
        except WorkloadError:  # It may need all rows, for instance some of each class.
            value = math.nan
        self.add(value, weight, rows)

    def standard_error(self) -> float:
        """Estimate the standard error of the weighted mean of the parts; NaN with fewer than two parts.

        It is that of a ratio of two sums over G parts of equal size, drawn without replacement (Cochran 1977,
        Sampling Techniques, equation 6.13): the square root of (1 - K/N)·G/(G - 1)·Σ w²(m - M)² over Σ w.
        """
        parts = len(self._values)
        if parts < 2:
            return math.nan
        values, weights = np.array(self._values), np.array(self._weights)
        mean = (weights @ values) / weights.sum()
        squares = float(np.square(weights * (values - mean)).sum()) * parts / (parts - 1)
        return math.sqrt(squares * (1 - self._count / self._size)) / float(weights.sum())
