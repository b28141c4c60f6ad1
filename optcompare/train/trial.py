"""One trial under way: its model, optimizer, strategy, counters and clock, driven epoch by epoch."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..comparison import Trial
from ..errors import ComparisonError, explain
from ..optimizer import bare_step, build, has_modes, judged, load_state, takes_closure
from ..schedule import depends_on_budget, schedule_of
from ..seeds import TRAINING, preserved_rng, rng_state, seed_everything, sequence, set_rng_state
from ..start import SharedStart, fingerprint
from ..strategy import StepStats
from ..workload import Workload
from .autocast import in_autocast
from .closure import Before, Exceeded, Passes, check_arm, check_whole
from .contender import Setup
from .data import Source
from .device import DTYPES, Clock
from .diagnosing import Diagnosing, sample_norms, trained
from .gradient import in_chunks, mean_gradient
from .measure import evaluate, next_mark
from .plan import Plan, check_batch, check_coverage, check_enough, digest, started
from .planner import Planner
from .progress import Progress
from .record import Record, record_of
from .sketch import is_sketched, sketch
from .stats import needs_samples, norms_alone, step_stats

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, Any]


class TrialRun:
    """One trial while it is being advanced."""

    def __init__(
        self, setup: Setup, trial: Trial, sources: Mapping[str, Source], start: SharedStart, state: State | None
    ) -> None:
        comparison = setup.comparison
        self.trial, self.budget = trial, comparison.budget
        self.device, self.records = torch.device(comparison.device), list[Record]()
        self._comparison, self._sources, self.source, self._start = comparison, sources, sources["train"], start
        self._contender = setup.contenders[trial.arm.label]
        self.planner = Planner(self._contender.strategy, start, trial.seed, trial.arm.label)
        self.strategy = self.planner.strategy
        own = _with_own_loss(setup.workload, self.device, DTYPES[comparison.dtype])
        self.workload = in_autocast(own, self.device, comparison.autocast)
        self.model = self._start.model()
        begun_with = fingerprint(self.model.state_dict()) if state is None else ""
        self.model.to(self.device, DTYPES[comparison.dtype])
        self.optimizer = self._build_optimizer(self.model)
        self.weights = trained(self.model)
        self._step, self._clip = bare_step(self.optimizer), trial.arm.clip
        self.takes_closure = takes_closure(self.optimizer)
        if self.takes_closure:
            check_arm(trial.arm, self.strategy)
        self._schedule = schedule_of(trial.arm.schedule) if depends_on_budget(trial.arm.schedule) else None
        self._rates = [group["lr"] for group in self.optimizer.param_groups]  # a state's are those of its last update
        self._stateful = bool(self.strategy.state())
        self._made = 0
        self._warm = False
        self._diagnosing = Diagnosing(setup, trial, self.workload, self.model, self.source)
        needs = self.strategy.needs if self.strategy.adaptive else ()
        self._norms = sample_norms(self.workload, self.model, setup.workload.train) if norms_alone(needs) else None
        if state is None:
            self.progress = Progress(weights_sha256=begun_with)
            seed_everything(sequence(TRAINING, trial.seed))
        else:
            self.progress = Progress(**copy.deepcopy(state["progress"]))
            self.model.load_state_dict(state["model"])
            for name, buffer in self.model.named_buffers():
                buffer.copy_(state["buffers"][name])
            if "trained" in state:
                self._put_weights(state["trained"])
            load_state(self.optimizer, copy.deepcopy(state["optimizer"]))
            self.planner.load(state["strategy"])
            set_rng_state(state["rng"], self.device)
        self._clock = Clock(self.device, self.progress.train_seconds)
        self._sketched = is_sketched(comparison, trial)
        self.follows = (
            comparison.measure > 0 and trial.seed == comparison.seeds[0] and sum(w.numel() for w in self.weights) == 2
        )

    def go_on(self, state: State) -> None:
        """Begins another task where the last one ended."""
        self.records = []
        set_rng_state(state["rng"], self.device)

    def state(self) -> State:
        """Everything that :meth:`LoopTrainer.advance` needs to go on, sharing no memory with this run.

        "model" is what the trial has reached; where the optimizer trains other weights, "trained" are those.
        """
        modes = has_modes(self.optimizer)
        trained = {"trained": [weight.detach().clone() for weight in self.weights]} if modes else {}
        with judged(self.optimizer, self.weights):
            model = {name: copy.deepcopy(value) for name, value in self.model.state_dict().items()}
        return {
            "progress": self.progress.to_state(),
            "model": model,
            **trained,
            "buffers": {name: value.detach().clone() for name, value in self.model.named_buffers()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "strategy": self.planner.state(),
            "rng": rng_state(self.device),
        }

    def train(self, until: Callable[[], bool], stop: Callable[[], bool]) -> None:
        """Epoch after epoch until the trial has ended or ``until`` says so; see :meth:`LoopTrainer.advance`."""
        if self.progress.measured_at < 0:
            self.begin()
        epoch: Callable[[], None] = partial(self._planned_epoch, until)
        if self.takes_closure:
            epoch = self._closure_epoch
        elif self.strategy.adaptive:
            epoch = partial(self._adaptive_epoch, stop)
        while self.progress.status == "running":
            epoch()
            if until():
                break
        if self.progress.status != "running":
            self.progress.final_sha256 = self._fingerprint()

    def begin(self, values: Mapping[str, float] | None = None) -> None:
        """The record before the first update; ``values``: what another trial of the same seed measured there."""
        self._follow_weights()
        self.measure(values)
        if self.progress.status != "running":
            self.progress.final_sha256 = self._fingerprint()

    def warm_up(self, indices: Tensor) -> None:
        """An update of a throw-away copy."""
        with preserved_rng():
            model = copy.deepcopy(self.model)
            optimizer = self._build_optimizer(model)
            batch = next(self.source.stream([indices], self.trial.seed, self.progress.epoch, ahead=False))
            gradient = partial(mean_gradient, self.workload, model, trained(model), itertools.repeat(batch), 1)
            if not self.takes_closure:
                gradient()
            try:
                bare_step(optimizer)(*([Passes(gradient, model, self.device)] if self.takes_closure else []))
            except Exception as error:
                given = "a closure" if self.takes_closure else "gradients in .grad, and no closure, loss or graph of it"
                name = self.trial.arm.optimizer.label
                raise ComparisonError(f"optimizer {name}: its step() fails, given {given}: {explain(error)}") from error

    def update(self, indices: Tensor) -> None:
        """One update on these samples, outside any epoch: nothing but the update and its samples is counted."""
        pieces, (count,) = in_chunks([indices], len(indices), self.trial.arm, self.model)
        self._set_rate(self.progress.updates, self.progress.samples)
        if self.takes_closure:
            self._step(self._passes(pieces, count))
        else:
            stream = self.source.stream(pieces, self.trial.seed, 0, ahead=False)
            mean_gradient(self.workload, self.model, self.weights, stream, count)
            self._clip_gradient()
            self._step()
        self.progress.updates += 1
        self.progress.samples += len(indices)

    def measure(self, values: Mapping[str, float] | None = None) -> None:
        """Appends a record; ``values``: where the same weights were evaluated before."""
        with judged(self.optimizer, self.weights):
            self._measure(values)

    def _measure(self, values: Mapping[str, float] | None) -> None:
        watch, progress = Clock(self.device), self.progress
        if self._sketched:
            with watch:
                progress.keep_snapshot(sketch(self.weights))
        if values is None:
            with watch:
                values = evaluate(self.workload, self.model, self._sources, self._comparison.eval_chunk)
        if self._diagnosing.columns:
            with watch:
                values = {**values, **self._diagnosed(values)}
        progress.measured(values, watch.seconds, self._comparison.ends_at(values))
        self.records.append(record_of(self._comparison, self.trial, self.progress, self.source.n, values, "measured"))

    def _diagnosed(self, values: Mapping[str, float]) -> dict[str, float]:
        """What diagnostics say; of weights that are not finite, nothing."""
        if not math.isfinite(values["train_loss"]):
            return dict.fromkeys(self._diagnosing.columns, math.nan)
        lr = float(self.optimizer.param_groups[0]["lr"])
        return self._diagnosing.values(self.model, self.progress.updates, self.progress.samples, lr)

    def _before_last(self, stop: int, begun: int, plan: Plan) -> int:
        """``stop``, or an update earlier: the last one before a diagnosis is made alone, and what it starts from is kept."""
        position, timed = self.progress.position, self.budget.unit == "seconds"
        if not (self._diagnosing.active and (timed or self._diagnosing.due(begun + plan.ends[stop - 1]))):
            return stop
        if stop - position > 1 and not timed:
            return stop - 1
        self._keep(plan.batches[position])
        return position + 1

    def _keep(self, batch: Tensor) -> None:
        """Keeps what the next update sets out from, for a diagnosis of it."""
        with judged(self.optimizer, self.weights):
            self._diagnosing.keep(self.progress.updates, self.weights, batch, self.progress.epoch)

    def _planned_epoch(self, until: Callable[[], bool]) -> None:
        progress, before = self.progress, self.planner.state() if self._stateful else {}
        with self._clock:
            plan = self.planner.plan(progress)
        allowed = progress.allowed(self.budget, plan.ends)
        begun = progress.samples - (plan.ends[progress.position - 1] if progress.position else 0)
        pieces, chunks = in_chunks(
            plan.batches[progress.position : allowed], max(plan.sizes), self.trial.arm, self.model
        )
        stream = self.source.stream(pieces, self.trial.seed, progress.epoch)
        self._begin_epoch(pieces[:1])
        offset, cut = progress.position, False
        while progress.position < allowed and progress.status == "running" and not cut:
            mark = self._next_mark()
            stop = allowed if mark is None else min(allowed, bisect_left(plan.ends, mark - begun) + 1)
            stop = self._before_last(progress.position + 1 if self.follows else stop, begun, plan)
            before_them, self._made = progress.position, 0
            try:
                with self._clock:
                    begins = [begun, *(begun + end for end in plan.ends)] if self._schedule else []
                    each = chunks[progress.position - offset : stop - offset]
                    self._updates(stream, each, begins[progress.position : stop], until)
            finally:
                if self._made:
                    end = before_them + self._made - 1
                    samples = begun + plan.ends[end] - progress.samples
                    progress.made(self._made, samples, plan.sizes[end], self._clock.seconds)
            self._after_updates(mark)
            cut = until() or progress.reached(self.budget)
        complete = progress.position == len(plan.ends)
        spent = not complete and progress.position == allowed
        if not progress.leave(plan, complete or spent or progress.reached(self.budget)):
            self.planner.load(before)  # this epoch will be planned again, from the same strategy
        self._end_epoch(complete, spent)

    def _closure_epoch(self) -> None:
        """One update by an optimizer that evaluates all samples as often as it likes; each of these passes is an epoch.

        One that would exceed the budget is undone, to the last bit, and the trial ends.
        """
        progress, n, before = self.progress, self.source.n, self.planner.state()
        with self._clock:
            plan = self.planner.plan(progress)
        check_whole(self.trial.arm, plan.sizes, n)
        pieces, (count,) = in_chunks(plan.batches, n, self.trial.arm, self.model)
        if not self._warm:
            self.warm_up(pieces[0])
            self._warm = True
        if self._diagnosing.active:
            self._keep(plan.batches[0])
        mark, most = self._next_mark(), progress.passes_left(self.budget, n)
        passes, start = (
            self._passes(pieces, count, most),
            Before(self.weights, self.optimizer) if most < math.inf else None,
        )
        try:
            with self._clock:
                self._set_rate(progress.updates, progress.samples)
                self._step(passes)
        except Exceeded:
            assert start is not None
            start.put_back()
            passes.rewind()
            self.planner.load(before)
            progress.checked = progress.epoch
            self._end_epoch(complete=False, spent=True)
            return
        if not passes.made:
            raise ComparisonError(f"optimizer {self.trial.arm.optimizer.label}: its step() did not call the closure")
        progress.made(1, passes.made * n, n, self._clock.seconds)
        progress.leave(plan, over=True)
        for _ in range(passes.made):
            self.planner.begin(progress)
            progress.end_epoch()
        progress.checked = progress.epoch
        self._after_updates(mark)
        self._end_epoch(complete=False, spent=False)

    def _passes(self, pieces: Sequence[Tensor], count: int, most: float = math.inf) -> Passes:
        epoch, seed = self.progress.epoch, self.trial.seed

        def gradient() -> Tensor:
            stream = self.source.stream(pieces, seed, epoch)
            return mean_gradient(self.workload, self.model, self.weights, stream, count)

        return Passes(gradient, self.model, self.device, most)

    def _adaptive_epoch(self, stop: Callable[[], bool]) -> None:
        progress, n, name = self.progress, self.source.n, self.trial.arm.label
        epoch, begun = self.planner.epoch(progress.epoch), progress.samples
        yielded: list[Tensor] = []
        ends: list[int] = []
        generator = started(self.strategy, epoch, name)
        with self._clock, self.planner.acts():
            batch = next(generator, None)
        while batch is not None and progress.status == "running":
            done = progress.samples - begun
            check_batch(batch, epoch.index, n, name, len(yielded))
            batch = (batch[: n - done] if self.strategy.coverage == "free" else batch).clone()
            if len(batch) == 0 or not progress.admits(self.budget, len(batch)):
                break
            self._begin_epoch([batch[: self.trial.arm.chunk]])
            yielded.append(batch)
            ends.append(done + len(batch))
            if ends[-1] > n:
                check_coverage(torch.cat(yielded), ends, epoch.index, n, name)
            mark = self._next_mark()
            if self._diagnosing.active and (mark is None or self._may_be_measured(mark, len(batch))):
                self._keep(batch)
            with self._clock:
                stats = self._adaptive_update(batch)
            progress.made(1, len(batch), len(batch), self._clock.seconds)
            self._after_updates(mark)
            if stop() and progress.status == "running":
                progress.status, progress.reason = "interrupted", "stopped within an epoch"
                break
            with self._clock, self.planner.acts():
                batch = _send(generator, stats)
        generator.close()
        spent = batch is not None and progress.samples - begun < n
        if not yielded and not spent:
            check_batch(None, epoch.index, n, name, 0)
        if not spent and progress.status == "running":
            if self.strategy.coverage == "once":
                check_coverage(torch.cat(yielded), ends, epoch.index, n, name)
            else:
                check_enough(ends[-1], n, f"{name}, epoch {epoch.index}")
        progress.checked = progress.epoch + 1
        if yielded:
            shared = self.planner.order(progress.epoch)
            progress.rearranged |= not torch.equal(torch.cat(yielded), shared[: ends[-1]])
            progress.batches = digest(bytes.fromhex(progress.batches), ends, torch.cat(yielded)).hex()
        self._end_epoch(not spent, spent)

    def _begin_epoch(self, first: Sequence[Tensor]) -> None:
        """Once there is a batch to train on: notes the order in use, and warms up a throw-away copy."""
        if not first:
            return
        self.planner.begin(self.progress)
        if not self._warm:
            self.warm_up(first[0])
            self._warm = True

    def _end_epoch(self, complete: bool, spent: bool) -> None:
        progress = self.progress
        if complete:
            progress.end_epoch()
        if progress.status == "running" and (spent or progress.reached(self.budget)):
            if progress.measured_at < progress.updates:
                self.measure()
            if progress.status == "running":
                progress.status = "finished"

    def _after_updates(self, mark: int | None) -> None:
        self._follow_weights()
        if mark is not None and self.progress.samples >= mark:
            self.measure()

    def _updates(
        self, stream: Iterator[Any], chunks: Iterable[int], begins: Sequence[int], until: Callable[[], bool]
    ) -> None:
        """One update for each number in ``chunks``, of that many forward passes; the hot loop.

        ``begins``: the samples of the trial before each, where a schedule asks for them.
        """
        workload, model, weights, step = self.workload, self.model, self.weights, self._step
        limit = self.budget.amount if self.budget.unit == "seconds" else math.inf
        clock, scheduled, updates = self._clock, self._schedule is not None, self.progress.updates
        clips = self._clip is not None
        for count in chunks:
            if scheduled:
                self._set_rate(updates + self._made, begins[self._made])
            mean_gradient(workload, model, weights, stream, count)
            if clips:
                self._clip_gradient()
            step()
            self._made += 1
            if until() or (limit < math.inf and clock.running() >= limit):
                break

    def _adaptive_update(self, indices: Tensor) -> StepStats:
        pieces, (count,) = in_chunks([indices], len(indices), self.trial.arm, self.model)
        batches = self.source.stream(pieces, self.trial.seed, self.progress.epoch, ahead=False)
        kept = list(batches) if needs_samples(self.strategy.needs) else []
        loss = mean_gradient(self.workload, self.model, self.weights, iter(kept) if kept else batches, count)
        self._set_rate(self.progress.updates, self.progress.samples)
        lr = float(self.optimizer.param_groups[0]["lr"])
        stats = step_stats(self.strategy.needs, self.workload, self.model, kept, loss, lr, len(indices), self._norms)
        self._clip_gradient()
        self._step()
        return stats

    def _clip_gradient(self) -> None:
        """Scales the whole gradient in ``.grad`` down to the arm's norm, where it has one and the gradient's is larger."""
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self._clip)

    def _set_rate(self, updates: int, samples: int) -> None:
        """The rates of the next update, by what was spent of the budget before it."""
        if self._schedule is not None:
            factor = self._schedule(self.budget.share(updates, samples, self.source.n))
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * factor

    def _may_be_measured(self, mark: int, size: int) -> bool:
        """Whether an update of so many samples may be the last one before a record."""
        progress, budget = self.progress, self.budget
        last = budget.unit in ("samples", "seconds") or (
            budget.unit == "updates" and progress.updates + 1 >= budget.amount
        )
        return last or progress.samples + size >= mark

    def _next_mark(self) -> int | None:
        return next_mark(self.progress.samples, self.source.n, self._comparison.measure)

    def _follow_weights(self) -> None:
        if self.follows:
            with judged(self.optimizer, self.weights):
                point = torch.cat([weight.detach().reshape(-1) for weight in self.weights]).tolist()
            self.progress.follow(self.progress.updates, point)

    def _fingerprint(self) -> str:
        with judged(self.optimizer, self.weights):
            return fingerprint(self.model.state_dict())

    @torch.no_grad()
    def _put_weights(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def _build_optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        arm = self.trial.arm
        return build(self._contender.optimizer, model, {**arm.hyperparameters, "lr": arm.lr}, arm.optimizer.label)


def _with_own_loss(workload: Workload, device: torch.device, dtype: torch.dtype) -> Workload:
    """The workload with a copy of its loss, if that is a module: it may have weights on another device, or count calls."""
    if not isinstance(workload.loss, torch.nn.Module):
        return workload
    return dataclasses.replace(workload, loss=copy.deepcopy(workload.loss).to(device, dtype))


def _send(generator: Generator[Tensor, StepStats, None], stats: StepStats) -> Tensor | None:
    try:
        return generator.send(stats)
    except StopIteration:
        return None
