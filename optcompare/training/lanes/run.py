"""A group of lanes under way: many trials of the same batch sizes, trained side by side and measured
together.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Comparison, Trial
from ...core.schedule import depends_on_budget, schedule_of
from ...errors import USER_CODE_ERRORS
from ..data import Source, TensorSource
from ..device import Clock
from ..loop.batch_plan import Plan
from ..loop.planner import Planner
from ..loop.trainer import why
from ..loop.trial import State
from ..measurement.counters import Progress
from ..measurement.evaluation import along_the_way, at_the_end, next_mark, not_yet
from ..measurement.goal_watch import GoalWatch
from ..measurement.projection import is_sketched, sketch
from ..measurement.recalibration import Sample
from ..measurement.record import Record, record_of
from ..shared_init import fingerprint
from .families import columns
from .program import Carry
from .program_cache import Programs

if TYPE_CHECKING:
    from torch import Tensor

_CALL_SECONDS = 0.25
_MOST_INDICES = 2**22


@dataclass(eq=False)
class Lane:
    """``state``: as the loop trainer would leave it, when the lane was last stopped; ``pace``: seconds of one
    update in the loop; ``strayed``: why it cannot stay beside the others; ``frozen``: ``state`` is its last,
    whatever else goes on;
    ``last``: its last record of this task.
    """

    trial: Trial
    planner: Planner
    progress: Progress
    state: State
    pace: float
    follows: bool = False
    strayed: str = ""
    frozen: bool = False
    last: Record = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.progress.status == "running" and not self.strayed


class LanesRun:
    """Lanes, all at the same update; those that ended keep their places, and what is computed there is
    ignored.
    """

    def __init__(
        self,
        comparison: Comparison,
        sources: Mapping[str, TensorSource],
        programs: Programs,
        lanes: Sequence[Lane],
        numbers: Sequence[Mapping[str, float]],
        evaluated: int,
    ) -> None:
        self.lanes, self.records = lanes, list[Record]()
        self._comparison, self._sources, self._programs = comparison, sources, programs
        self._budget, self._n = comparison.budget, sources["train"].n
        self._device = sources["train"].tensors[0].device
        places = [number % len(lanes) for number in range(programs.width)]
        self._places, self._evaluated = places, evaluated
        self._watch = GoalWatch.of(comparison, programs.blueprint.workload, sources)
        self._sample = Sample.of(self._n, comparison.eval_chunk) if comparison.recalibrate else None
        self._carry = programs.blueprint.stack([lanes[place].state for place in places])
        self._numbers = columns(
            [numbers[place] for place in places], programs.blueprint.numbers, self._device
        )
        schedule = lanes[0].trial.arm.schedule
        self._schedule = schedule_of(schedule) if depends_on_budget(schedule) else None
        self._update_seconds = max(lane.pace for lane in lanes) * len(lanes)

    def state(self) -> State:
        """Every lane's state as the loop trainer has it; it shares no memory with this run."""
        for number, lane in enumerate(self.lanes):
            if not lane.frozen:
                lane.state = self._state_of(number)
        return {
            "lanes": [lane.state for lane in self.lanes],
            "strayed": {str(number): lane.strayed for number, lane in enumerate(self.lanes) if lane.strayed},
        }

    def train(self, until: Callable[[], bool]) -> None:
        """Epoch after epoch until all lanes have ended or ``until`` says so, which is asked about every
        quarter second.
        """
        while self._running():
            self._epoch(until)
            if until():
                break

    def _running(self) -> list[Lane]:
        return [lane for lane in self.lanes if lane.running]

    def _epoch(self, until: Callable[[], bool]) -> None:
        before = {id(lane.planner): lane.planner.state() for lane in self._running()}
        plans = self._plans(before)
        if not plans:
            return
        lead = self._running()[0]
        progress, plan = lead.progress, plans[id(lead.planner)]
        begun = progress.samples - (plan.ends[progress.position - 1] if progress.position else 0)
        allowed = progress.allowed(self._budget, plan.ends)
        lanes, cut = self._running(), False
        for lane in lanes if progress.position < allowed else ():
            lane.planner.begin(lane.progress)
        while progress.position < allowed and self._running() and not cut:
            progress = self._running()[0].progress
            mark = next_mark(progress.samples, self._n, self._comparison.measure)
            next_stop = self._next_stop(mark)
            stop = (
                allowed if next_stop is None else min(allowed, bisect_left(plan.ends, next_stop - begun) + 1)
            )
            cut = self._updates(plans, plan, stop, until)
            if mark is not None and progress.samples >= mark:
                self._measure()
            elif next_stop is not None and progress.samples >= next_stop:
                self._probe(
                    [i for i, lane in enumerate(self.lanes) if lane.running and GoalWatch.near(lane.progress)]
                )
            cut = cut or until() or progress.reached(self._budget)
        self._leave(lanes, plans, allowed, before)

    def _next_stop(self, mark: int | None) -> int | None:
        """The samples at which some lane is measured next."""
        if self._watch is None:
            return mark
        stops = (self._watch.next_stop(lane.progress, mark) for lane in self._running())
        return min((stop for stop in stops if stop is not None), default=None)

    def _plans(self, before: Mapping[int, Any]) -> dict[int, Plan]:
        """Every strategy's plan of this epoch; lanes whose batches have other sizes stray."""
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

    def _updates(self, plans: Mapping[int, Plan], plan: Plan, stop: int, until: Callable[[], bool]) -> bool:
        """Updates up to ``stop``; returns whether ``until`` ended them before."""
        places = [plans.get(id(self.lanes[place].planner), plan) for place in self._places]
        position = self._running()[0].progress.position
        for size, group in groupby(plan.sizes[position:stop]):
            rest = len(list(group))
            program = self._programs.at(size, self._expected(plan, size), self._carry)
            while rest:
                began = time.perf_counter()
                most = max(
                    1, min(int(_CALL_SECONDS / self._update_seconds), _MOST_INDICES // (size * len(places)))
                )
                count, made = min(rest, most), self._running()[0].progress.updates
                first = plan.ends[position] - size
                index = torch.stack(
                    [each.flat[first : first + count * size].reshape(count, size) for each in places], dim=1
                ).to(self._device)
                rates = self._programs.blueprint.rates(
                    self._numbers, made, count, self._factors(made, count, size)
                )
                carry, trail = program.run(self._carry, rates, self._programs.data, index)
                self._made(count, size, trail)
                self._carry = carry
                self._update_seconds = (time.perf_counter() - began) / count
                position, rest = position + count, rest - count
                if position < stop and until():
                    return True
        return False

    def _factors(self, made: int, count: int, size: int) -> list[float]:
        """What the rates of the next ``count`` updates of so many samples each are multiplied by; [] for
        nothing.
        """
        if self._schedule is None:
            return []
        samples = self._running()[0].progress.samples
        shares = [self._budget.share(made + i, samples + i * size, self._n) for i in range(count)]
        return [self._schedule(share) for share in shares]

    def _made(self, count: int, size: int, trail: Tensor | None) -> None:
        for number, lane in enumerate(self.lanes):
            if not lane.running:
                continue
            if lane.follows and trail is not None:
                for update, point in enumerate(trail[:, number].tolist(), lane.progress.updates + 1):
                    lane.progress.follow(update, point)
            seconds = (lane.progress.updates + count) * lane.pace
            lane.progress.made(count, count * size, size, seconds)

    def _expected(self, plan: Plan, size: int) -> float:
        """Updates at this batch size that are still to come, if the epochs to come are like this one."""
        left = self._running()[0].progress.epochs_left(self._budget, len(plan.sizes), self._n)
        return plan.sizes.count(size) * left

    def _leave(
        self, lanes: Sequence[Lane], plans: Mapping[int, Plan], allowed: int, before: Mapping[int, Any]
    ) -> None:
        """Closes the epoch, or leaves it where it was cut."""
        spent = list[Lane]()
        for lane in lanes:
            progress, plan = lane.progress, plans[id(lane.planner)]
            complete = progress.position == len(plan.ends)
            over = not complete and progress.position == allowed
            if not progress.leave(plan, complete or over or progress.reached(self._budget)):
                lane.planner.load(before[id(lane.planner)])
            if complete:
                progress.end_epoch()
            if lane.running and (over or progress.reached(self._budget)):
                spent.append(lane)
        if any(lane.progress.measured_at < lane.progress.updates for lane in spent):
            self._measure()
        for lane in spent:
            if lane.progress.status == "running":
                lane.progress.status = "finished"
        for lane in lanes:
            if lane.frozen:
                lane.state["progress"] = lane.progress.to_state()  # its batches have been fingerprinted since
        ended = [lane for lane in lanes if lane.progress.status == "finished" and not lane.frozen]
        self._end([number for number, lane in enumerate(self.lanes) if lane in ended])

    def _measure(self) -> None:
        """A record of every running lane.

        Those that diverged, or reached the goal they stop at, are frozen as they are.
        """
        watch = Clock(self._device)
        running = [number for number, lane in enumerate(self.lanes) if lane.running]
        if self._watch is not None:
            self._probe(
                [number for number in running if self._watch.to_be_probed(self.lanes[number].progress)]
            )
        with watch:
            rows = self._evaluate(running, along_the_way(self._sources))
            self._keep_snapshots(running)
        for number, values in zip(running, rows, strict=True):
            progress = self.lanes[number].progress
            goal = (
                self._watch.evaluated(progress, values) if self._watch else self._comparison.ends_at(values)
            )
            lane = self.lanes[number]
            lane.progress.measured(values, watch.seconds / len(running), goal)
            values = {
                **values,
                **not_yet(self._programs.blueprint.workload, self._sources, raw=self._sample is not None),
            }
            lane.last = record_of(
                self._comparison, lane.trial, lane.progress, self._n, values, clock="estimated"
            )
            self.records.append(lane.last)
        self._end([number for number in running if self.lanes[number].progress.status != "running"])

    def _probe(self, numbers: Sequence[int]) -> None:
        """What the stated rows give, of lanes near their goal."""
        if self._watch is None or not numbers:
            return
        clock, prefix = Clock(self._device), self._watch.prefix
        with clock:
            rows = self._evaluate(numbers, {prefix: self._sources[prefix]}, self._watch.rows)
        for number, values in zip(numbers, rows, strict=True):
            progress = self.lanes[number].progress
            self._watch.probed(progress, values[self._watch.goal.metric])
            progress.measure_seconds += clock.seconds / len(numbers)

    def _keep_snapshots(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            lane = self.lanes[number]
            if is_sketched(self._comparison, lane.trial):
                weights = self._carry[: len(self._programs.blueprint.weights)]
                lane.progress.keep_snapshot(sketch([column[number] for column in weights]))

    def _evaluate(
        self, numbers: Sequence[int], sources: Mapping[str, Source], indices: Tensor | None = None
    ) -> list[dict[str, float]]:
        """What a trial of the loop measures, for these lanes, some at a time so that they fit into memory.

        ``indices``: rows of each source; None: all.
        """
        found, blueprint = list[dict[str, float]](), self._programs.blueprint
        for first in range(0, len(numbers), self._evaluated):
            block = list(numbers[first : first + self._evaluated])
            values = [column[block] for column in self._carry[: len(blueprint.weights) + len(blueprint.kept)]]
            measured = self._averages(values, sources, indices)
            if self._sample is not None:
                raw, sampled = measured, self._sources["train"].stream(self._sample.indices(), 0, 0)
                measured = self._averages(blueprint.recalibrated(values, sampled), sources, indices)
                measured |= {f"raw_{name}": column for name, column in raw.items()}
            found += [{name: column[lane] for name, column in measured.items()} for lane in range(len(block))]
        return found

    def _averages(
        self, values: Carry, sources: Mapping[str, Source], indices: Tensor | None
    ) -> dict[str, list[float]]:
        """Losses and metrics of these weights and kept values, of each lane."""
        blueprint, lanes, found = self._programs.blueprint, len(values[0]), dict[str, list[float]]()
        names = ["loss", *blueprint.workload.metrics]
        for prefix, source in sources.items():
            totals = torch.zeros(2, len(names), lanes, dtype=torch.float64, device=self._device)
            chosen = torch.arange(source.n) if indices is None else indices
            for rows in chosen.split(self._comparison.eval_chunk):
                (batch,) = source.stream([rows], 0, 0)
                weight = blueprint.workload.weigh(batch)
                loss, *metrics = [value.double() for value in blueprint.evaluate(values, batch)]
                totals[0, 0] += loss * weight
                totals[1, 0] += weight
                for place, (value, share) in enumerate(zip(metrics[::2], metrics[1::2], strict=True), 1):
                    totals[0, place] += value
                    totals[1, place] += share
            averages = (totals[0] / totals[1]).tolist()
            found |= {f"{prefix}_{name}": column for name, column in zip(names, averages, strict=True)}
        return found

    def _end(self, numbers: Sequence[int]) -> None:
        """Freezes lanes that have ended; those that finished are measured on the test set, if there is
        one.
        """
        finished = [number for number in numbers if self.lanes[number].progress.status == "finished"]
        tested = at_the_end(self._sources, self.lanes[0].trial)
        watch = Clock(self._device)
        try:
            with watch:
                rows = self._evaluate(finished, tested) if tested else []
        except (*USER_CODE_ERRORS, KeyboardInterrupt):
            for number in finished:  # they have not ended
                self.lanes[number].progress.status = "running"
            raise
        for number, values in zip(finished, rows, strict=False):
            lane = self.lanes[number]
            lane.progress.tested = values
            lane.progress.measure_seconds += watch.seconds / len(finished)
            lane.last.update(values)
        for number in numbers:
            lane = self.lanes[number]
            self._freeze(number)
            lane.progress.final_sha256 = fingerprint(lane.state["model"])
            lane.state["progress"] = lane.progress.to_state()

    def _freeze(self, number: int) -> None:
        self.lanes[number].state = self._state_of(number)
        self.lanes[number].frozen = True

    def _state_of(self, number: int) -> State:
        lane = self.lanes[number]
        state = self._programs.blueprint.state_of(self._carry, number, lane.state, lane.progress.updates)
        return {**state, "progress": lane.progress.to_state(), "strategy": lane.planner.state()}
