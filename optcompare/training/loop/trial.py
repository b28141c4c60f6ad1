"""The live objects of an unfinished trial: model, optimizer, strategy, counters and clock."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from ...core.columns import Record
from ...core.comparison import Trial
from ...core.rng import TRAINING, preserved_rng, rng_state, seed_everything, seed_sequence, set_rng_state
from ...core.schedule import depends_on_budget, schedule_of
from ...errors import USER_CODE_ERRORS, ComparisonError, explain
from ...interfaces.closures import bare_step, takes_closure, wants_gradient
from ...interfaces.optimizer import build, has_modes, load_state
from ...interfaces.workload import Workload
from ..autocast import in_autocast
from ..data import Source
from ..device import DTYPES, Clock
from ..epoch_end import EpochEnd, finish, lacks_record
from ..measurement.counters import Progress
from ..measurement.diagnosing import Diagnosing, sample_norms, trained
from ..measurement.step_stats import needs_norms_only
from ..own_loss import with_own_loss
from ..placement import place
from ..position import POSITION
from ..setup import Setup
from ..shared_init import SharedStart, fingerprint
from ..state import TrialState
from .closure_passes import Passes, check_arm
from .gradient import UpdateGradient, about_sparse_gradients, clip, in_chunks, mean_gradient
from .own_state import OwnState
from .planner import Planner
from .trial_measurement import LiveObjects, TrialMeasurement

if TYPE_CHECKING:
    from torch import Tensor


class TrialRun:
    """Hold one trial while it is trained; every kind of epoch trains, counts and measures through it.

    Args:
        setup: The comparison with its live objects.
        trial: The trial.
        sources: The data on the device: ``train``, and ``valid`` and ``test`` if there are any.
        start: The shared start of the trial's seed.
        state: The state to continue from; None: the shared start.
        warmed: By arm label, how often an update of an arm that was warmed up in this process evaluates loss
            and gradient; arms are added.
        reuse: An untrained run of the same seed, whose module this run takes over instead of making another.
    """

    def __init__(
        self,
        setup: Setup,
        trial: Trial,
        sources: Mapping[str, Source],
        start: SharedStart,
        state: TrialState | None,
        warmed: dict[str, int],
        reuse: TrialRun | None = None,
    ) -> None:
        comparison = setup.comparison
        self.trial, self.budget, self.device = trial, comparison.budget, torch.device(comparison.device)
        self.source, self._start, self._warmed = sources["train"], start, warmed
        self._arm_objects, self._dtype = setup.arm_objects[trial.arm.label], DTYPES[comparison.dtype]
        self.planner = Planner(self._arm_objects.strategy, start, trial.seed, trial.arm.label)
        self.strategy = self.planner.strategy
        own = with_own_loss(setup.workload, self.device, self._dtype)
        self.workload: Workload = in_autocast(own, self.device, comparison.autocast)
        self.model, weights_sha256 = self._module(state, reuse)
        self._own_state = OwnState(self.model, self.workload.loss)
        self.optimizer = self._build_optimizer(self.model)
        if state is None and start.differs(self.model):  # an optimizer may change weights when it is built
            weights_sha256 = fingerprint(self.model.state_dict())
        self.weights = trained(self.model)
        masked = trial.seed if comparison.masks == "counter" else None
        self.gradient = UpdateGradient(self.workload, self.model, self.weights, masked)
        self._read_optimizer()
        if state is None:
            self.progress = Progress(weights_sha256=weights_sha256)
        else:
            self.progress = Progress(**copy.deepcopy(state["progress"]))
        self.measurement = self._measurement(setup, sources)
        needs = self.strategy.needs if self.strategy.adaptive else ()
        alone = needs_norms_only(needs)
        self.norms = sample_norms(self.workload, self.model, setup.workload.train) if alone else None
        if state is None:
            seed_everything(seed_sequence(TRAINING, trial.seed))
        else:
            self._load(state)
        self.clock = Clock(self.device, self.progress.train_seconds)

    def _module(self, state: TrialState | None, reuse: TrialRun | None) -> tuple[torch.nn.Module, str]:
        """Return the module on the device, and the fingerprint of the weights at the shared start."""
        if reuse is not None:
            model, weights_sha256 = reuse.model, reuse.progress.weights_sha256
        else:
            model = self._start.model()
            weights_sha256 = fingerprint(model.state_dict()) if state is None else ""
        return place(model, self.device, self._dtype), weights_sha256

    def _read_optimizer(self) -> None:
        """Read how the optimizer is stepped, and the rates that a schedule multiplies."""
        arm = self.trial.arm
        self.step, self.clip = bare_step(self.optimizer), arm.clip
        self.takes_closure = takes_closure(self.optimizer)
        self.wants_gradient = wants_gradient(self.optimizer)
        self.minimises = isinstance(self.optimizer, torch.optim.LBFGS)
        if self.takes_closure:
            check_arm(arm, self.strategy, self.minimises)
        self.schedule = schedule_of(arm.schedule) if depends_on_budget(arm.schedule) else None
        # Rates of a saved state are already multiplied.
        self._rates = [group["lr"] for group in self.optimizer.param_groups]

    def _measurement(self, setup: Setup, sources: Mapping[str, Source]) -> TrialMeasurement:
        live = LiveObjects(self.workload, self.model, self.optimizer, self.weights, self.device)
        diagnosing = Diagnosing(setup, self.trial, self.workload, self.model, self.another_model, self.source)
        return TrialMeasurement(setup, self.trial, sources, live, self.progress, diagnosing)

    def _load(self, state: TrialState) -> None:
        """Load model, optimizer, strategy and generators from a state; the counters are already loaded."""
        self.model.load_state_dict(state["model"])
        for name, buffer in self.model.named_buffers():
            buffer.copy_(state["buffers"][name])
        if "trained" in state:
            with torch.no_grad():
                for weight, value in zip(self.weights, state["trained"], strict=True):
                    weight.copy_(value)
        load_state(self.optimizer, copy.deepcopy(state["optimizer"]))
        self.planner.load(state["strategy"])
        self._own_state.load(state)
        set_rng_state(state["rng"], self.device)

    def start_task(self, state: TrialState) -> None:
        """Start another task from the state that this run returned at the end of its last task."""
        self.measurement.records = []
        set_rng_state(state["rng"], self.device)

    def state(self) -> TrialState:
        """Return everything that is needed to continue the trial, sharing no memory with this run."""
        with self.measurement.evaluation_weights():
            model = {name: copy.deepcopy(value) for name, value in self.model.state_dict().items()}
        state: TrialState = {
            "progress": self.progress.to_state(),
            "model": model,
            "buffers": {name: value.detach().clone() for name, value in self.model.named_buffers()},
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "strategy": self.planner.state(),
            "rng": rng_state(self.device),
            "attributes": self._own_state.attributes(),
            "flags": self._own_state.flags(),
        }
        if has_modes(self.optimizer):
            state["trained"] = [weight.detach().clone() for weight in self.weights]
        return state

    @property
    def records(self) -> list[Record]:
        """Return the records of the current task."""
        return self.measurement.records

    def measure(self) -> None:
        """Append a record."""
        self.measurement.measure()

    def close(self) -> None:
        """Fingerprint the weights of a trial that has ended, and complete its last record."""
        if self.progress.status == "running":
            return
        with self.measurement.evaluation_weights():
            self.progress.final_sha256 = fingerprint(self.model.state_dict())
            if self.progress.status in ("finished", "diverged"):
                self.measurement.complete()

    def another_model(self) -> torch.nn.Module:
        """Return another module of the factory at the shared start, on the device, which is not trained."""
        return place(self._start.model(), self.device, self._dtype)

    def warm_up_once(self, indices: Tensor) -> None:
        """Warm the arm up on these samples, unless this process has done so before."""
        if self.trial.arm.label not in self._warmed:
            self._warmed[self.trial.arm.label] = self.warm_up(indices)

    @property
    def evaluations(self) -> int:
        """Return the evaluations of loss and gradient in an update, after the warm-up of the arm."""
        return self._warmed[self.trial.arm.label]

    def warm_up(self, indices: Tensor) -> int:
        """Update a throw-away module, and return how often the update evaluated loss and gradient."""
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
                inputs = (
                    "a closure"
                    if self.takes_closure
                    else "gradients in .grad, and no closure, loss or graph of it"
                )
                name = self.trial.arm.optimizer.label
                raise ComparisonError(
                    f"optimizer {name}: its step() fails, given {inputs}: "
                    f"{explain(error)}{about_sparse_gradients(model)}"
                ) from error
            return passes.calls

    def update(self, indices: Tensor) -> None:
        """Make one update on these samples outside any epoch; only the update and its samples are counted."""
        pieces, (count,) = in_chunks([indices], len(indices), self.trial.arm, self.model)
        self.set_rate(self.progress.updates, self.progress.samples)
        POSITION.follow(self.progress)
        if self.takes_closure:
            self.step_with(self.passes(pieces, count))
        else:
            stream = self.source.stream(pieces, self.trial.seed, 0, ahead=False)
            self.gradient(stream, count)
            self.clip_gradient()
            self.step()
        self.progress.updates += 1
        self.progress.samples += len(indices)

    def step_with(self, passes: Passes) -> None:
        """Update with an optimizer that evaluates loss and gradient itself."""
        if self.wants_gradient:
            passes()
        self.step(passes)

    def passes(self, pieces: Sequence[Tensor], count: int, most: float = math.inf) -> Passes:
        """Return the closure of one update.

        Args:
            pieces: Indices of the update's samples, one tensor for each forward pass.
            count: Forward passes of one evaluation.
            most: Evaluations that the budget allows.
        """
        epoch, seed = self.progress.epoch, self.trial.seed

        def gradient() -> Tensor:
            stream = self.source.stream(pieces, seed, epoch)
            return self.gradient(stream, count)

        return Passes(gradient, self.model, self.device, most)

    def begin_epoch(self, first: Sequence[Tensor]) -> None:
        """Record the order in use and warm up, once there is a batch to train on.

        Args:
            first: The indices of the first forward pass; empty if there is no batch.
        """
        if first:
            self.planner.begin(self.progress)
            self.warm_up_once(first[0])

    def end_epoch(self, end: EpochEnd) -> None:
        """Count the epoch, and end the trial with a last record if its budget is spent."""
        if end.count(self.progress, self.budget):
            if lacks_record(self.progress):
                self.measurement.measure()
            finish(self.progress)

    def clip_gradient(self) -> None:
        """Scale the gradient in ``.grad`` down to the arm's norm, if it has one and the norm is larger."""
        if self.clip is not None:
            clip(self.weights, self.clip)

    def set_rate(self, updates: int, samples: int) -> None:
        """Set the learning rates of the next update by the share of the budget that was spent before it."""
        if self.schedule is not None:
            factor = self.schedule(self.budget.share(updates, samples, self.source.n))
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * factor

    def _build_optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        arm = self.trial.arm
        hyperparameters = {**arm.hyperparameters, "lr": arm.lr}
        return build(self._arm_objects.optimizer, model, hyperparameters, arm.optimizer.label)
