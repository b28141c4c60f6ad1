"""Collect the facts on which ``--jobs auto`` depends: the work of a run, and what this process may use."""

from __future__ import annotations

import multiprocessing
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.comparison import Trial
from ..core.cores import usable_cores
from ..planning.loss_checks import changed_by_reading
from ..planning.unsaved_state import SHARED
from ..storage.previous_run import PreviousRun
from ..training.data import TensorSource
from ..training.device import torch_settings
from ..training.lanes.families import WIDEST
from ..training.lanes.memory import free_memory, memory_limit
from ..training.lanes.trainer import LanesTrainer
from . import choose_jobs as choosing
from .choose_jobs import JobChoice, JobFacts, choose_jobs
from .continuation import rounds_left
from .expected_time import Forecast
from .run_options import RunOptions
from .scheduler import Tasks

if TYPE_CHECKING:
    from ..planning.prepare import Prepared

_PROCESS_BYTES = 600 * 2**20
"""The least memory of another process: Python with torch, and a small model."""

_MANY = 10**6


def automatic_jobs(
    prepared: Prepared,
    lanes: LanesTrainer | None = None,
    previous: PreviousRun | None = None,
    memory: str | None = None,
) -> JobChoice:
    """Choose how many trials or groups of lanes of a run are trained at once, each in its own process.

    Args:
        prepared: The prepared comparison.
        lanes: Its lanes trainer; None: one is made.
        previous: The previous run that continues, whose trials are not trained again; None: the run is new.
        memory: Memory limit for vectorized trials, where no lanes trainer is given; None: the default.

    Returns:
        The number of jobs, and the reason if it is 1.
    """
    obstacle = _of_process() or _of_run(prepared)
    rounds = rounds_left(prepared.setup, previous)
    seconds = {estimate.arm.label: estimate.seconds for estimate in prepared.estimates}
    tasks = [[seconds[trial.arm.label] for trial in trials] for trials in rounds]
    shares = _MANY
    if not obstacle and choosing.repays(sum(map(sum, tasks)), choosing.START_SECONDS):
        obstacle = _of_datasets(prepared)
        lanes = lanes or LanesTrainer(prepared.trainer, memory_limit(memory, prepared.trainer.device))
        tasks, shares = _of_tasks(prepared, lanes, rounds)
    return choose_jobs(
        JobFacts(
            cores=usable_cores(),
            threads=prepared.setup.comparison.threads,
            rounds=tasks,
            start_seconds=choosing.START_SECONDS,
            free_bytes=free_memory(prepared.trainer.device),
            worker_bytes=_worker_bytes(prepared),
            lane_shares=shares,
            obstacle=obstacle,
        )
    )


def planned_jobs(
    prepared: Prepared, options: RunOptions, previous: PreviousRun | None = None
) -> tuple[int, str]:
    """Return the number of jobs of a run that would start now.

    Args:
        prepared: The prepared comparison.
        options: The run options.
        previous: The previous run that would continue; None: the run would be new.

    Returns:
        The number, and its choice in words; empty words where the user or the executor decides.
    """
    if options.fixed_jobs is not None or options.executor is not None:
        return options.fixed_jobs or 1, ""
    comparison = prepared.setup.comparison
    with torch_settings(comparison.threads, comparison.deterministic):
        choice = automatic_jobs(prepared, previous=previous, memory=options.memory)
    return choice.jobs, str(choice)


def _of_tasks(
    prepared: Prepared, lanes: LanesTrainer, rounds: Sequence[Sequence[Trial]]
) -> tuple[list[list[float]], int]:
    """Return the expected seconds of each task, and the number of shares of the memory of lanes."""
    tasks, shares = Tasks(lanes, prepared.estimates, [rounds[0], rounds[-1]]), _MANY
    expected = Forecast(tasks, prepared.estimates, rounds)
    seconds: list[list[float]] = []
    for trials in rounds:
        groups, alone = tasks.forecast(trials)
        together = sorted(map(expected.lanes_seconds, groups), reverse=True)
        seconds.append([*together, *map(expected.loop_seconds, alone)])
        for group in groups:
            # Twice the lanes must fit: free memory changes until a worker measures it.
            fits = min(lanes.families.of(group[0]).fits)
            shares = min(shares, max(1, fits // (2 * min(WIDEST, len(group)))))
    return seconds, shares


def _of_process() -> str:
    """Return why this process must not start others, in words; empty if it may."""
    if multiprocessing.parent_process() is not None or multiprocessing.current_process().daemon:
        return "this process was itself started by multiprocessing"
    if threading.current_thread() is not threading.main_thread():
        return "the run is not in the main thread, and others may use the cores"
    if not re.match("python|pypy", Path(sys.executable or "").name.lower()):
        return "this is no ordinary Python process, but one of a program with Python in it"
    if _is_traced():
        return "a debugger, a profiler or a measurement of coverage follows this process"
    return ""


def _is_traced() -> bool:
    """Return whether a debugger, a profiler or a measurement of coverage is active in this process."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    used = monitoring is not None and any(monitoring.get_tool(number) for number in range(3))
    return used or sys.gettrace() is not None or sys.getprofile() is not None or "pydevd" in sys.modules


def _of_run(prepared: Prepared) -> str:
    """Return why the trials of a comparison must share a process, in words; empty if they need not."""
    setup, trainer = prepared.setup, prepared.trainer
    common = [name for names in setup.uncut.values() for name in names if name.startswith(SHARED)]
    if setup.comparison.budget.unit == "seconds":
        return "a budget of seconds needs the machine for one trial at a time"
    if trainer.device.type != "cpu":
        return f"the device is {trainer.device.type}"
    if setup.order is not None:
        return "the order is a function of the user, which may have a state"
    if common:
        return f"all trials have {common[0]} in common"
    if setup.workload.workers:
        return f"{setup.workload.workers} loader processes of the workload use other cores"
    return ""


def _of_datasets(prepared: Prepared) -> str:
    """Return which Dataset has a state that trials of one process would share; empty if none has."""
    for name, source in prepared.trainer.sources.items():
        if changed := changed_by_reading(source):
            return f"the Dataset of {name} changes {changed[0]} when a sample is read"
    return ""


def _worker_bytes(prepared: Prepared) -> float:
    """Return the memory that another process may need, and the packing of the data for it.

    The most memory that this process has used contains the data and the first updates of every arm.
    """
    sources = prepared.trainer.sources.values()
    data = sum(
        part.nbytes for source in sources if isinstance(source, TensorSource) for part in source.tensors
    )
    return max(_PROCESS_BYTES, _peak_bytes()) + data


def _peak_bytes() -> int:
    """Return the most memory that this process has used so far; 0 where that is unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
