"""Estimate the time of each task of a run: trials in the loop, and groups of lanes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from time import perf_counter

from ..core.comparison import Trial
from ..planning.estimates import Estimate
from ..training.lanes.admission import MARGIN
from ..training.lanes.cost_model import Work
from ..training.lanes.families import WIDEST
from ..training.lanes.group_time import (
    CALL_OPERATIONS,
    CHECK_UPDATES,
    LOADING_OPERATIONS,
    RECORD_OPERATIONS,
    GroupPace,
    GroupTime,
    group_time,
)
from ..training.lanes.probe import Probed, probe
from .scheduler import Tasks

_PROBING_SECONDS, _PROBING_SHARE, _LEAST_SHARE = 0.5, 0.1, 0.01
"""The seconds after which no further group is timed, and their most and least as shares of all trials."""
_VMAPPED_UPDATE, _TRACED_UPDATE = 4.0, 2.0
"""An update of a group that is not timed, as a multiple of an update in the loop."""
_NODES = 100
"""The operations of an update of a group that is not timed."""
_COMPILING_OPERATIONS, _COMPILING_A_NODE = 2_500_000, 15_000
"""The compiler's start, and what it takes for each operation of the graph, as small operations."""
_XLA_OPERATIONS, _XLA_A_NODE = 120_000, 300
"""Importing jax and compiling with XLA, and what that takes for each operation, as small operations."""
_NODE_OPERATIONS = 1.45
"""Running one operation of a traced graph, as small operations."""
_COMPILED_SHARE = 0.05
"""The least time of an update compiled by inductor, as a share of a traced one."""
_XLA_SHARE = 0.02
"""The same, compiled by XLA."""
_SAMPLED = 6
"""The lanes of a group that are compared with the loop."""


class TaskTimes:
    """Estimate the time of tasks from the estimates of trials in the loop, and from timed updates of lanes.

    Args:
        tasks: Groups the trials into tasks.
        estimates: The estimates of each arm's trial in the loop.
        operation: The seconds of one small tensor operation.
        whole: The seconds of all trials in the loop.

    Attributes:
        estimates: The estimates by the label of the arm.
    """

    def __init__(self, tasks: Tasks, estimates: Sequence[Estimate], operation: float, whole: float) -> None:
        self.estimates = {estimate.arm.label: estimate for estimate in estimates}
        self._tasks, self._operation = tasks, operation
        self._left = min(_PROBING_SHARE * whole, max(_PROBING_SECONDS, _LEAST_SHARE * whole))
        self._probed: dict[Hashable, Probed | None] = {}

    def of_trial(self, trial: Trial) -> float:
        """Return the seconds of one trial in the loop.

        Args:
            trial: The trial.
        """
        estimate = self.estimates[trial.arm.label]
        return estimate.seconds + estimate.measurements * RECORD_OPERATIONS * self._operation

    def of_group(self, trials: Sequence[Trial], elapsed: float = 0.0, slower: float = 1.0) -> GroupTime:
        """Return the time of a group of lanes.

        Args:
            trials: The group.
            elapsed: The seconds for which its program has been compiling when the group starts.
            slower: The factor by which compilers are slowed down by each other, and lanes by compilers.

        Returns:
            The time, from the check of the group to its end.
        """
        width = len(self._part(trials))
        parts = [trials[first : first + width] for first in range(0, len(trials), width)]
        pace = self._pace(parts[0])
        estimate = self.estimates[trials[0].arm.label]
        seconds, turn = 0.0, (1.0, 1.0)
        for part in parts:
            time = group_time(self._work(part), estimate.epochs, pace, elapsed + seconds, slower)
            seconds, turn = seconds + time.seconds, time.turn
        return GroupTime(seconds, turn if len(parts) == 1 else (1.0, 1.0))

    def are_slower(self, trials: Sequence[Trial]) -> bool:
        """Return whether a group is expected to be refused, since the loop takes less time.

        Args:
            trials: The group.
        """
        part = self._part(trials)
        probed = self._probe(part)
        if probed is None or probed.cached or self._tasks.setup.comparison.trainer != "auto":
            return False
        return probed.update > MARGIN * len(part) * self.estimates[trials[0].arm.label].update_seconds

    def compilers(self, groups: Sequence[Sequence[Trial]]) -> int:
        """Return the number of programs that are going to be compiled.

        Args:
            groups: The groups of lanes.
        """
        keys = set[Hashable]()
        for part in map(self._part, groups):
            probed = self._probe(part)
            if probed is not None and probed.compiler == "inductor" and not probed.cached:
                keys.add(self._key(part))
        return len(keys)

    def _part(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Return the first part of a group that fits into one program."""
        most = min(WIDEST, self._tasks.lanes.families.of(trials[0]).fits[0])
        return trials[: math.ceil(len(trials) / math.ceil(len(trials) / most))]

    def _pace(self, trials: Sequence[Trial]) -> GroupPace:
        """Return the pace of a group that fits into one program."""
        estimate, lanes, operation = self.estimates[trials[0].arm.label], len(trials), self._operation
        probed = self._probe(trials)
        if probed is None:
            probed = self._assumed(trials, estimate)
        per_lane = RECORD_OPERATIONS * lanes * operation
        starts = lanes * (estimate.start_seconds + estimate.measurement_seconds)
        checks = _SAMPLED * (estimate.start_seconds + 3 * estimate.update_seconds)
        start = starts + checks + CHECK_UPDATES * probed.update
        update, compiled, compiling = probed.update, 0.0, None
        inside = probed.update - probed.operations * _NODE_OPERATIONS * operation
        if probed.compiler == "xla":
            start += (_XLA_OPERATIONS + _XLA_A_NODE * probed.operations) * operation
            update = max(_XLA_SHARE * probed.update, inside)
        elif probed.compiler == "inductor":
            compiled = max(_COMPILED_SHARE * probed.update, inside)
            start += LOADING_OPERATIONS * operation
            nodes = _COMPILING_A_NODE * probed.operations
            compiling = 0.0 if probed.cached else (_COMPILING_OPERATIONS + nodes) * operation
        return GroupPace(
            update=update,
            measurement=probed.measurement * estimate.measured_share + CALL_OPERATIONS * operation + per_lane,
            epoch=lanes * estimate.epoch_seconds,
            start=start,
            compiled=compiled,
            compiling=compiling,
        )

    def _probe(self, trials: Sequence[Trial]) -> Probed | None:
        """Time a group unless a group like it was timed, or the time for that is spent."""
        lanes, key = self._tasks.lanes, self._key(trials)
        if key not in self._probed and self._left > 0:
            began = perf_counter()
            self._probed[key] = probe(lanes, trials, self.estimates[trials[0].arm.label].expected_updates)
            self._left -= perf_counter() - began
        return self._probed.get(key)

    def _key(self, trials: Sequence[Trial]) -> Hashable:
        """Return a key that groups with the same program share."""
        return self._tasks.lanes.families.key(trials[0]), len(trials)

    def _work(self, trials: Sequence[Trial]) -> Work:
        """Return the expected work of a group."""
        estimate = self.estimates[trials[0].arm.label]
        return Work(len(trials), estimate.expected_updates, estimate.measurements)

    def _assumed(self, trials: Sequence[Trial], estimate: Estimate) -> Probed:
        """Return what a group that was not timed takes, as a multiple of a trial in the loop."""
        updates = estimate.expected_updates
        engines = self._tasks.lanes.families.engines
        times = _TRACED_UPDATE if engines.worth_tracing(updates) else _VMAPPED_UPDATE
        timed = [probed for probed in self._probed.values() if probed is not None and probed.compiler]
        worth = engines.worth_compiling(updates, _NODES)
        return Probed(
            times * estimate.update_seconds,
            len(trials) * estimate.measurement_seconds / 2,
            _NODES,
            timed[0].compiler if timed and timed[0].compiler in worth else None,
            any(probed.cached for probed in timed),
        )
