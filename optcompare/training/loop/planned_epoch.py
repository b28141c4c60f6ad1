"""Train epochs of strategies that plan all batches ahead."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...errors import ComparisonError
from ..epoch_end import EpochEnd
from ..position import POSITION
from .gradient import in_chunks
from .trial import TrialRun


class PlannedEpoch:
    """Train one epoch of a trial, or the rest of it that an earlier task left.

    If an update evaluates its batch several times, each evaluation counts its samples, and each pass over all
    samples counts as an epoch.
    """

    def __init__(self, run: TrialRun) -> None:
        self._run, self._done = run, 0
        self._before = run.planner.state() if run.planner.stateful else {}
        with run.clock:
            self._plan = run.planner.plan(run.progress)
        self._evaluations, self._ends = 1, self._plan.ends
        if run.takes_closure:
            run.warm_up_once(self._plan.batches[0][: run.trial.arm.chunk])
            self._evaluations = run.evaluations
            self._ends = [self._evaluations * end for end in self._plan.ends]
        self._begun = run.progress.samples - (
            self._ends[run.progress.position - 1] if run.progress.position else 0
        )

    def train(self, until: Callable[[], bool]) -> None:
        """Train until the epoch or the budget ends, or a function stops it.

        Args:
            until: Called after each update; True ends the task.
        """
        run, plan, begun, progress = self._run, self._plan, self._begun, self._run.progress
        allowed = progress.allowed(run.budget, self._ends, run.source.n if run.takes_closure else 0)
        pieces, chunks = in_chunks(
            plan.batches[progress.position : allowed], max(plan.sizes), run.trial.arm, run.model
        )
        stream = (
            iter(pieces) if run.takes_closure else run.source.stream(pieces, run.trial.seed, progress.epoch)
        )
        run.begin_epoch(pieces[:1])
        offset, cut = progress.position, False
        while progress.position < allowed and progress.status == "running" and not cut:
            point = run.measurement.next_point()
            stop = allowed if point is None else min(allowed, bisect_left(self._ends, point - begun) + 1)
            stop = self._before_last(progress.position + 1 if run.measurement.follows else stop)
            begun_at, self._done = progress.position, 0
            try:
                with run.clock:
                    begins = [begun, *(begun + end for end in self._ends)] if run.schedule else []
                    each = chunks[progress.position - offset : stop - offset]
                    update = self._closure_updates if run.takes_closure else self._updates
                    update(stream, each, begins[progress.position : stop], until)
            finally:
                if self._done:
                    last = begun_at + self._done - 1
                    samples = begun + self._ends[last] - progress.samples
                    progress.count_updates(self._done, samples, plan.sizes[last], run.clock.seconds)
            run.measurement.after_updates(point)
            cut = until() or progress.reached(run.budget)
        end = EpochEnd.of(progress, len(self._ends), allowed)
        end.leave(progress, run.planner, plan, run.budget, self._before)
        if self._evaluations > 1 and (end.complete or end.spent):
            self._count_passes(end.complete)
        run.end_epoch(end)

    def _count_passes(self, complete: bool) -> None:
        """Count the passes over all samples that several evaluations made, except the last one.

        The end of the epoch counts the last one.
        """
        run, progress = self._run, self._run.progress
        for _ in range(progress.samples // run.source.n - progress.epoch - complete):
            progress.end_epoch()
            if complete:
                run.planner.begin(progress)
                progress.checked = max(progress.checked, progress.epoch + 1)

    def _before_last(self, stop: int) -> int:
        """Return the position to stop at, so that the last update before a diagnosis is made alone.

        Its weights and batch are kept for the diagnosis.
        """
        run, plan, position = self._run, self._plan, self._run.progress.position
        diagnosing = run.measurement.diagnosing
        timed = run.budget.unit == "seconds"
        if not (diagnosing.active and (timed or diagnosing.due(self._begun + self._ends[stop - 1]))):
            return stop
        if stop - position > 1 and not timed:
            return stop - 1
        run.measurement.keep_update(plan.batches[position])
        return position + 1

    def _closure_updates(
        self, pieces: Iterator[Any], chunks: Iterable[int], begins: Sequence[int], until: Callable[[], bool]
    ) -> None:
        """Make updates as :meth:`_updates` does, with an optimizer that evaluates the gradient itself."""
        run = self._run
        updates = run.progress.updates
        limit = run.budget.amount if run.budget.unit == "seconds" else math.inf
        for count in chunks:
            POSITION.set(run.progress.epoch, updates + self._done, run.progress.position + self._done)
            run.set_rate(updates + self._done, begins[self._done] if begins else 0)
            passes = run.passes([next(pieces) for _ in range(count)], count)
            run.step_with(passes)
            if passes.calls != self._evaluations:
                raise ComparisonError(
                    f"optimizer {run.trial.arm.optimizer.label} evaluated loss and gradient {passes.calls} "
                    f"times in update {updates + self._done + 1}, and {self._evaluations} times in its "
                    "first; one that chooses how often needs all samples in each update: give "
                    f"full@{run.trial.arm.optimizer.label}"
                )
            self._done += 1
            if until() or (limit < math.inf and run.clock.running() >= limit):
                break

    def _updates(
        self, stream: Iterator[Any], chunks: Iterable[int], begins: Sequence[int], until: Callable[[], bool]
    ) -> None:
        """Make one update for each number in ``chunks``, of that many forward passes.

        This is the hot loop.

        Args:
            stream: Batches of all forward passes.
            chunks: Forward passes of each update.
            begins: Samples of the trial before each update; empty without a schedule.
            until: Called after each update; True ends the updates.
        """
        run = self._run
        gradient, step, clock = run.gradient, run.step, run.clock
        limit = run.budget.amount if run.budget.unit == "seconds" else math.inf
        scheduled, clips, updates = run.schedule is not None, run.clip is not None, run.progress.updates
        epoch, position = run.progress.epoch, run.progress.position
        for count in chunks:
            POSITION.set(epoch, updates + self._done, position + self._done)
            if scheduled:
                run.set_rate(updates + self._done, begins[self._done])
            gradient(stream, count)
            if clips:
                run.clip_gradient()
            step()
            self._done += 1
            if until() or (limit < math.inf and clock.running() >= limit):
                break
