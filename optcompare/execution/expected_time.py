"""Estimate the time of a run from the trainer of each trial."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.comparison import Trial
from ..core.formatting import duration
from ..planning.estimates import Estimate
from ..storage.previous_run import PreviousRun
from ..training.device import torch_settings
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from ..training.machine_speed import operation_seconds
from .continuation import rounds_left
from .fixed_times import finishing_seconds
from .scheduler import Tasks, shares
from .task_times import TaskTimes
from .timeline import Timeline

if TYPE_CHECKING:
    from ..planning.prepare import Prepared

_WINDOW, _WINDOW_SHARE = 0.1, 0.02
"""The most seconds for which the machine's speed is measured, and their most as a share of all trials."""


@dataclass(frozen=True)
class TrialTime:
    """Hold the seconds that one trial adds to a run.

    Args:
        seconds: The seconds.
        turn: The share of the trial, and the share of its seconds, at which its pace changes; see
            :class:`.GroupTime`.
    """

    seconds: float
    turn: tuple[float, float] = (1.0, 1.0)

    def until(self, share: float) -> float:
        """Return the seconds until a share of the trial is done.

        Args:
            share: The share, from 0 to 1.
        """
        at, spent = self.turn
        if share < at or at >= 1:
            return self.seconds * spent * share / at
        return self.seconds * (spent + (1 - spent) * (share - at) / (1 - at))


@dataclass(frozen=True)
class ExpectedTime:
    """Hold the expected time of a run.

    Attributes:
        seconds: The seconds of the whole run.
        of_trials: By phase and arm, the time that one trial adds on average.
        in_lanes: The number of trials that are expected to run in lanes.
        finishing: The seconds after the last trial, a part of ``seconds``.
        ends_early: Whether trials may end before their budget, so that ``seconds`` is the most.
    """

    seconds: float
    of_trials: Mapping[tuple[str, str], TrialTime]
    in_lanes: int = 0
    finishing: float = 0.0
    ends_early: bool = False

    def of(self, trial: Trial) -> TrialTime:
        """Return the time that a trial adds; never 0.

        Args:
            trial: The trial.
        """
        known = self.of_trials.get((trial.phase, trial.arm.label), TrialTime(0.0))
        return known if known.seconds > 1e-6 else TrialTime(1e-6)

    def after(self, seconds: float) -> ExpectedTime:
        """Return the expected time of a run that begins with something else.

        Args:
            seconds: The seconds before the first trial.
        """
        return dataclasses.replace(self, seconds=self.seconds + seconds)

    def __str__(self) -> str:
        """Return ``about 12 s`` or ``at most 25 s``."""
        return f"{'at most' if self.ends_early else 'about'} {duration(self.seconds)}"


class Forecast:
    """Estimate the seconds of tasks and of the whole run, for any number of jobs.

    Updates and measurements of lanes are timed once, when they are first needed, and only where trials take
    long. No result changes.

    Args:
        tasks: Groups the trials into tasks.
        estimates: The estimates of each arm's trial in the loop.
        planned: The lists of trials to come; each list is trained before the next.
        operation: The seconds of one small tensor operation; None: it is measured.
    """

    def __init__(
        self,
        tasks: Tasks,
        estimates: Sequence[Estimate],
        planned: Sequence[Sequence[Trial]],
        operation: float | None = None,
    ) -> None:
        self._tasks, self._planned = tasks, planned
        number = sum(map(len, planned))
        whole = sum(estimate.seconds for estimate in estimates) * number / max(1, len(estimates))
        window = min(_WINDOW, _WINDOW_SHARE * whole)
        self._operation = operation_seconds(window) if operation is None else operation
        self._times = TaskTimes(tasks, estimates, self._operation, whole)

    def loop_seconds(self, trial: Trial) -> float:
        """Return the expected seconds of one trial in the loop, which no other trial slows down.

        Args:
            trial: The trial.
        """
        return self._times.of_trial(trial)

    def lanes_seconds(self, trials: Sequence[Trial]) -> float:
        """Return the expected seconds of a group of lanes, which no other trial slows down.

        Args:
            trials: The group.
        """
        return self._times.of_group(trials).seconds

    def run(self, jobs: int = 1, shared: bool = False) -> ExpectedTime:
        """Return the expected time of all trials, and of what follows them.

        Args:
            jobs: The number of trials or groups at once, each in its own process; 1: in this process.
            shared: Whether this process is one of them, as with automatic jobs; groups stay whole then.

        Returns:
            The expected time, the start of the processes included; the seconds before that are not.
        """
        comparison = self._tasks.setup.comparison
        timeline = Timeline(self._times, jobs, comparison.threads, self._operation, shared=shared)
        parts = 1 if shared else jobs
        in_lanes = 0
        for trials in self._planned:
            forecast, _ = self._tasks.forecast(trials)
            groups = [group for group in forecast if not self._times.are_slower(shares(group, parts)[0])]
            inside = {trial for group in groups for trial in group}
            alone = [trial for trial in trials if trial not in inside]
            timeline.add_round(groups, alone)
            in_lanes += sum(map(len, groups))
        of_trials = _of_trials(timeline)
        finishing = finishing_seconds(comparison, self._times.estimates.values(), self._operation)
        adaptive = any(self._times.estimates[arm.label].updates is None for arm in comparison.arms)
        early = comparison.stop_at_goal or (adaptive and comparison.budget.unit != "seconds")
        return ExpectedTime(timeline.end + finishing, of_trials, in_lanes, finishing, early)


def expected_time(
    tasks: Tasks,
    estimates: Sequence[Estimate],
    planned: Sequence[Sequence[Trial]],
    jobs: int = 1,
    shared: bool = False,
) -> ExpectedTime:
    """Estimate the seconds of all trials, each in its expected trainer; see :class:`Forecast`.

    Args:
        tasks: Groups the trials into tasks.
        estimates: The estimates of each arm's trial in the loop.
        planned: The lists of trials to come; each list is trained before the next.
        jobs: The number of trials at once.
        shared: See :meth:`Forecast.run`.

    Returns:
        The expected time of training, measuring and writing.
    """
    return Forecast(tasks, estimates, planned).run(jobs, shared)


def forecast_of(
    prepared: Prepared, memory: str | None = None, previous: PreviousRun | None = None
) -> Forecast:
    """Return the forecast of a comparison after its dry run.

    Args:
        prepared: The prepared comparison.
        memory: The memory limit of lanes, as in the run options.
        previous: The previous run that would continue; None: the run would be new.

    Returns:
        The forecast; it is used within :func:`.torch_settings` of the comparison.
    """
    comparison, loop = prepared.setup.comparison, prepared.trainer
    lanes = LanesTrainer(loop, memory_limit(memory, loop.device))
    tasks = Tasks(lanes, prepared.estimates, [comparison.tuning_trials(), comparison.trials()])
    return Forecast(tasks, prepared.estimates, rounds_left(prepared.setup, previous))


def expected_of(
    prepared: Prepared,
    memory: str | None = None,
    jobs: int = 1,
    shared: bool = False,
    previous: PreviousRun | None = None,
) -> ExpectedTime:
    """Estimate the time of a comparison after its dry run.

    Args:
        prepared: The prepared comparison.
        memory: The memory limit of lanes, as in the run options.
        jobs: The number of trials at once.
        shared: See :meth:`Forecast.run`.
        previous: The previous run that would continue; None: the run would be new.

    Returns:
        The expected time.
    """
    comparison = prepared.setup.comparison
    with torch_settings(comparison.threads, comparison.deterministic):
        return forecast_of(prepared, memory, previous).run(jobs, shared)


def _of_trials(timeline: Timeline) -> dict[tuple[str, str], TrialTime]:
    """Return the mean time of one trial, by phase and arm, so that all trials add up to the timeline."""
    seconds, numbers = defaultdict[tuple[str, str], float](float), defaultdict[tuple[str, str], int](int)
    turns = dict[tuple[str, str], tuple[float, float]]()
    for trials, time in timeline.times:
        for trial in trials:
            key = trial.phase, trial.arm.label
            seconds[key] += time.seconds / len(trials)
            numbers[key] += 1
            turns[key] = time.turn
    scale = timeline.end / max(1e-9, sum(seconds.values()))
    return {key: TrialTime(seconds[key] / numbers[key] * scale, turns[key]) for key in seconds}
