"""Estimate when each task of a run ends, for any number of jobs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from ..core.comparison import Trial
from ..core.cores import usable_cores
from ..training.lanes.group_time import GroupTime
from .scheduler import shares
from .task_times import TaskTimes

_WORKER_OPERATIONS, _LANES_OPERATIONS = 700_000, 500_000
"""Starting a worker process with its imports, and what its first lanes add, as small operations."""


class Timeline:
    """Assign tasks to jobs in their order, each to the job that is free first.

    Args:
        times: The time of each task alone.
        jobs: The number of tasks at once; 1: all in this process.
        shared: Whether this process is one of them, and trains from the beginning; groups stay whole then.
        threads: The threads of one task.
        operation: The seconds of one small tensor operation.
        cores: The number of cores; None: as many as this process may use.

    Attributes:
        end: The seconds until all tasks have ended.
        times: The trials of each task and its time.
    """

    def __init__(
        self,
        times: TaskTimes,
        jobs: int,
        threads: int,
        operation: float,
        cores: int | None = None,
        shared: bool = False,
    ) -> None:
        self._times_alone, self._jobs, self._shared = times, jobs, shared
        self._ready = 0.0
        self._cores = max(1.0, (cores or usable_cores()) / threads)
        self._operation = operation
        self.end = 0.0
        self.times: list[tuple[Sequence[Trial], GroupTime]] = []

    def add_round(self, groups: Sequence[Sequence[Trial]], alone: Sequence[Trial]) -> None:
        """Add tasks that start after all earlier ones have ended.

        Args:
            groups: The groups of lanes.
            alone: The trials in the loop.
        """
        if self._jobs > 1 and not self.times and (groups or alone):
            operations = _WORKER_OPERATIONS + _LANES_OPERATIONS * bool(groups)
            self._ready = operations * self._operation * max(1.0, self._jobs / self._cores)
            self.end = 0.0 if self._shared else self._ready
        if self._jobs > 1 and not self._shared:
            groups = [part for group in groups for part in shares(list(group), self._jobs)]
        number = max(1, min(self._jobs, len(groups) + len(alone)))
        crowded = max(1.0, number / self._cores)
        compilers = self._times_alone.compilers(groups)
        slower = max(1.0, (compilers + number) / self._cores)
        begin, tasks, ends = self.end, self._times_alone, [self.end]
        free = [begin, *[max(begin, self._ready) if self._shared else begin] * (number - 1)]
        for group in groups:
            start = heapq.heappop(free)
            # In this process all compilers have started before the first group trains.
            elapsed = start - begin if self._jobs == 1 else 0.0
            time = tasks.of_group(group, elapsed, slower)
            ends.append(self._add(group, GroupTime(time.seconds * crowded, time.turn), start))
            heapq.heappush(free, ends[-1])
        for trial in alone:
            start = heapq.heappop(free)
            ends.append(self._add([trial], GroupTime(tasks.of_trial(trial) * crowded), start))
            heapq.heappush(free, ends[-1])
        self.end = max(ends)

    def _add(self, trials: Sequence[Trial], time: GroupTime, start: float) -> float:
        self.times.append((trials, time))
        return start + time.seconds
