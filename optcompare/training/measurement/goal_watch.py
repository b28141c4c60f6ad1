"""Finds the update at which the smoothed loss of a trial reaches the goal that the trial stops at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...core.comparison import Comparison
from ...core.goal import GOAL_ROWS, Goal
from ...interfaces.workload import Workload
from .evaluation import next_mark

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Source
    from .counters import Progress

_MOST_BETWEEN, _FINEST = 256, 2048
"""Near the goal at most so many updates are measured between two evaluation points, and none that lies closer to the one
before than this part of the samples so far: there is nothing to gain from knowing it more finely."""
_FEWEST, _RECENT = 3, 8
_LARGEST = 1e30


@dataclass(frozen=True)
class GoalWatch:
    """Follows the distance of a trial to its goal, and says when the smoothed distance is zero.

    The loss at an update t, counted in samples, is averaged over the window from (1 - w)·t to (1 + w)·t, by the
    trapezoidal rule over all measurements in it; the goal is reached at the first measured update whose average is at
    or below it. So a trial has to go on for w·t samples after it. Where the straight line through the last eight
    evaluation points meets the goal within two evaluation points, give or take what they scatter around it, and for
    w/4 of the samples after that (an average over a window reaches a goal later than a falling loss that is convex), every
    update is measured, on the same stated rows for all trials; at the next evaluation point these values are shifted by
    what the rows then differ from all rows.

    All that changes is kept in :class:`.Progress`, so that a trial can be cut anywhere.

    Attributes:
        goal: What is to be reached.
        window: w, from 0 (exclusive) to 1 (exclusive).
        n: Training samples.
        measure: Evaluation points in an epoch.
        rows: int64, the rows that are measured near the goal; None where these are all rows.
    """

    goal: Goal
    window: float
    n: int
    measure: int
    rows: Tensor | None = None

    @classmethod
    def of(cls, comparison: Comparison, workload: Workload, sources: Mapping[str, Source]) -> GoalWatch | None:
        """Make the watch of a comparison whose trials stop at a smoothed goal; None for any other.

        All rows are measured where there are few, or where the loss of all is no mean over those of parts.
        """
        if not comparison.stop_at_goal or comparison.goal is None or comparison.goal_window == 0:
            return None
        goal = Goal.parse(comparison.goal, comparison.errors)
        watch = cls(goal, comparison.goal_window, sources["train"].n, comparison.measure)
        rows = sources[watch.prefix].n if watch.prefix in sources else 0
        if rows <= GOAL_ROWS or not workload.in_parts:
            return watch
        chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(0))[:GOAL_ROWS].sort().values
        return cls(goal, comparison.goal_window, watch.n, comparison.measure, chosen)

    @property
    def prefix(self) -> str:
        """The data on which the goal is measured: ``train`` or ``valid``."""
        return self.goal.metric.partition("_")[0]

    @staticmethod
    def near(progress: Progress) -> bool:
        """Whether the trial is measured at every update."""
        return progress.samples < progress.goal_near_until

    def to_be_probed(self, progress: Progress) -> bool:
        """Whether the stated rows are measured once more, beside all rows, to shift what they gave before."""
        points = progress.goal_points
        return self.rows is not None and len(points) > 0 and not points[-1][3]

    def next_stop(self, progress: Progress, mark: int | None) -> int | None:
        """The samples at which the trial is measured next: the evaluation point ``mark``, or near the goal before it."""
        if mark is None or not self.near(progress):
            return mark
        apart = max(1, self.n // self.measure // _MOST_BETWEEN, progress.samples // _FINEST)
        return min(mark, progress.samples + apart)

    def probed(self, progress: Progress, value: float) -> None:
        """Take in what the stated rows give at an update near the goal."""
        progress.goal_points.append([progress.samples, progress.updates, self._distance(value), 0])

    def evaluated(self, progress: Progress, values: Mapping[str, float]) -> str:
        """Take in what all rows give at an evaluation point.

        Args:
            progress: Of the trial, which was probed just before where that was to be.
            values: What was measured, by column.

        Returns:
            Where the goal has been reached, that and at which update, in words; else an empty text.
        """
        points = progress.goal_points
        self._correct(points, progress.samples, self._distance(values[self.goal.metric]))
        if not points or points[-1][0] != progress.samples:
            points.append([progress.samples, progress.updates, self._distance(values[self.goal.metric]), 1])
        self._note_dip(progress)
        if not self._search(progress):
            progress.goal_near_until = max(progress.goal_near_until, self._near_until(progress))
            self._forget(progress)
            return ""
        return f"reached {self.goal} at update {progress.goal_found['goal_updates']}"

    def _distance(self, value: float) -> float:
        """How far the value is from the goal, above 0 until it is reached; a value that is not finite is very far."""
        distance = value - self.goal.value if self.goal.falls else self.goal.value - value
        return min(distance, _LARGEST) if distance == distance else _LARGEST

    @staticmethod
    def _correct(points: list[list[float]], samples: int, distance: float) -> None:
        """Shift what was probed since the last evaluation point so that it ends in what all rows give."""
        probed = [point for point in points[_after_last_exact(points) :] if not point[3]]
        if not probed or probed[-1][0] != samples:
            return
        shift = distance - probed[-1][2]
        for point in probed:
            point[2] = min(point[2] + shift, _LARGEST)
        probed[-1][2:] = [distance, 1]

    @staticmethod
    def _note_dip(progress: Progress) -> None:
        if progress.goal_dip < 0:
            below = (point[1] for point in progress.goal_points if point[2] <= 0)
            progress.goal_dip = int(next(below, -1))

    def _search(self, progress: Progress) -> bool:
        """Look at the updates whose windows have been completed since the last evaluation point."""
        table = np.array(progress.goal_points, dtype=float)
        samples, updates, distances = table[:, 0], table[:, 1], table[:, 2]
        complete = (samples > progress.goal_tried[0]) & (samples * (1 + self.window) <= progress.samples)
        averages = smoothed(samples, distances, samples[complete], self.window)
        before = progress.goal_tried
        for at, update, average in zip(samples[complete], updates[complete], averages, strict=True):
            if average <= 0:
                progress.goal_found = {
                    "goal_updates": int(update),
                    "goal_samples": int(at),
                    "goal_before": int(max(before[1], 0)),
                    "goal_dip": progress.goal_dip if 0 <= progress.goal_dip < update else int(update),
                }
                return True
            before = [int(at), int(update)]
        progress.goal_tried = before
        return False

    def _near_until(self, progress: Progress) -> int:
        """The samples up to which every update is measured, if the line meets the goal about here; else 0."""
        exact = np.array([point for point in progress.goal_points if point[3]], dtype=float)
        if len(exact) < _FEWEST or self.measure == 0:
            return 0
        recent = exact[exact[:, 0] >= progress.samples / 2][-_RECENT:]
        recent = recent if len(recent) >= _FEWEST else exact[-_FEWEST:]
        line = np.polynomial.Polynomial.fit(recent[:, 0], recent[:, 2], 1)
        scatter = float((recent[:, 2] - line(recent[:, 0])).std(ddof=2))
        ahead = next_mark(next_mark(progress.samples, self.n, self.measure) or 0, self.n, self.measure) or 0
        distances = line(np.array([exact[-_FEWEST, 0], progress.samples, ahead]))
        near = distances.min() - scatter <= 0 < distances.max() + scatter
        return max(ahead, int((1 + self.window / 4) * progress.samples)) if near else 0

    def _forget(self, progress: Progress) -> None:
        """Drop the points that no window to come will hold."""
        points = progress.goal_points
        first = (1 - self.window) / (1 + self.window) * progress.samples
        exact = [place for place, point in enumerate(points) if point[3]]
        del points[: max(min(sum(point[0] < first for point in points) - 1, *exact[-_RECENT:]), 0)]


def smoothed(samples: np.ndarray, values: np.ndarray, at: np.ndarray, window: float) -> np.ndarray:
    """Average values over windows, by the trapezoidal rule on the straight lines between them.

    Args:
        samples: float[k], rising.
        values: float[k], measured there.
        at: float[m], in whose windows, from (1 - window)·at to (1 + window)·at, is averaged; all lie within ``samples``.
        window: w.

    Returns:
        float[m]; where a window holds no other measurement than that at its middle, that one itself.
    """
    low, high = np.maximum(at * (1 - window), samples[0]), at * (1 + window)
    steps = np.diff(samples) * (values[1:] + values[:-1]) / 2
    sums = np.concatenate([[0.0], np.cumsum(steps)])

    def up_to(x: np.ndarray) -> np.ndarray:
        place = np.clip(np.searchsorted(samples, x, "right") - 1, 0, len(samples) - 1)
        part = (x - samples[place]) * (values[place] + np.interp(x, samples, values)) / 2
        return np.asarray(sums[place] + part)

    alone = np.searchsorted(samples, high, "right") - np.searchsorted(samples, low, "left") <= 1
    with np.errstate(invalid="ignore", divide="ignore"):
        averages = (up_to(high) - up_to(low)) / (high - low)
    return np.asarray(np.where(alone, np.interp(at, samples, values), averages))


def _after_last_exact(points: Sequence[Sequence[float]]) -> int:
    """The place after the last point that all rows gave."""
    return next((i + 1 for i in range(len(points) - 1, -1, -1) if points[i][3]), 0)
