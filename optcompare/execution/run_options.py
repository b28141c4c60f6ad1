"""How a run is carried out, which changes none of its results, and the defaults of it.

Defaults of :func:`optcompare.compare` and of the command line are those of :class:`RunOptions`. This module
imports nothing heavy, so that the command line starts fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.bounds import MAX_JOBS, check_count
from ..errors import ComparisonError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .runner import Observer


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Hold what changes no result of a run, but its seconds, its files and what is shown of it.

    Args:
        observers: Called in this process at every measurement, end of a trial, and task.
        track: Trackers as "name[:address]", each in a process of its own.
        report_trainer: Called with a line for each group of trials that says which trainer trains it, and
            why; None: nothing is reported.
        formats: Of the plots in the run directory.
        metric: The column that the comparison plot shows; None: the losses.
        memory: Memory limit for vectorized trials, as "4GB" or "25%" of what is free; None: half of it.
        checkpoint: Seconds between checkpoints.
        keep_states: Bytes of final states to keep, from which trials can be trained on.
        jobs: Trials that are trained at once, each in a process of its own; None: as many as the executor
            has workers, or 1.
        executor: Where trials are trained, as "name[:address]", or an executor, which is left running; None:
            this process, or processes where there are several jobs.

    Raises:
        ComparisonError: A number is not in its range.
    """

    observers: Sequence[Observer] = ()
    track: Sequence[str] = ()
    report_trainer: Callable[[str], None] | None = None
    formats: Sequence[str] = ("png",)
    metric: str | None = None
    memory: str | None = None
    checkpoint: float = 10.0
    keep_states: float = 2**30
    jobs: int | None = None
    executor: str | Executor | None = None

    def __post_init__(self) -> None:
        if not self.checkpoint >= 0:
            raise ComparisonError(f"checkpoint takes seconds, 0 or more, got {self.checkpoint:g}")
        if self.jobs is not None:
            check_count("jobs", self.jobs, 1, MAX_JOBS)
