"""Estimate the time of a run from the trainer of each trial."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.comparison import Trial
from ..core.formatting import duration
from ..planning.estimates import Estimate
from ..training.lanes.cost_model import IMPORT_SECONDS, lanes_seconds
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer

if TYPE_CHECKING:
    from ..planning.prepare import Prepared
    from .scheduler import Tasks

WRITING_SECONDS = 3.0
"""The seconds for certificate, tables and the plot, at the end of a run."""
_ALIKE = 1.3
"""Bounds with a smaller ratio are shown as one number."""


@dataclass(frozen=True)
class Expected:
    """Hold the bounds of the seconds that a run takes.

    Attributes:
        low: The lower bound, if compiled programs are in the cache.
        high: The upper bound, if they must be compiled first.
        of_trials: By phase and arm, the seconds that one trial adds on average, between the bounds.
        in_lanes: The number of trials that are expected to run in lanes.
        ends_early: Whether trials end at a goal, so that ``low`` is no bound.
    """

    low: float
    high: float
    of_trials: Mapping[tuple[str, str], float]
    in_lanes: int
    ends_early: bool = False

    def of(self, trial: Trial) -> float:
        """Return the seconds that a trial adds; never 0."""
        return max(1e-6, self.of_trials.get((trial.phase, trial.arm.label), 0.0))

    def __str__(self) -> str:
        """Return ``about 12 s``, ``12 s to 25 s`` or ``up to 25 s``."""
        if self.ends_early:
            return f"up to {duration(self.high)}"
        if self.high <= _ALIKE * self.low:
            return f"about {duration(self.high)}"
        return f"{duration(self.low)} to {duration(self.high)}"


def expected_time(
    tasks: Tasks, estimates: Sequence[Estimate], planned: Sequence[Sequence[Trial]], jobs: int = 1
) -> Expected:
    """Estimate the seconds of all trials, each in its expected trainer.

    Args:
        tasks: Groups the trials into tasks.
        estimates: The estimates of each arm's trial in the loop.
        planned: The lists of trials to come; each list is trained before the next.
        jobs: The number of trials at once.

    Returns:
        The expected time of training, measuring and writing.
    """
    by_arm = {estimate.arm.label: estimate for estimate in estimates}
    compiler = any(map(shutil.which, ("g++", "clang++")))
    low, high, in_lanes = 0.0, 0.0, 0
    seconds, numbers = defaultdict[tuple[str, str], float](float), Counter[tuple[str, str]]()

    def add(trials: Iterable[Trial], least: float, most: float) -> None:
        nonlocal low, high
        low, high, trials = low + least, high + most, list(trials)
        for trial in trials:
            seconds[trial.phase, trial.arm.label] += (least + most) / 2 / len(trials)
            numbers[trial.phase, trial.arm.label] += 1

    for trials in planned:
        groups, alone = tasks.forecast(trials)
        for trial in alone:
            add([trial], by_arm[trial.arm.label].seconds, by_arm[trial.arm.label].seconds)
        for group in groups:
            estimate, work = by_arm[group[0].arm.label], tasks.work(group)
            measuring = max(0.0, estimate.seconds - work.updates * estimate.update_seconds)
            each_point = measuring / max(1.0, work.measurements)
            add(group, *lanes_seconds(work, estimate.update_seconds, each_point, compiler=compiler))
            in_lanes += len(group)
    more = WRITING_SECONDS + IMPORT_SECONDS * (in_lanes > 0)
    at_once = max(1, min(jobs, sum(numbers.values())))
    each = {key: seconds[key] / numbers[key] / at_once for key in seconds}
    ends_early = tasks.setup.comparison.stop_at_goal
    return Expected(low / at_once + more, high / at_once + more, each, in_lanes, ends_early)


def expected_of(prepared: Prepared, memory: str | None = None, jobs: int = 1) -> Expected:
    """Estimate the time of a comparison after its dry run.

    Args:
        prepared: The prepared comparison.
        memory: The memory limit of lanes, as in the run options.
        jobs: The number of trials at once.
    """
    from .scheduler import Tasks

    comparison, loop = prepared.setup.comparison, prepared.trainer
    lanes = LanesTrainer(loop, memory_limit(memory, loop.device))
    tuning, closer, report = comparison.tuning_trials(), comparison.closer_trials(), comparison.trials()
    tasks = Tasks(lanes, prepared.estimates, [tuning, report], workers=jobs if jobs > 1 else 0)
    return expected_time(tasks, prepared.estimates, [tuning, closer, report], jobs)
