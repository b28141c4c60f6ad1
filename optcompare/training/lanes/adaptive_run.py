"""Train a group of lanes whose strategies receive the statistics of each update before the next batch."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...core.columns import Record
from ...core.comparison import Comparison
from ...errors import USER_CODE_ERRORS
from ...interfaces.strategy import StepStats
from ..data import TensorSource
from ..epoch_end import EpochEnd
from ..loop.adaptive_batches import AdaptiveBatches
from ..measurement.counters import Progress
from ..measurement.evaluation import next_evaluation
from ..state import ProgressState
from .engines.engine import Carry
from .engines.vmapped import flat_rows
from .lane import Lane
from .program_cache import Programs
from .run import LanesRun
from .statistics import StatsPrograms
from .updates import LanesUpdates

if TYPE_CHECKING:
    from torch import Tensor


class AdaptiveUpdates(LanesUpdates):
    """Update lanes once, with statistics; see :class:`.LanesUpdates`."""

    def make_one(self, batches: Mapping[int, Tensor], programs: StatsPrograms) -> dict[int, StepStats]:
        """Make one update of all lanes.

        Args:
            batches: The batch of each running lane by its number, int64[B] each, with equal B.
            programs: The programs that make updates with statistics.

        Returns:
            The statistics of each of these lanes by its number.
        """
        first = next(iter(batches))
        done, size = self._lanes[first].progress.updates, len(batches[first])
        index = torch.stack([batches.get(place, batches[first]) for place in self._places]).to(self._device)
        factors = self._factors(done, 1, size)
        blueprint = self._programs.blueprint
        rates = blueprint.rates(self._numbers, done, 1, factors, self._seeds)
        left = self._lanes[first].progress.epochs_left(self._budget, -(-self._n // size), self._n)
        self.carry, stats = programs.run(self.carry, rates, index, left * (self._n // size))
        follow = self._programs.follow
        self._count(1, size, flat_rows(self.carry[:follow])[None] if follow else None, programs.engine)
        rate = dict(zip(blueprint.numbers, self._numbers, strict=True))["0.lr"].tolist()
        for lane, each in zip(rate, stats, strict=True):
            each.lr = lane * (factors[0] if factors else 1.0)
        return {number: stats[number] for number in batches}


class AdaptiveRun(LanesRun):
    """Train lanes that are all at the same update, each with batches of its own strategy.

    Where batch sizes begin to differ within an epoch, all lanes go back to its start, and the fewer ones
    continue on the loop trainer.

    Args:
        comparison: The comparison that the trials belong to.
        sources: The data on the device, by the name of the set.
        programs: The programs without statistics, which name blueprint, width and data.
        with_stats: The programs that make the updates.
        largest: The largest batch that lanes can compute.
        lanes: The trials of the group, each with its own planner.
        numbers: The hyperparameters of each lane that are inputs of the program, by name.
        evaluated: The number of lanes that are evaluated at once.
        records: Records that this task made before its first update.
    """

    _kind = AdaptiveUpdates
    _updates: AdaptiveUpdates

    def __init__(
        self,
        comparison: Comparison,
        sources: Mapping[str, TensorSource],
        programs: Programs,
        with_stats: StatsPrograms,
        largest: int,
        lanes: Sequence[Lane],
        numbers: Sequence[Mapping[str, float]],
        evaluated: int,
        records: Sequence[Record] = (),
    ) -> None:
        super().__init__(comparison, sources, programs, lanes, numbers, evaluated, records)
        self._with_stats, self._largest = with_stats, largest

    @property
    def carry(self) -> Carry:
        """All tensors that updates change, [R, …] each."""
        return self._updates.carry

    @carry.setter
    def carry(self, carry: Carry) -> None:
        self._updates.carry = carry

    def _epoch(self, until: Callable[[], bool]) -> None:
        """Train all running lanes to the end of the epoch, since no strategy can be saved within it."""
        before = _Start.of(self)
        drawing = {
            number: _Drawing(AdaptiveBatches(lane.planner, lane.progress, self._n))
            for number, lane in enumerate(self.lanes)
            if lane.running
        }
        stats: Mapping[int, StepStats | None] = dict.fromkeys(drawing)
        stopped = False
        while not stopped:
            for number in [*drawing]:
                self._draw(drawing, number, stats[number])
            batches = {number: each.batch for number, each in drawing.items() if each.batch is not None}
            if not batches:
                break
            if strayed := self._strayed(drawing):
                for each in drawing.values():
                    each.batches.close()
                before.restore(self)
                for number, why in strayed.items():
                    self.lanes[number].strayed = why
                    self._freeze(number)
                return
            stats = {**stats, **self._train_on(batches)}
            stopped = self._stop()
        if stopped:
            for number in drawing:
                self._interrupt(self.lanes[number])
        ended = [(self.lanes[number], end) for number in [*drawing] if (end := self._end_of(drawing, number))]
        self._close([lane for lane, _ in ended], [end for _, end in ended])

    def _draw(self, drawing: dict[int, _Drawing], number: int, stats: StepStats | None) -> None:
        """Draw the next batch of a lane; there is none if the epoch, the budget or the trial is over."""
        lane, each = self.lanes[number], drawing[number]
        try:
            each.draw(stats)
            progress = lane.progress
            if each.following is None or progress.status != "running":
                each.batch = None
                return
            batch = each.batches.checked(each.following)
            if len(batch) == 0 or not progress.admits(self._budget, len(batch)):
                each.batch = None
                return
            lane.planner.begin(progress)
            each.batches.add(batch)
            each.batch = batch
        except USER_CODE_ERRORS as error:
            del drawing[number]
            self._fail(number, error)

    def _strayed(self, drawing: Mapping[int, _Drawing]) -> dict[int, str]:
        """Return the lanes that must continue on the loop trainer, each with the reason.

        A lane without a batch while others have one counts as one with another size.
        """
        running = {number: each.batch for number, each in drawing.items() if self.lanes[number].running}
        sizes = {number: 0 if batch is None else len(batch) for number, batch in running.items()}
        if max(sizes.values()) > self._largest:
            why = f"its batches have become larger than the {self._largest} samples that lanes can compute"
            return dict.fromkeys(sizes, why)
        ((most, lanes),) = Counter(sizes.values()).most_common(1)
        epoch = self.lanes[next(iter(sizes))].progress.epoch
        why = f"its batches have other sizes than the other lanes' from epoch {epoch} on"
        return {number: why for number, size in sizes.items() if size != most or lanes == 1 < len(sizes)}

    def _train_on(self, batches: Mapping[int, Tensor]) -> dict[int, StepStats]:
        """Make one update of all lanes, and measure them if an evaluation point is reached."""
        lead = self.lanes[next(iter(batches))].progress
        evaluation = next_evaluation(lead.samples, self._n, self._comparison.measure)
        point = self.measurement.next_point(evaluation)
        stats = self._updates.make_one(batches, self._with_stats)
        if evaluation is not None and lead.samples >= evaluation:
            self._end(self.measurement.measure(self._updates.evaluated()))
        elif point is not None and lead.samples >= point:
            self.measurement.probe(self._updates.evaluated())
        return stats

    def _end_of(self, drawing: dict[int, _Drawing], number: int) -> EpochEnd | None:
        """End the epoch of a lane; return None if its strategy broke the contract."""
        each = drawing[number]
        try:
            return each.batches.end(each.following)
        except USER_CODE_ERRORS as error:
            self._fail(number, error)
            return None

    def _interrupt(self, lane: Lane) -> None:
        if lane.progress.status == "running":
            lane.progress.status, lane.progress.reason = "interrupted", "stopped within an epoch"


@dataclass
class _Drawing:
    """Hold the batches of one lane's epoch.

    Attributes:
        batches: The batches.
        following: What the strategy yielded last; None if it yields no more.
        batch: The checked batch of the next update; None if there is none.
    """

    batches: AdaptiveBatches
    following: Tensor | None = None
    batch: Tensor | None = None

    def draw(self, stats: StepStats | None) -> None:
        if self.batch is not None or stats is None:
            self.following = self.batches.draw(stats)


@dataclass(frozen=True)
class _Start:
    """Hold a run as it was at the start of an epoch.

    Attributes:
        carry: The carry of all lanes.
        records: The number of records.
        lanes: The running lanes, each with its counters, its strategy's state and its last record.
    """

    carry: Carry
    records: int
    lanes: Sequence[tuple[Lane, ProgressState, dict[str, Any], Record]]

    @classmethod
    def of(cls, run: AdaptiveRun) -> _Start:
        lanes = [
            (lane, copy.deepcopy(lane.progress.to_state()), lane.planner.state(), lane.last)
            for lane in run.lanes
            if lane.running
        ]
        return cls(run.carry, len(run.measurement.records), lanes)

    def restore(self, run: AdaptiveRun) -> None:
        """Bring the run back to this start, as if the epoch had not begun."""
        run.carry = self.carry
        del run.measurement.records[self.records :]
        for lane, progress, strategy, last in self.lanes:
            lane.progress, lane.last, lane.frozen = Progress(**progress), last, False
            lane.planner.load(strategy)
