"""Find the update at which the smoothed loss of a trial reaches the goal that the trial stops at."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.comparison import Comparison
from ...core.goal import GOAL_ROWS, Goal
from ...interfaces.workload import Workload
from .evaluation import last_evaluation, next_evaluation
from .evaluation_rows import EvaluationRows

if TYPE_CHECKING:
    from ..data import Source
    from .counters import Progress

_MOST_BETWEEN, _FINEST = 256, 2048
"""The most measurements near the goal between two evaluation points, and their least distance: the samples at
the last evaluation point divided by ``_FINEST``. Closer ones would not improve the result.
"""
_FEWEST, _RECENT = 3, 8


@dataclass(frozen=True)
class GoalWatch:
    """Follow the distance of a trial to its goal, and find when the smoothed distance is zero.

    The loss at an update t, counted in samples, is averaged over the window from (1 - w)·t to (1 + w)·t, by
    the trapezoidal rule over all measurements in it. The goal is reached at the first measured update whose
    average is at or below it. A trial therefore continues for w·t samples after this update.

    Every update is measured while the trial is near its goal: from where the straight line through the last
    eight evaluation points meets the goal within two evaluation points, plus or minus their scatter around
    the line, and for w/4 of the samples after that, since the average of a convex falling loss reaches a goal
    later than the loss itself. These measurements use the same fixed sample of rows for all trials. At the
    next evaluation point they are shifted by the difference between that sample and all rows.

    Everything that changes is kept in :class:`.Progress`, so that a task may end at any update.

    Attributes:
        goal: The goal.
        window: w, between 0 and 1, both excluded.
        n: The number of training samples.
        measure: Evaluation points per epoch.
        rows: The fixed sample of rows that are measured near the goal; None: all rows.
    """

    goal: Goal
    window: float
    n: int
    measure: int
    rows: EvaluationRows | None = None

    @classmethod
    def of(
        cls, comparison: Comparison, workload: Workload, sources: Mapping[str, Source]
    ) -> GoalWatch | None:
        """Make the watch of a comparison whose trials stop at a smoothed goal; None for any other one.

        All rows are measured if there are few, or if the loss of all rows is not the mean over their parts.

        Args:
            comparison: The comparison.
            workload: The workload of the comparison.
            sources: The data, by the names of the sets.
        """
        if not comparison.stop_at_goal or comparison.goal is None or comparison.goal_window == 0:
            return None
        goal = Goal.parse(comparison.goal, comparison.errors)
        watch = cls(goal, comparison.goal_window, sources["train"].n, comparison.measure)
        rows = sources[goal.data].n if goal.data in sources else 0
        if rows <= GOAL_ROWS or not workload.in_parts:
            return watch
        chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(0))[:GOAL_ROWS].sort().values
        return dataclasses.replace(watch, rows=EvaluationRows({goal.data: rows}, {goal.data: chosen}))

    @staticmethod
    def near(progress: Progress) -> bool:
        """Return whether the trial is near its goal, so that every update is measured."""
        return progress.samples < progress.goal_near_until

    def to_be_probed(self, progress: Progress) -> bool:
        """Return whether the sample is measured together with all rows, to shift earlier values."""
        points = progress.goal_points
        return self.rows is not None and len(points) > 0 and not points[-1][3]

    def next_stop(self, progress: Progress, evaluation: int | None) -> int | None:
        """Return the samples of the next measurement: the evaluation point, or less near the goal.

        Args:
            progress: The counters of the trial.
            evaluation: The next evaluation point; None: there is none.
        """
        if evaluation is None or not self.near(progress):
            return evaluation
        begun = last_evaluation(progress.samples, self.n, self.measure)
        spacing = max(1, self.n // self.measure // _MOST_BETWEEN, begun // _FINEST)
        return min(
            evaluation, begun + ((progress.samples - begun) // spacing + 1) * spacing
        )  # independent of where a task ended

    def probed(self, progress: Progress, value: float) -> None:
        """Add the value of the sample at an update near the goal."""
        progress.goal_points.append([progress.samples, progress.updates, self._distance(value), 0])

    def evaluated(self, progress: Progress, values: Mapping[str, float]) -> str:
        """Add the value at an evaluation point: that of all rows, or far from the goal that of the sample.

        Args:
            progress: The counters of the trial; :meth:`probed` comes first if :meth:`to_be_probed` is true.
            values: The measured values, by column.

        Returns:
            The reached goal and its update, in words; empty if the goal is not reached.
        """
        points, new = progress.goal_points, _after_last_exact(progress.goal_points)
        self._correct(points[new:], progress.samples, self._distance(values[self.goal.metric]))
        if not points or points[-1][0] != progress.samples:
            points.append([progress.samples, progress.updates, self._distance(values[self.goal.metric]), 1])
        if progress.goal_dip < 0:
            progress.goal_dip = int(next((point[1] for point in points[new:] if point[2] <= 0), -1))
        if not self._search(progress):
            progress.goal_near_until = max(progress.goal_near_until, self._near_until(progress))
            self._forget(progress)
            return ""
        return f"reached {self.goal} at update {progress.goal_found['goal_updates']}"

    def _distance(self, value: float) -> float:
        """Return the distance of a value to the goal: above 0 until it is reached, infinite if not finite."""
        distance = value - self.goal.value if self.goal.falls else self.goal.value - value
        return distance if math.isfinite(distance) else math.inf

    def _correct(self, probed: Sequence[list[float]], samples: int, distance: float) -> None:
        """Shift the values since the last evaluation point so that the last one equals that of all rows.

        A value that is smaller than the last one is shifted by less, in proportion, so that the shift of a
        loss that explodes does not move earlier values to the goal.
        """
        if not probed or probed[-1][0] != samples:
            return
        shift, size = distance - probed[-1][2], self._size(probed[-1][2])
        for point in probed if math.isfinite(shift) else ():
            point[2] += shift * (min(1.0, self._size(point[2]) / size) if size > 0 else 1.0)
        probed[-1][2:] = [distance, 1]

    def _size(self, distance: float) -> float:
        """Return the absolute value of the metric at a distance to the goal."""
        return abs(self.goal.value + distance if self.goal.falls else self.goal.value - distance)

    def _search(self, progress: Progress) -> bool:
        """Test the updates whose windows were completed since the last evaluation point."""
        points, wide = progress.goal_points, 1 + self.window
        first = bisect_right(points, float(progress.goal_tried[0]), key=_samples)
        last = bisect_right(points, float(progress.samples), key=lambda point: point[0] * wide)
        for at, update, _, _ in points[first:last]:
            if self._average(points, at) <= 0:
                progress.goal_found = {
                    "goal_updates": int(update),
                    "goal_samples": int(at),
                    "goal_before": int(max(progress.goal_tried[1], 0)),
                    "goal_dip": progress.goal_dip if 0 <= progress.goal_dip < update else int(update),
                }
                return True
            progress.goal_tried = [int(at), int(update)]
        return False

    def _average(self, points: Sequence[list[float]], at: float) -> float:
        """Return the average distance over the window of an update; infinite if no value is at the goal."""
        low = max(bisect_left(points, at * (1 - self.window), key=_samples) - 1, 0)
        part = points[low : bisect_right(points, at * (1 + self.window), key=_samples) + 1]
        if min(point[2] for point in part) > 0:
            return math.inf
        return smoothed(
            np.array([point[0] for point in part]), np.array([point[2] for point in part]), at, self.window
        )

    def _near_until(self, progress: Progress) -> int:
        """Return the samples up to which every update is measured; 0 if the goal is not near."""
        exact = _last_exact(progress.goal_points)
        if len(exact) < _FEWEST or self.measure == 0:
            return 0
        recent = [point for point in exact if point[0] >= progress.samples / 2]
        x, y = np.array([point[:3:2] for point in (recent if len(recent) >= _FEWEST else exact[-_FEWEST:])]).T
        slope = float((x - x.mean()) @ (y - y.mean()) / ((x - x.mean()) @ (x - x.mean())))
        level = float(y.mean() - slope * x.mean())
        scatter = math.sqrt(float(((y - level - slope * x) ** 2).sum()) / max(len(x) - 2, 1))
        ahead = (
            next_evaluation(
                next_evaluation(progress.samples, self.n, self.measure) or 0, self.n, self.measure
            )
            or 0
        )
        distances = [level + slope * each for each in (exact[-_FEWEST][0], progress.samples, ahead)]
        near = min(distances) - scatter <= 0 < max(distances) + scatter
        return max(ahead, int((1 + self.window / 4) * progress.samples)) if near else 0

    def _forget(self, progress: Progress) -> None:
        """Drop the points that no later window and no later line needs."""
        points = progress.goal_points
        windows = (
            bisect_left(points, (1 - self.window) / (1 + self.window) * progress.samples, key=_samples) - 1
        )
        exact = _last_exact(points)
        line = bisect_left(points, exact[0][0], key=_samples) if exact else 0
        del points[: max(min(windows, line), 0)]


def smoothed(samples: np.ndarray, values: np.ndarray, at: float, window: float) -> float:
    """Average values over a window, by the trapezoidal rule on the straight lines between them.

    Args:
        samples: float[k], rising, from below the window to above it.
        values: float[k], the values there; infinite where a value was not finite.
        at: The middle of the window, which goes from (1 - window)·at to (1 + window)·at.
        window: The width w of the window.

    Returns:
        The average; not finite if a value in the window, or of a line across its ends, is not finite.
    """
    ends = max(at * (1 - window), samples[0]), at * (1 + window)
    low, high = np.interp(ends, samples, values)
    if ends[1] <= ends[0]:
        return float(low)
    within = (samples > ends[0]) & (samples < ends[1])
    knots = np.array([ends[0], *samples[within], ends[1]])
    return float(np.trapezoid([low, *values[within], high], knots) / (ends[1] - ends[0]))


def _samples(point: Sequence[float]) -> float:
    return point[0]


def _last_exact(points: Sequence[list[float]]) -> list[list[float]]:
    """Return the last few evaluation points with a finite value, in their order."""
    exact = list[list[float]]()
    for point in reversed(points):
        if point[3] and math.isfinite(point[2]):
            exact.insert(0, point)
            if len(exact) == _RECENT:
                break
    return exact


def _after_last_exact(points: Sequence[Sequence[float]]) -> int:
    """Return the index after the last evaluation point."""
    return next((i + 1 for i in range(len(points) - 1, -1, -1) if points[i][3]), 0)
