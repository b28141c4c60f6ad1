"""Define the options of a run that change none of its results, with their defaults.

:func:`optcompare.compare` and the command line have the defaults of :class:`RunOptions`. This module imports
nothing slow, so that the command line starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.bounds import MAX_JOBS, check_count
from ..errors import ComparisonError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .runner import Observer


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Hold the options of a run that change its seconds, its files and its display, but no result.

    Args:
        observers: Called in this process at every measurement, end of a trial, and task.
        track: Trackers as "name[:address]", each in its own process.
        report_trainer: Called with a line for each group of trials, on its trainer and the reasons; None:
            nothing is reported.
        formats: The formats of the plots in the run directory.
        metric: The column that the comparison plot shows; None: the losses.
        memory: Memory limit for vectorized trials, as "4GB" or "25%" of what is free; None: half of it.
        checkpoint: Seconds between checkpoints.
        keep_states: Bytes of final states to keep, from which trials can be trained further.
        jobs: The number of trials at once, each in its own process. "auto" or None: as many as the executor
            has workers; without an executor as many as the run repays, where no result depends on it.
        executor: The executor of trials as "name[:address]", or an executor, which is left running; None:
            this process, or local processes for several jobs.

    Raises:
        ComparisonError: A number is out of its range.
    """

    observers: Sequence[Observer] = ()
    track: Sequence[str] = ()
    report_trainer: Callable[[str], None] | None = None
    formats: Sequence[str] = ("png",)
    metric: str | None = None
    memory: str | None = None
    checkpoint: float = 10.0
    keep_states: float = 2**30
    jobs: int | Literal["auto"] | None = "auto"
    executor: str | Executor | None = None

    def __post_init__(self) -> None:
        if not self.checkpoint >= 0:
            raise ComparisonError(f"checkpoint takes seconds, 0 or more, got {self.checkpoint:g}")
        if self.fixed_jobs is not None:
            check_count("jobs", self.fixed_jobs, 1, MAX_JOBS)

    @property
    def fixed_jobs(self) -> int | None:
        """Return the number of jobs that the user chose; None: it is chosen automatically."""
        return None if self.jobs == "auto" else self.jobs
