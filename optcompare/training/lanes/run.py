"""Train and measure a group of lanes: many trials with equal batch sizes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.columns import Record
from ...core.comparison import Comparison
from ...errors import USER_CODE_ERRORS
from ..data import TensorSource
from ..device import Clock
from ..epoch_end import EpochEnd, finish, lacks_record
from ..loop.batch_plan import Plan
from ..loop.trainer import why
from ..measurement.evaluation import (
    empty_test_columns,
    final_sources,
    next_evaluation,
    passes_of,
    regular_sources,
)
from ..measurement.evaluation_rows import EvaluationRows
from ..measurement.goal_watch import GoalWatch
from ..measurement.projection import is_sketched, sketch
from ..measurement.record import record_of
from ..shared_init import fingerprint
from ..state import LanesState, TrialState
from .evaluation import LanesEvaluation
from .lane import Lane, running
from .program_cache import Programs
from .updates import LanesUpdates

if TYPE_CHECKING:
    from torch import Tensor


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
        self.lanes, self.records = lanes, list(records)
        self._comparison, self._sources, self._programs = comparison, sources, programs
        self._budget, self._n = comparison.budget, sources["train"].n
        self._device = sources["train"].tensors[0].device
        self._regular = regular_sources(sources)
        self._rows = EvaluationRows.of(comparison, self._regular, comparison.split_of(lanes[0].trial.seed))
        self._watch = GoalWatch.of(comparison, programs.blueprint.workload, sources)
        self._evaluation = LanesEvaluation(comparison, programs.blueprint, sources, evaluated)
        self._updates = LanesUpdates(lanes, programs, numbers, comparison.budget, sources["train"])

    def state(self) -> LanesState:
        """Return a copy of the state of every lane, in the form of the loop trainer."""
        for number, lane in enumerate(self.lanes):
            if not lane.frozen:
                lane.state = self._state_of(number)
        return {
            "lanes": [lane.state for lane in self.lanes],
            "strayed": {str(number): lane.strayed for number, lane in enumerate(self.lanes) if lane.strayed},
        }

    def train(self, until: Callable[[], bool]) -> None:
        """Train epoch after epoch until all lanes have ended or a function stops them.

        Args:
            until: Called about every quarter of a second; True ends the task.
        """
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
            point = self._next_point(evaluation)
            stop = allowed if point is None else min(allowed, bisect_left(plan.ends, point - epoch_start) + 1)
            cut = self._updates.make(plans, plan, stop, until)
            if evaluation is not None and progress.samples >= evaluation:
                self._measure()
            elif point is not None and progress.samples >= point:
                self._probe(
                    [i for i, lane in enumerate(self.lanes) if lane.running and GoalWatch.near(lane.progress)]
                )
            cut = cut or until() or progress.reached(self._budget)
        self._leave(lanes, plans, allowed, before)

    def _next_point(self, evaluation: int | None) -> int | None:
        """Return the number of samples at which a lane is measured next; None: there is none.

        Args:
            evaluation: The next evaluation point; None: there is none.
        """
        if self._watch is None:
            return evaluation
        stops = (self._watch.next_stop(lane.progress, evaluation) for lane in running(self.lanes))
        return min((stop for stop in stops if stop is not None), default=None)

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
                lane.progress.status, lane.progress.reason = "failed", why(error, lane.trial, self._n)
                self._freeze(number)
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
        spent = list[Lane]()
        for lane in lanes:
            progress, plan = lane.progress, plans[id(lane.planner)]
            end = EpochEnd.of(progress, len(plan.ends), allowed)
            end.leave(progress, lane.planner, plan, self._budget, before[id(lane.planner)])
            if end.count(progress, self._budget) and not lane.strayed:
                spent.append(lane)
        if any(lacks_record(lane.progress) for lane in spent):
            self._measure()
        for lane in spent:
            finish(lane.progress)
        for lane in lanes:
            if lane.frozen:
                lane.state["progress"] = (
                    lane.progress.to_state()
                )  # the fingerprint of the lane's batches has changed
        ended = [lane for lane in lanes if lane.progress.status == "finished" and not lane.frozen]
        self._end([number for number, lane in enumerate(self.lanes) if lane in ended])

    def _measure(self) -> None:
        """Append a record of every running lane, and freeze those that diverged or reached their goal."""
        watch = Clock(self._device)
        numbers = [number for number, lane in enumerate(self.lanes) if lane.running]
        if self._watch is not None:
            self._probe(
                [number for number in numbers if self._watch.to_be_probed(self.lanes[number].progress)]
            )
        with watch:
            measured = self._values(numbers)
            self._keep_snapshots(numbers)
        for number, values in zip(numbers, measured, strict=True):
            progress = self.lanes[number].progress
            goal = (
                self._watch.evaluated(progress, values) if self._watch else self._comparison.ends_at(values)
            )
            lane = self.lanes[number]
            lane.progress.count_measurement(values, watch.seconds / len(numbers), goal)
            values = {
                **values,
                **empty_test_columns(
                    self._programs.blueprint.workload, self._sources, raw=self._comparison.recalibrate
                ),
            }
            lane.last = record_of(
                self._comparison, lane.trial, lane.progress, self._n, values, clock="estimated"
            )
            self.records.append(lane.last)
        self._end([number for number in numbers if self.lanes[number].progress.status != "running"])

    def _values(self, numbers: Sequence[int]) -> list[dict[str, float]]:
        """Return losses, metrics and numbers of rows of lanes, as a trial alone measures them."""
        rows, carry = self._rows, self._updates.carry
        progress = [self.lanes[number].progress for number in numbers]
        if not rows.sampled:
            counts = rows.counts(self._regular)
            return [{**counts, **one} for one in self._evaluation.values(carry, numbers, self._regular)]
        parts = [rows.part_values(one) for one in progress]
        sampled = self._evaluation.values(
            carry, numbers, self._regular, partial(self._passes, rows=rows), parts
        )
        values = [{**rows.counts(), **one} for one in sampled]
        near = [
            place
            for place, (one, own) in enumerate(zip(parts, values, strict=True))
            if one is not None
            and rows.may_be_reached(own[one.metric], one.standard_error(), progress[place], self._watch)
        ]
        if near and rows.goal is not None:
            data = rows.goal.data
            whole = self._evaluation.values(
                carry, [numbers[place] for place in near], {data: self._regular[data]}
            )
            for place, own in zip(near, whole, strict=True):
                values[place] |= {**own, **rows.counts([data])}
                rows.note_goal(progress[place], values[place], self._watch)
        for one, own in zip(progress, values, strict=True):
            one.sampled = own if rows.not_whole(own) else {}
        return values

    def _passes(self, name: str, rows: EvaluationRows) -> Sequence[Tensor]:
        return passes_of(name, self._sources[name], self._comparison.eval_chunk, rows)

    def _probe(self, numbers: Sequence[int]) -> None:
        """Measure lanes that are near their goal on a fixed sample of rows."""
        if self._watch is None or not numbers:
            return
        clock, prefix = Clock(self._device), self._watch.prefix
        with clock:
            measured = {prefix: self._sources[prefix]}
            passes = None if self._watch.rows is None else self._watch.rows.split(self._comparison.eval_chunk)
            rows = self._evaluation.values(
                self._updates.carry, numbers, measured, None if passes is None else lambda _: passes
            )
        for number, values in zip(numbers, rows, strict=True):
            progress = self.lanes[number].progress
            self._watch.probed(progress, values[self._watch.goal.metric])
            progress.measure_seconds += clock.seconds / len(numbers)

    def _keep_snapshots(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            lane = self.lanes[number]
            if is_sketched(self._comparison, lane.trial):
                weights = self._updates.carry[: len(self._programs.blueprint.weights)]
                lane.progress.keep_snapshot(sketch([column[number] for column in weights]))

    def _end(self, numbers: Sequence[int]) -> None:
        """Freeze lanes that have ended, with what is measured at the end alone."""
        finished = [number for number in numbers if self.lanes[number].progress.status == "finished"]
        watch = Clock(self._device)
        try:
            with watch:
                self._complete(numbers)
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

    def _complete(self, numbers: Sequence[int]) -> None:
        """Measure all rows of lanes that have ended, and the test set of those that finished."""
        carry, lanes = self._updates.carry, self.lanes
        ended = [n for n in numbers if lanes[n].progress.status in ("finished", "diverged")]
        left = [number for number in ended if lanes[number].progress.sampled]
        if left:
            sampled = {name: self._regular[name] for name in self._rows.sampled}
            whole = self._evaluation.values(carry, left, sampled)
            for number, values in zip(left, whole, strict=True):
                progress = lanes[number].progress
                progress.count_whole({**progress.sampled, **values, **self._rows.counts(sampled)})
        tested = final_sources(self._sources, lanes[0].trial)
        finished = [number for number in ended if lanes[number].progress.status == "finished"]
        if tested:
            for number, values in zip(
                finished, self._evaluation.values(carry, finished, tested), strict=True
            ):
                lanes[number].progress.tested |= values
        for number in ended:
            lanes[number].last.update(lanes[number].progress.tested)

    def _freeze(self, number: int) -> None:
        self.lanes[number].state = self._state_of(number)
        self.lanes[number].frozen = True

    def _state_of(self, number: int) -> TrialState:
        lane = self.lanes[number]
        state = self._programs.blueprint.state_of(
            self._updates.carry, number, lane.state, lane.progress.updates
        )
        return {**state, "progress": lane.progress.to_state(), "strategy": lane.planner.state()}
