"""Choose how many trials or groups of lanes are trained at once, from what a run needs and may use."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.formatting import duration

START_SECONDS = 4.0
"""The seconds until another process trains: it imports torch and reads the data (two cores of a server)."""

_REPAID = 3.0
"""The training must take this many times as long as the start of another process."""

_MEMORY_SHARE = 0.8
"""The share of the free memory that other processes may use."""

_ALIKE = 1.1
"""Fewer processes are preferred if the run takes at most this many times as long with them."""

_MOST_TASKS = 1000
"""The most tasks whose order is planned; of more, neighbours are counted as one."""


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """Hold the facts on which the number of jobs depends.

    Args:
        cores: The cores that this process may use.
        threads: The threads of a trial.
        rounds: The expected seconds of each task in one process, by rounds that follow each other.
        start_seconds: The seconds until another process trains.
        free_bytes: The free memory.
        worker_bytes: The memory that another process may need.
        lane_shares: Into how many equal shares the memory of lanes can be divided without smaller groups.
        obstacle: A reason for a single process, in words; empty: there is none.
    """

    cores: int
    threads: int
    rounds: Sequence[Sequence[float]]
    start_seconds: float
    free_bytes: float
    worker_bytes: float
    lane_shares: int
    obstacle: str = ""


@dataclass(frozen=True)
class JobChoice:
    """Hold the number of jobs that was chosen.

    Args:
        jobs: The number of trials or groups of lanes at once.
        why: The reason for a single process, in words; empty for several.
    """

    jobs: int
    why: str = ""

    def __str__(self) -> str:
        """Return the choice as a sentence without a full stop."""
        if self.jobs == 1:
            return f"one process trains all trials: {self.why}"
        return (
            f"{self.jobs} trials or groups of lanes at once, each in its own process (--jobs 1 for "
            "undisturbed seconds)"
        )


def choose_jobs(facts: JobFacts) -> JobChoice:
    """Choose the number of jobs: 1 unless more are allowed, fit into memory, and save time.

    Args:
        facts: The facts of the run and the machine.

    Returns:
        The number of jobs, this process included, and the reason if it is 1.
    """
    seconds = sum(map(sum, facts.rounds))
    tasks = max(map(len, facts.rounds), default=0)
    fitting = 1 + int(_MEMORY_SHARE * facts.free_bytes // facts.worker_bytes)
    most = min(facts.cores // facts.threads, fitting, facts.lane_shares, tasks)
    if facts.obstacle:
        return JobChoice(1, facts.obstacle)
    if facts.cores < 2 * facts.threads:
        return JobChoice(1, f"{_counted(facts.cores, 'core')}, {_counted(facts.threads, 'thread')} a trial")
    if tasks < 2:
        return JobChoice(1, "there is a single trial or group of lanes")
    if not repays(seconds, facts.start_seconds):
        return JobChoice(
            1,
            f"about {duration(seconds)} of training do not repay another process, which takes about "
            f"{duration(facts.start_seconds)} to start",
        )
    if fitting < 2:
        needed, free = facts.worker_bytes / 2**30, facts.free_bytes / 2**30
        return JobChoice(1, f"another process may need {needed:.1f} GB of memory, and {free:.1f} GB are free")
    if facts.lane_shares < 2:
        return JobChoice(1, "lanes need the memory, and smaller groups may round differently")
    spans = {jobs: _span(facts.rounds, jobs, facts.start_seconds) for jobs in range(2, most + 1)}
    jobs = min(jobs for jobs, span in spans.items() if span <= _ALIKE * min(spans.values()))
    if seconds - spans[jobs] < facts.start_seconds:
        return JobChoice(1, "most of the time is that of one trial or group of lanes, which is not divided")
    return JobChoice(jobs)


def repays(seconds: float, start_seconds: float) -> bool:
    """Return whether training is long enough to repay the start of another process.

    Args:
        seconds: The expected seconds of training in one process.
        start_seconds: The seconds until another process trains.
    """
    return seconds >= _REPAID * start_seconds


def _span(rounds: Sequence[Sequence[float]], jobs: int, start_seconds: float) -> float:
    """Return the seconds of all rounds, each task in the first process that is free for it."""
    now = 0.0
    for tasks in rounds:
        free = [now, *[max(now, start_seconds)] * (jobs - 1)]
        ends = [now]
        for seconds in _merged(tasks):
            ends.append(heapq.heappop(free) + seconds)
            heapq.heappush(free, ends[-1])
        now = max(ends)
    return now


def _merged(tasks: Sequence[float]) -> list[float]:
    """Return the seconds of tasks; of many tasks, those of neighbours together."""
    size = max(1, -(-len(tasks) // _MOST_TASKS))
    return [sum(tasks[first : first + size]) for first in range(0, len(tasks), size)]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
