"""Epochs of strategies that say all batches ahead: planned, checked, then trained on without asking
anyone.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...errors import ComparisonError
from ..now import NOW
from .gradient import in_chunks, mean_gradient
from .trial import TrialRun


class PlannedEpoch:
    """One epoch of a trial, or what of it an earlier task has left, planned but not yet trained on.

    Where an update evaluates its batch several times, each evaluation counts its samples, and the passes over
    all of them count as epochs.
    """

    def __init__(self, run: TrialRun) -> None:
        self._run, self._made = run, 0
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
        """Until its end, that of the budget, or ``until``, which is asked after each update, says so."""
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
            mark = run.next_mark()
            stop = allowed if mark is None else min(allowed, bisect_left(self._ends, mark - begun) + 1)
            stop = self._before_last(progress.position + 1 if run.follows else stop)
            before_them, self._made = progress.position, 0
            try:
                with run.clock:
                    begins = [begun, *(begun + end for end in self._ends)] if run.schedule else []
                    each = chunks[progress.position - offset : stop - offset]
                    update = self._closure_updates if run.takes_closure else self._updates
                    update(stream, each, begins[progress.position : stop], until)
            finally:
                if self._made:
                    end = before_them + self._made - 1
                    samples = begun + self._ends[end] - progress.samples
                    progress.made(self._made, samples, plan.sizes[end], run.clock.seconds)
            run.after_updates(mark)
            cut = until() or progress.reached(run.budget)
        complete = progress.position == len(self._ends)
        spent = not complete and progress.position == allowed
        if not progress.leave(plan, complete or spent or progress.reached(run.budget)):
            run.planner.load(self._before)  # this epoch will be planned again, from the same strategy
        if self._evaluations > 1 and (complete or spent):
            self._count_passes(complete)
        run.end_epoch(complete, spent)

    def _count_passes(self, complete: bool) -> None:
        """Counts the passes over all samples that several evaluations of each made, but for one that the
        epoch's end counts.
        """
        run, progress = self._run, self._run.progress
        for _ in range(progress.samples // run.source.n - progress.epoch - complete):
            progress.end_epoch()
            if complete:
                run.planner.begin(progress)
                progress.checked = max(progress.checked, progress.epoch + 1)

    def _before_last(self, stop: int) -> int:
        """``stop``, or an update earlier: the last one before a diagnosis is made alone, and what it starts
        from is kept.
        """
        run, plan, position = self._run, self._plan, self._run.progress.position
        timed = run.budget.unit == "seconds"
        if not (run.diagnosing.active and (timed or run.diagnosing.due(self._begun + self._ends[stop - 1]))):
            return stop
        if stop - position > 1 and not timed:
            return stop - 1
        run.keep(plan.batches[position])
        return position + 1

    def _closure_updates(
        self, pieces: Iterator[Any], chunks: Iterable[int], begins: Sequence[int], until: Callable[[], bool]
    ) -> None:
        """The same as :meth:`_updates`, by an optimizer that evaluates loss and gradient itself; of
        indices.
        """
        run = self._run
        updates = run.progress.updates
        limit = run.budget.amount if run.budget.unit == "seconds" else math.inf
        for count in chunks:
            NOW.at(run.progress.epoch, updates + self._made, run.progress.position + self._made)
            run.set_rate(updates + self._made, begins[self._made] if begins else 0)
            passes = run.passes([next(pieces) for _ in range(count)], count)
            run.step_with(passes)
            if passes.made != self._evaluations:
                raise ComparisonError(
                    f"optimizer {run.trial.arm.optimizer.label} evaluated loss and gradient {passes.made} "
                    "times in update "
                    f"{updates + self._made + 1}, and {self._evaluations} times in its first; one that "
                    "chooses how often needs "
                    f"all samples in each update: give full@{run.trial.arm.optimizer.label}"
                )
            self._made += 1
            if until() or (limit < math.inf and run.clock.running() >= limit):
                break

    def _updates(
        self, stream: Iterator[Any], chunks: Iterable[int], begins: Sequence[int], until: Callable[[], bool]
    ) -> None:
        """One update for each number in ``chunks``, of that many forward passes; the hot loop.

        ``begins``: the samples of the trial before each, where a schedule asks for them.
        """
        run = self._run
        workload, model, weights, step, clock = run.workload, run.model, run.weights, run.step, run.clock
        limit = run.budget.amount if run.budget.unit == "seconds" else math.inf
        scheduled, clips, updates = run.schedule is not None, run.clip is not None, run.progress.updates
        epoch, position = run.progress.epoch, run.progress.position
        for count in chunks:
            NOW.at(epoch, updates + self._made, position + self._made)
            if scheduled:
                run.set_rate(updates + self._made, begins[self._made])
            mean_gradient(workload, model, weights, stream, count)
            if clips:
                run.clip_gradient()
            step()
            self._made += 1
            if until() or (limit < math.inf and clock.running() >= limit):
                break
