"""One trial under way: its model, optimizer, strategy, counters and clock; how its epochs go is in
:mod:`.epochs`.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Trial
from ...core.rng import TRAINING, preserved_rng, rng_state, seed_everything, seed_sequence, set_rng_state
from ...core.schedule import depends_on_budget, schedule_of
from ...errors import USER_CODE_ERRORS, ComparisonError, explain
from ...interfaces.optimizer import (
    bare_step,
    build,
    has_modes,
    judged,
    load_state,
    takes_closure,
    wants_gradient,
)
from ..autocast import in_autocast
from ..contender import Setup
from ..data import Source
from ..device import DTYPES, Clock
from ..measurement.counters import Progress
from ..measurement.diagnosing import Diagnosing, sample_norms, trained
from ..measurement.evaluation import along_the_way, at_the_end, evaluate, next_mark, not_yet, on_rows
from ..measurement.goal_watch import GoalWatch
from ..measurement.module_flags import Flags, refuse_new_weights
from ..measurement.module_state import changed_state, load_attributes, saved_state
from ..measurement.projection import is_first, is_sketched, sketch
from ..measurement.recalibration import Sample, recalibrated
from ..measurement.record import Record, record_of
from ..measurement.step_stats import norms_alone
from ..now import NOW
from ..own_loss import with_own_loss
from ..placement import place
from ..shared_init import SharedStart, fingerprint
from .closure_passes import Passes, check_arm
from .gradient import clip, in_chunks, mean_gradient
from .planner import Planner

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, Any]


class TrialRun:
    """One trial while it is being advanced: what every kind of epoch trains, counts and measures.

    ``warmed``: the arms that were warmed up in this process, by label, with their evaluations an update.
    ``beside``: a run of the same seed that was never trained on, whose module is taken over instead of making
    another.
    """

    def __init__(
        self,
        setup: Setup,
        trial: Trial,
        sources: Mapping[str, Source],
        start: SharedStart,
        state: State | None,
        warmed: dict[str, int],
        beside: TrialRun | None = None,
    ) -> None:
        comparison = setup.comparison
        self.trial, self.budget = trial, comparison.budget
        self.device, self.records = torch.device(comparison.device), list[Record]()
        self._comparison, self.source, self._start = comparison, sources["train"], start
        self._sources, self._test = along_the_way(sources), at_the_end(sources, trial)
        self._watch = GoalWatch.of(comparison, setup.workload, sources)
        self._not_yet = not_yet(setup.workload, sources, raw=comparison.recalibrate)
        self._contender = setup.contenders[trial.arm.label]
        self.planner = Planner(self._contender.strategy, start, trial.seed, trial.arm.label)
        self.strategy = self.planner.strategy
        own = with_own_loss(setup.workload, self.device, DTYPES[comparison.dtype])
        self.workload = in_autocast(own, self.device, comparison.autocast)
        self._dtype, self._warmed = DTYPES[comparison.dtype], warmed
        begun_with: str
        if beside is None:
            self.model = self._start.model()
            begun_with = fingerprint(self.model.state_dict()) if state is None else ""
        else:
            self.model, begun_with = beside.model, beside.progress.weights_sha256
        place(self.model, self.device, self._dtype)
        self._attributes, self._flags = self._own_state(), Flags(self.model)
        self.optimizer = self._build_optimizer(self.model)
        if state is None and self._start.differs(
            self.model
        ):  # an optimizer may change weights when it is made
            begun_with = fingerprint(self.model.state_dict())
        self.weights = trained(self.model)
        self.step, self.clip = bare_step(self.optimizer), trial.arm.clip
        self.takes_closure, self.wants_gradient = (
            takes_closure(self.optimizer),
            wants_gradient(self.optimizer),
        )
        self.minimises = isinstance(self.optimizer, torch.optim.LBFGS)
        if self.takes_closure:
            check_arm(trial.arm, self.strategy, self.minimises)
        self.schedule = schedule_of(trial.arm.schedule) if depends_on_budget(trial.arm.schedule) else None
        self._rates = [
            group["lr"] for group in self.optimizer.param_groups
        ]  # a state's are those of its last update
        self.diagnosing = Diagnosing(setup, trial, self.workload, self.model, self.another_model, self.source)
        needs = self.strategy.needs if self.strategy.adaptive else ()
        self.norms = (
            sample_norms(self.workload, self.model, setup.workload.train) if norms_alone(needs) else None
        )
        if state is None:
            self.progress: Progress = Progress(weights_sha256=begun_with)
            seed_everything(seed_sequence(TRAINING, trial.seed))
        else:
            self.progress = Progress(**copy.deepcopy(state["progress"]))
            self.model.load_state_dict(state["model"])
            for name, buffer in self.model.named_buffers():
                buffer.copy_(state["buffers"][name])
            if "trained" in state:
                self._put_weights(state["trained"])
            load_state(self.optimizer, copy.deepcopy(state["optimizer"]))
            self.planner.load(state["strategy"])
            for module, name in self._with_state():
                load_attributes(module, state.get("attributes", {}).get(name, {}))
            Flags.load(self.model, state.get("flags", {}))
            set_rng_state(state["rng"], self.device)
        self.clock = Clock(self.device, self.progress.train_seconds)
        self._sketched = is_sketched(comparison, trial)
        self.sample = Sample.of(self.source.n, comparison.eval_chunk) if comparison.recalibrate else None
        self.follows = (
            comparison.measure > 0
            and is_first(comparison, trial)
            and sum(w.numel() for w in self.weights) == 2
        )

    def go_on(self, state: State) -> None:
        """Sets out on another task from where the last one ended."""
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
            "attributes": {
                name: changed_state(module, self._attributes[name]) for module, name in self._with_state()
            },
            "flags": self._flags.changed(self.model),
        }

    def _with_state(self) -> list[tuple[torch.nn.Module, str]]:
        """What may keep plain attributes and generators of its own: the model, and a loss that is a
        module.
        """
        loss = self.workload.loss
        return [(self.model, "model"), *([(loss, "loss")] if isinstance(loss, torch.nn.Module) else [])]

    def _own_state(self) -> dict[str, dict[str, Any]]:
        return {name: saved_state(module) for module, name in self._with_state()}

    def begin(self) -> None:
        """The record before the first update."""
        self._follow_weights()
        self.measure()

    def seal(self) -> None:
        """Once the trial has ended: notes the fingerprint of its weights, and measures the test set if it has
        finished.
        """
        if self.progress.status == "running":
            return
        with judged(self.optimizer, self.weights):
            self.progress.final_sha256 = fingerprint(self.model.state_dict())
            if self._test and self.progress.status == "finished":
                self._measure_test()

    def _measure_test(self) -> None:
        """Writes the columns of the test set into the last record, if it was made in this task."""
        self.say_now()
        watch = Clock(self.device)
        with watch:
            raw = self._raw(self._test)
            with self.recalibrated():
                tested = evaluate(self.workload, self.model, self._test, self._comparison.eval_chunk) | raw
        self.progress.tested = tested
        self.progress.measure_seconds += watch.seconds
        if self.records:
            self.records[-1] = {**self.records[-1], **tested}

    def another_model(self) -> torch.nn.Module:
        """Another module of the factory at the shared start, on the device, which is not trained."""
        return place(self._start.model(), self.device, self._dtype)

    def warm_up_once(self, indices: Tensor) -> None:
        if self.trial.arm.label not in self._warmed:
            self._warmed[self.trial.arm.label] = self.warm_up(indices)

    @property
    def evaluations(self) -> int:
        """How often an update evaluates loss and gradient, once the arm was warmed up in this process."""
        return self._warmed[self.trial.arm.label]

    def warm_up(self, indices: Tensor) -> int:
        """An update of a module that is thrown away; returns how often it evaluated loss and gradient."""
        with preserved_rng():
            model = self.another_model()
            optimizer = self._build_optimizer(model)
            batch = next(self.source.stream([indices], self.trial.seed, self.progress.epoch, ahead=False))
            gradient = partial(
                mean_gradient, self.workload, model, trained(model), itertools.repeat(batch), 1
            )
            passes = Passes(gradient, model, self.device)
            if not self.takes_closure or self.wants_gradient:
                passes()
            try:
                bare_step(optimizer)(*([passes] if self.takes_closure else []))
            except USER_CODE_ERRORS as error:
                given = (
                    "a closure"
                    if self.takes_closure
                    else "gradients in .grad, and no closure, loss or graph of it"
                )
                name = self.trial.arm.optimizer.label
                raise ComparisonError(
                    f"optimizer {name}: its step() fails, given {given}: {explain(error)}"
                ) from error
            return passes.made

    def update(self, indices: Tensor) -> None:
        """One update on these samples, outside any epoch: nothing but the update and its samples is
        counted.
        """
        pieces, (count,) = in_chunks([indices], len(indices), self.trial.arm, self.model)
        self.set_rate(self.progress.updates, self.progress.samples)
        self.say_now()
        if self.takes_closure:
            self.step_with(self.passes(pieces, count))
        else:
            stream = self.source.stream(pieces, self.trial.seed, 0, ahead=False)
            mean_gradient(self.workload, self.model, self.weights, stream, count)
            self.clip_gradient()
            self.step()
        self.progress.updates += 1
        self.progress.samples += len(indices)

    def step_with(self, passes: Passes) -> None:
        """An update by an optimizer that evaluates loss and gradient itself."""
        if self.wants_gradient:
            passes()
        self.step(passes)

    def measure(self) -> None:
        """Appends a record."""
        with judged(self.optimizer, self.weights):
            self._measure()

    def _measure(self) -> None:
        refuse_new_weights(self.model, self.weights, self.progress.updates)
        self.say_now()
        watch, progress = Clock(self.device), self.progress
        if self._sketched:
            with watch:
                progress.keep_snapshot(sketch(self.weights))
        with watch:
            self._probe_before_all()
            values = self._measured()
        reached = self._watch.evaluated(progress, values) if self._watch else self._comparison.ends_at(values)
        progress.measured(values, watch.seconds, reached)
        self.records.append(
            record_of(self._comparison, self.trial, self.progress, self.source.n, values, "measured")
        )

    def _probe_before_all(self) -> None:
        """Near a goal, measures its rows where all rows are about to be measured."""
        if self._watch is not None and self._watch.to_be_probed(self.progress):
            self._probe(self._watch)

    def _probe(self, watch: GoalWatch) -> None:
        """Measures the stated rows for a goal."""
        with self.recalibrated():
            values = on_rows(
                self.workload,
                self.model,
                self._sources[watch.prefix],
                self._comparison.eval_chunk,
                watch.rows,
            )
        watch.probed(self.progress, values[watch.goal.metric.removeprefix(f"{watch.prefix}_")])

    def _measured(self) -> dict[str, float]:
        """Losses, metrics and diagnostics; of recalibrated running averages where the comparison has them,
        and beside them what those of the training give.
        """
        raw = self._raw(self._sources)
        with self.recalibrated():
            values = evaluate(self.workload, self.model, self._sources, self._comparison.eval_chunk)
            return {**values, **raw, **self._not_yet, **self._diagnosed(values)}

    def _raw(self, sources: Mapping[str, Source]) -> dict[str, float]:
        """What the running averages of the training give, where the comparison recalibrates them."""
        if self.sample is None:
            return {}
        values = evaluate(self.workload, self.model, sources, self._comparison.eval_chunk)
        return {f"raw_{name}": value for name, value in values.items()}

    def recalibrated(self) -> AbstractContextManager[None]:
        """The model with recalibrated running averages, where the comparison has them."""
        return recalibrated(self.workload, self.model, self.source, self.sample)

    def _diagnosed(self, values: Mapping[str, float]) -> dict[str, float]:
        """What diagnostics say; of weights that are not finite, nothing."""
        if not self.diagnosing.columns or not math.isfinite(values["train_loss"]):
            return dict.fromkeys(self.diagnosing.columns, math.nan)
        lr = float(self.optimizer.param_groups[0]["lr"])
        return self.diagnosing.values(self.model, self.progress.updates, self.progress.samples, lr)

    def keep(self, batch: Tensor) -> None:
        """Keeps what the next update sets out from, for a diagnosis of it."""
        with judged(self.optimizer, self.weights):
            self.diagnosing.keep(self.progress.updates, self.weights, batch, self.progress.epoch)

    def passes(self, pieces: Sequence[Tensor], count: int, most: float = math.inf) -> Passes:
        """The closure of one update on these pieces, which ``count`` forward passes take; see
        :class:`.Passes`.
        """
        epoch, seed = self.progress.epoch, self.trial.seed

        def gradient() -> Tensor:
            stream = self.source.stream(pieces, seed, epoch)
            return mean_gradient(self.workload, self.model, self.weights, stream, count)

        return Passes(gradient, self.model, self.device, most)

    def say_now(self) -> None:
        """Tells code that asks how far this trial has come."""
        NOW.at(self.progress.epoch, self.progress.updates, self.progress.position)

    def begin_epoch(self, first: Sequence[Tensor]) -> None:
        """Once there is a batch to train on: notes the order in use, and warms up a throw-away copy."""
        if first:
            self.planner.begin(self.progress)
            self.warm_up_once(first[0])

    def end_epoch(self, complete: bool, spent: bool) -> None:
        """Ends the trial if it is over; ``complete``: all was trained on; ``spent``: the budget allows no
        further update.
        """
        progress = self.progress
        if complete:
            progress.end_epoch()
        if progress.status == "running" and (spent or progress.reached(self.budget)):
            if progress.measured_at < progress.updates:
                self.measure()
            if progress.status == "running":
                progress.status = "finished"

    def after_updates(self, mark: int | None) -> None:
        """Measures, if the mark is reached; near a goal, which has more of them, only what is needed for
        it.
        """
        self._follow_weights()
        if mark is None or self.progress.samples < mark:
            return
        if self._watch is None or self.progress.samples >= self._evaluated_at:
            self.measure()
            return
        clock = Clock(self.device)
        with judged(self.optimizer, self.weights), clock:
            self.say_now()
            self._probe(self._watch)
        self.progress.measure_seconds += clock.seconds

    def clip_gradient(self) -> None:
        """Scales the whole gradient in ``.grad`` down to the arm's norm, where it has one and the gradient's
        is larger.
        """
        if self.clip is not None:
            clip(self.weights, self.clip)

    def set_rate(self, updates: int, samples: int) -> None:
        """The rates of the next update, by what was spent of the budget before it."""
        if self.schedule is not None:
            factor = self.schedule(self.budget.share(updates, samples, self.source.n))
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * factor

    def next_mark(self) -> int | None:
        """Samples at which the trial is measured next; None: not before its end."""
        mark = next_mark(self.progress.samples, self.source.n, self._comparison.measure)
        if self._watch is None:
            return mark
        self._evaluated_at = math.inf if mark is None else mark
        return self._watch.next_stop(self.progress, mark)

    def _follow_weights(self) -> None:
        if self.follows:
            with judged(self.optimizer, self.weights):
                point = torch.cat([weight.detach().reshape(-1) for weight in self.weights]).tolist()
            self.progress.follow(self.progress.updates, point)

    @torch.no_grad()
    def _put_weights(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def _build_optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        arm = self.trial.arm
        return build(
            self._contender.optimizer, model, {**arm.hyperparameters, "lr": arm.lr}, arm.optimizer.label
        )
