"""Measure a group of lanes along its training: records, probes near a goal, and ends of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.columns import Record
from ...core.comparison import Comparison
from ..data import TensorSource
from ..device import Clock
from ..measurement.evaluation import empty_test_columns, final_sources, passes_of, regular_sources
from ..measurement.evaluation_rows import EvaluationRows
from ..measurement.goal_watch import GoalWatch
from ..measurement.projection import is_sketched, sketch
from ..measurement.record import record_of
from .engines.engine import Carry
from .evaluation import LanesEvaluation
from .lane import Lane, running
from .program import Blueprint

if TYPE_CHECKING:
    from torch import Tensor


class LanesMeasurement:
    """Measure lanes as the loop trainer measures each trial alone.

    Args:
        comparison: The comparison that the trials belong to.
        sources: The data on the device, by the name of the set.
        blueprint: The blueprint of the program.
        lanes: The trials of the group.
        evaluated: The number of lanes that are evaluated at once.
        records: Records that this task made before its first update.

    Attributes:
        records: The records of the current task.
    """

    def __init__(
        self,
        comparison: Comparison,
        sources: Mapping[str, TensorSource],
        blueprint: Blueprint,
        lanes: Sequence[Lane],
        evaluated: int,
        records: Sequence[Record] = (),
    ) -> None:
        self.records = list(records)
        self._comparison, self._sources, self._blueprint, self._lanes = comparison, sources, blueprint, lanes
        self._n, self._device = sources["train"].n, sources["train"].tensors[0].device
        self._regular = regular_sources(sources)
        self._rows = EvaluationRows.of(comparison, self._regular, comparison.split_of(lanes[0].trial.seed))
        self._watch = GoalWatch.of(comparison, blueprint.workload, sources)
        self._evaluation = LanesEvaluation(comparison, blueprint, sources, evaluated)

    def next_point(self, evaluation: int | None) -> int | None:
        """Return the number of samples at which a lane is measured next; None: there is none.

        Args:
            evaluation: The next evaluation point; None: there is none.
        """
        if self._watch is None:
            return evaluation
        stops = (self._watch.next_stop(lane.progress, evaluation) for lane in running(self._lanes))
        return min((stop for stop in stops if stop is not None), default=None)

    def measure(self, carry: Carry) -> list[int]:
        """Append a record of every running lane.

        Args:
            carry: Weights, kept values and slots of all lanes.

        Returns:
            The numbers of the lanes that have diverged or reached their goal.
        """
        watch = Clock(self._device)
        numbers = [number for number, lane in enumerate(self._lanes) if lane.running]
        if self._watch is not None:
            self._probe(
                carry,
                [number for number in numbers if self._watch.to_be_probed(self._lanes[number].progress)],
            )
        with watch:
            measured = self._values(carry, numbers)
            self._keep_snapshots(carry, numbers)
        for number, values in zip(numbers, measured, strict=True):
            progress = self._lanes[number].progress
            goal = (
                self._watch.evaluated(progress, values) if self._watch else self._comparison.ends_at(values)
            )
            lane = self._lanes[number]
            lane.progress.count_measurement(values, watch.seconds / len(numbers), goal)
            values = {
                **values,
                **empty_test_columns(
                    self._blueprint.workload, self._sources, raw=self._comparison.recalibrate
                ),
            }
            lane.last = record_of(
                self._comparison, lane.trial, lane.progress, self._n, values, clock="estimated"
            )
            self.records.append(lane.last)
        return [number for number in numbers if self._lanes[number].progress.status != "running"]

    def probe(self, carry: Carry) -> None:
        """Measure lanes that are near their goal, between evaluation points.

        Args:
            carry: Weights, kept values and slots of all lanes.
        """
        lanes = enumerate(self._lanes)
        self._probe(carry, [i for i, lane in lanes if lane.running and GoalWatch.near(lane.progress)])

    def _probe(self, carry: Carry, numbers: Sequence[int]) -> None:
        """Measure lanes on the fixed sample of rows of their goal."""
        if self._watch is None or not numbers:
            return
        clock, name = Clock(self._device), self._watch.goal.data
        with clock:
            passes = partial(self._passes, rows=self._watch.rows)
            rows = self._evaluation.values(carry, numbers, {name: self._sources[name]}, passes)
        for number, values in zip(numbers, rows, strict=True):
            progress = self._lanes[number].progress
            self._watch.probed(progress, values[self._watch.goal.metric])
            progress.measure_seconds += clock.seconds / len(numbers)

    def complete(self, carry: Carry, numbers: Sequence[int]) -> None:
        """Measure all rows of lanes that have ended, and the test set of those that finished.

        Args:
            carry: Weights, kept values and slots of all lanes.
            numbers: The numbers of the lanes.
        """
        lanes = self._lanes
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

    def _values(self, carry: Carry, numbers: Sequence[int]) -> list[dict[str, float]]:
        """Return losses, metrics and numbers of rows of lanes, as a trial alone measures them."""
        rows = self._rows
        progress = [self._lanes[number].progress for number in numbers]
        if not rows.sampled:
            counts = rows.counts(self._regular)
            return [{**counts, **one} for one in self._evaluation.values(carry, numbers, self._regular)]
        parts = [rows.part_values(one) for one in progress]
        sampled = self._evaluation.values(
            carry, numbers, self._regular, partial(self._passes, rows=rows), parts
        )
        values = [{**rows.counts(), **one} for one in sampled]
        needed = [
            rows.needing_all(own, part, one, self._watch)
            for own, part, one in zip(values, parts, progress, strict=True)
        ]
        for name in rows.sampled:
            places = [place for place, names in enumerate(needed) if name in names]
            lanes = [numbers[place] for place in places]
            whole = self._evaluation.values(carry, lanes, {name: self._regular[name]})
            for place, own in zip(places, whole, strict=True):
                values[place] |= {**rows.counts([name]), **own}
        for one, own in zip(progress, values, strict=True):
            rows.note_goal(one, own, self._watch)
            one.sampled = own if rows.not_whole(own) else {}
        return values

    def _passes(self, name: str, rows: EvaluationRows | None) -> Sequence[Tensor]:
        return passes_of(name, self._sources[name], self._comparison.eval_chunk, rows)

    def _keep_snapshots(self, carry: Carry, numbers: Sequence[int]) -> None:
        for number in numbers:
            lane = self._lanes[number]
            if is_sketched(self._comparison, lane.trial):
                weights = carry[: len(self._blueprint.weights)]
                lane.progress.keep_snapshot(sketch([column[number] for column in weights]))
