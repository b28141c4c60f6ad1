"""Train and measure a group of lanes: many trials with equal batch sizes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ...core.columns import Record
from ...core.comparison import Comparison
from ...errors import USER_CODE_ERRORS
from ..data import TensorSource
from ..device import Clock
from ..epoch_end import EpochEnd, finish, lacks_record
from ..loop.batch_plan import Plan
from ..loop.trainer import why
from ..measurement.evaluation import (
    next_evaluation,
)
from ..shared_init import fingerprint
from ..state import LanesState, TrialState
from .lane import Lane, running
from .measurement import LanesMeasurement
from .program_cache import Programs
from .updates import LanesUpdates


class LanesRun:
    """Train lanes that are all at the same update.

    A lane that has ended stays in the program; its results are ignored.

    Args:
        comparison: The comparison that the trials belong to.
        sources: The data on the device, by the name of the set.
        programs: The compiled programs, at least as wide as the group.
        lanes: The trials of the group.
        numbers: The hyperparameters of each lane that are inputs of the program, by name.
        evaluated: The number of lanes that are evaluated at once.
        records: Records that this task made before its first update.
    """

    _kind: ClassVar[type[LanesUpdates]] = LanesUpdates

    def __init__(
        self,
        comparison: Comparison,
        sources: Mapping[str, TensorSource],
        programs: Programs,
        lanes: Sequence[Lane],
        numbers: Sequence[Mapping[str, float]],
        evaluated: int,
        records: Sequence[Record] = (),
    ) -> None:
        self.lanes = lanes
        self._comparison, self._programs = comparison, programs
        self._budget, self._n = comparison.budget, sources["train"].n
        self._device = sources["train"].tensors[0].device
        self.measurement = LanesMeasurement(
            comparison, sources, programs.blueprint, lanes, evaluated, records
        )
        self._updates = self._kind(lanes, programs, numbers, comparison.budget, sources["train"])

    def state(self) -> LanesState:
        """Return a copy of the state of every lane, in the form of the loop trainer."""
        for number, lane in enumerate(self.lanes):
            if not lane.frozen:
                lane.state = self._state_of(number)
        return {
            "lanes": [lane.state for lane in self.lanes],
            "strayed": {str(number): lane.strayed for number, lane in enumerate(self.lanes) if lane.strayed},
        }

    def train(self, until: Callable[[], bool], stop: Callable[[], bool] | None = None) -> None:
        """Train epoch after epoch until all lanes have ended or a function stops them.

        Args:
            until: Called about every quarter of a second, or after each epoch of adaptive strategies; True
                ends the task.
            stop: Called after each update of adaptive strategies; True ends the trials as interrupted.
        """
        self._stop = stop or (lambda: False)
        while running(self.lanes):
            self._epoch(until)
            if until():
                break

    def _epoch(self, until: Callable[[], bool]) -> None:
        """Train all running lanes to the end of the epoch, or until the task ends."""
        before = {id(lane.planner): lane.planner.state() for lane in running(self.lanes)}
        plans = self._plans(before)
        if not plans:
            return
        lead = running(self.lanes)[0]
        progress, plan = lead.progress, plans[id(lead.planner)]
        epoch_start = progress.samples - (plan.ends[progress.position - 1] if progress.position else 0)
        allowed = progress.allowed(self._budget, plan.ends)
        lanes, cut = running(self.lanes), False
        for lane in lanes if progress.position < allowed else ():
            lane.planner.begin(lane.progress)
        while progress.position < allowed and running(self.lanes) and not cut:
            progress = running(self.lanes)[0].progress
            evaluation = next_evaluation(progress.samples, self._n, self._comparison.measure)
            point = self.measurement.next_point(evaluation)
            stop = allowed if point is None else min(allowed, bisect_left(plan.ends, point - epoch_start) + 1)
            cut = self._updates.make(plans, plan, stop, until)
            if evaluation is not None and progress.samples >= evaluation:
                self._end(self.measurement.measure(self._updates.evaluated()))
            elif point is not None and progress.samples >= point:
                self.measurement.probe(self._updates.evaluated())
            cut = cut or until() or progress.reached(self._budget)
        self._leave(lanes, plans, allowed, before)

    def _plans(self, before: Mapping[int, Any]) -> dict[int, Plan]:
        """Plan this epoch for every strategy; lanes with other batch sizes continue on the loop trainer."""
        plans: dict[int, Plan] = {}
        sizes: list[int] | None = None
        for number, lane in enumerate(self.lanes):
            if not lane.running:
                continue
            key = id(lane.planner)
            try:
                if key not in plans:
                    plans[key] = lane.planner.draw(lane.progress.epoch)
                lane.planner.accept(plans[key], lane.progress)
            except USER_CODE_ERRORS as error:
                self._fail(number, error)
                continue
            sizes = sizes or plans[key].sizes
            if plans[key].sizes != sizes:
                lane.strayed = (
                    f"its batches have other sizes than the other lanes' from epoch {lane.progress.epoch} on"
                )
                lane.planner.load(before[key])
                self._freeze(number)
        return plans

    def _leave(
        self, lanes: Sequence[Lane], plans: Mapping[int, Plan], allowed: int, before: Mapping[int, Any]
    ) -> None:
        """End the epoch of these lanes, or store the position at which the task ended within it."""
        ends = list[EpochEnd]()
        for lane in lanes:
            progress, plan = lane.progress, plans[id(lane.planner)]
            ends.append(EpochEnd.of(progress, len(plan.ends), allowed))
            ends[-1].leave(progress, lane.planner, plan, self._budget, before[id(lane.planner)])
        self._close(lanes, ends)

    def _close(self, lanes: Sequence[Lane], ends: Sequence[EpochEnd]) -> None:
        """Count the epoch of these lanes, and end those whose budget is spent."""
        closed = zip(lanes, ends, strict=True)
        spent = [lane for lane, end in closed if end.count(lane.progress, self._budget) and not lane.strayed]
        if any(lacks_record(lane.progress) for lane in spent):
            self._end(self.measurement.measure(self._updates.evaluated()))
        for lane in spent:
            finish(lane.progress)
        for lane in lanes:
            if lane.frozen:
                lane.state["progress"] = (
                    lane.progress.to_state()
                )  # the fingerprint of the lane's batches has changed
        ended = [lane for lane in lanes if lane.progress.status == "finished" and not lane.frozen]
        self._end([number for number, lane in enumerate(self.lanes) if lane in ended])

    def _end(self, numbers: Sequence[int]) -> None:
        """Freeze lanes that have ended, with what is measured at the end alone."""
        if not numbers:
            return
        finished = [number for number in numbers if self.lanes[number].progress.status == "finished"]
        watch = Clock(self._device)
        try:
            with watch:
                self.measurement.complete(self._updates.evaluated(), numbers)
        except (*USER_CODE_ERRORS, KeyboardInterrupt):
            for number in finished:  # these lanes continue on the loop trainer
                self.lanes[number].progress.status = "running"
            raise
        for number in numbers:
            self.lanes[number].progress.measure_seconds += watch.seconds / len(numbers)
            lane = self.lanes[number]
            self._freeze(number)
            lane.progress.final_sha256 = fingerprint(lane.state["model"])
            lane.state["progress"] = lane.progress.to_state()

    def _fail(self, number: int, error: BaseException) -> None:
        """Freeze a lane whose strategy has failed."""
        lane = self.lanes[number]
        lane.progress.status, lane.progress.reason = "failed", why(error, lane.trial, self._n)
        self._freeze(number)

    def _freeze(self, number: int) -> None:
        self.lanes[number].state = self._state_of(number)
        self.lanes[number].frozen = True

    def _state_of(self, number: int) -> TrialState:
        lane = self.lanes[number]
        state = self._programs.blueprint.state_of(
            self._updates.carry, number, lane.state, lane.progress.updates
        )
        return {**state, "progress": lane.progress.to_state(), "strategy": lane.planner.state()}
