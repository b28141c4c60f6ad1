"""Is a trial what a plain loop would have trained? The first updates of every arm, made by both and compared."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from ..analysis.certificate import Reference
from ..core.comparison import Arm, Trial
from ..core.rng import preserved_rng, rng_state, set_rng_state
from ..errors import ComparisonError, OptcompareError, explain
from ..training.data import Source, first_rows
from ..training.lanes.memory import free_memory, kept_bytes_a_row
from ..training.loop.batch_plan import check_batch, started
from ..training.loop.plain_loop import PlainLoop
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import State, TrialRun, with_own_loss
from ..training.measurement.evaluation import evaluate, evaluating
from ..training.measurement.module_state import same, saved_state
from .dry_run import Estimate
from .update_differences import Difference, apart, compared, digest, unlike_attributes

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""|engine - plain| / |plain| of a gradient, above which the update is repeated in float64."""
_REAL = 1e-6
"""The same in float64, above which it is no rounding: parts of published models compute in float32 whatever their dtype."""
_MEASURED_ROWS, _UPDATES, _NOISE = 64, 3, 20.0
_SHARE, _SECONDS = 0.05, 1.0
_MOST_BYTES, _COPIES = 2**27, 3
"""What one pass of the plain loop may take, in tensors kept for the backward pass, with their gradients and inputs."""


def check_reference(trainer: LoopTrainer, estimates: Sequence[Estimate]) -> Reference:
    """Compare the first updates of each arm with those of a plain loop.

    The first update, on the largest batch that the arm will use, is always made: its gradient, computed by the engine in
    its chunks, must be that of one pass over the whole batch, and buffers and plain attributes must end alike. Then, within
    5% of the expected training or a second, two more, each from where the plain loop is; and once more all of them, with
    measurements and a checkpoint in between, which must end in the same bits. Arms that differ only in their rates share a
    check.

    Raises:
        ComparisonError: An arm would be trained in another way than by a plain loop, and why.
    """
    comparison, began = trainer.setup.comparison, perf_counter()
    whole = sum(estimate.seconds for estimate in estimates) * len(comparison.seeds)
    plain = trainer.asking(dataclasses.replace(comparison, diagnostics=(), autocast=None))
    found, checks = Reference(), dict[Any, _ArmCheck]()
    for arm in comparison.arms:
        key = _kind(arm, plain)
        if key not in checks:
            checks[key] = _ArmCheck(plain, Trial(arm, comparison.seeds[0]), found)
            checks[key].first_update()
        found.updates[arm.label] = 1
    for key, check in checks.items():
        if perf_counter() - began > max(_SECONDS, _SHARE * whole):
            break
        try:
            made = check.further_updates()
        except OptcompareError:
            raise
        except Exception as error:
            raise ComparisonError(
                f"arm {check.trial.arm.label}: a trial cannot go on from a checkpoint: {explain(error)}; what forward() makes, "
                "make in __init__"
            ) from error
        found.updates.update({arm.label: made for arm in comparison.arms if _kind(arm, plain) == key})
    return found


def _kind(arm: Arm, trainer: LoopTrainer) -> Any:
    """Equal for arms that differ only in their learning rates."""
    strategy = arm.strategy.reference or id(trainer.setup.contenders[arm.label].strategy)
    optimizer = arm.optimizer.reference or id(trainer.setup.contenders[arm.label].optimizer)
    others = {name: value for name, value in arm.hyperparameters.items() if name != "lr"}
    return strategy, str(optimizer).partition(":")[0], repr(sorted(others.items())), arm.chunk, arm.clip


class _ArmCheck:
    """The checks of one arm, on the first seed."""

    def __init__(self, trainer: LoopTrainer, trial: Trial, found: Reference) -> None:
        self.trainer, self.trial, self.found = trainer, trial, found
        run = trainer.run(trial, None)
        self.batches = _batches(run)
        fits = _rows_of_one_pass(run) if len(self.batches[0]) > trial.arm.chunk else len(self.batches[0])
        if fits < len(self.batches[0]):
            self._keep_rows(fits)

    def _keep_rows(self, count: int) -> None:
        """Checks so many rows of each batch alone."""
        self._say(f"of a batch of {self.trial.arm.label}, {count:,} rows, the most that one pass may take here")
        self.batches = [batch[:count] for batch in self.batches]

    def first_update(self) -> None:
        """Raises where the engine's first gradient is not the plain loop's, naming the cause."""
        try:
            difference = self._first(self.trainer, self.trial)
        except (MemoryError, torch.OutOfMemoryError):
            self._keep_rows(self.trial.arm.chunk)
            difference = self._first(self.trainer, self.trial)
        if difference <= TOLERANCES[self.trainer.setup.comparison.dtype] or self._only_rounds(self.trial, difference):
            return
        arm, size = self.trial.arm, len(self.batches[0])
        if size > arm.chunk:
            one_pass = Trial(dataclasses.replace(arm, chunk=size), self.trial.seed)
            alone = self._first(self.trainer, one_pass)
            if alone <= TOLERANCES[self.trainer.setup.comparison.dtype] or self._only_rounds(one_pass, alone):
                raise ComparisonError(
                    f"arm {arm.label}: a batch of {size} rows would be computed in chunks of {arm.chunk}, and {difference}: "
                    f"what the model or the loss makes of a row depends on the others; give --chunk {size} or more"
                )
        raise ComparisonError(
            f"arm {arm.label}: its first update is not that of a plain loop with model() under the same seed, since "
            f"{difference}; the model, the loss or the optimizer depends on something that is made elsewhere"
        )

    def further_updates(self) -> int:
        """Updates 2 and 3 from where the plain loop is, then all of them again with what a run does in between."""
        tolerance = TOLERANCES[self.trainer.setup.comparison.dtype]
        worst = max(self._later(self.trainer, self.trial), key=lambda each: each.size, default=Difference(0.0, ""))
        if worst > tolerance:
            exact = max(self._later(self._wide(), self.trial), key=lambda each: each.size)
            if exact.size > _REAL and exact.size >= worst.size / 1e3:
                raise ComparisonError(
                    f"arm {self.trial.arm.label}: an update after its first is not that of a plain loop from the same state, "
                    f"since {worst}; the optimizer or the model keeps something that is neither in state_dict() nor a plain "
                    "attribute"
                )
        self._same_bits()
        self._refuse_hidden_state()
        return len(self.batches)

    def _first(self, trainer: LoopTrainer, trial: Trial) -> Difference:
        """How far the engine's first update is from the plain loop's."""
        with preserved_rng():
            run = trainer.run(trial, None)
            begun = rng_state(run.device)
            plain = _plain(trainer, trial)
            set_rng_state(begun, run.device)
            found = [
                self._measured(run, plain),
                self._update(run, plain, self.batches[0]),
                self._behind_masks(trainer, trial),
            ]
            return max(found, key=lambda each: each.size)

    def _behind_masks(self, trainer: LoopTrainer, trial: Trial) -> Difference:
        """Where random masks are drawn for each chunk: how far the engine's gradient is from that of whole batches, beyond
        what other masks do to it."""
        run = trainer.run(trial, None)
        indices, begun = self.batches[0], rng_state(run.device)
        if len(indices) <= trial.arm.chunk or run.takes_closure:
            return Difference(0.0, "")
        gradients, _ = _gradients_of(run, indices)
        if same(begun, rng_state(run.device)):
            return Difference(0.0, "")
        alone = []
        for _ in range(2):
            plain = _plain(trainer, trial)
            plain.update(list(run.source.stream([indices], trial.seed, 0, ahead=False)))
            alone.append(plain.gradient)
        drawn = apart(alone[0], alone[1])
        return Difference(max(0.0, apart(gradients, alone[0]) - _NOISE * drawn), "its gradient")

    def _measured(self, run: TrialRun, plain: PlainLoop) -> Difference:
        """How far the training loss that the engine measures in its chunks is from that of one pass, in eval mode."""
        chunk = self.trainer.setup.comparison.eval_chunk
        count = min(run.source.n, max(len(self.batches[0]), chunk + chunk // 2 + 1))
        rows = FirstRows(run.source, count)
        with evaluating(plain.model):
            (batch,) = rows.stream([torch.arange(count)], 0, 0, ahead=False)
            try:
                alone = float(plain.workload.mean_loss(plain.model, batch))
            except (MemoryError, torch.OutOfMemoryError):  # that is what the chunks are for
                return Difference(0.0, "")
            drawn = abs(float(plain.workload.mean_loss(plain.model, batch)) - alone) if count > chunk else 0.0
        there = evaluate(run.workload, run.model, {"train": rows}, chunk)["train_loss"]
        if not (math.isfinite(alone) and math.isfinite(there)):
            return Difference(0.0 if str(alone) == str(there) else math.inf, "the training loss")
        beyond = max(0.0, abs(there - alone) - _NOISE * drawn)  # random numbers are others for each chunk
        return Difference(beyond / max(abs(alone), 1e-12), "the training loss, as it is measured,")

    def _update(self, run: TrialRun, plain: PlainLoop, indices: Tensor) -> Difference:
        """One update by both, from the same state of the generators."""
        before = [saved_state(model) for model in (run.model, plain.model)]
        begun = rng_state(run.device)
        gradients, rates = _gradients_of(run, indices)
        ended = rng_state(run.device)
        for group, rate in zip(plain.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        draws = not same(begun, ended)
        chunks = indices.split(run.trial.arm.chunk) if draws else [indices]
        if draws and len(chunks) > 1:
            self._say(f"random masks are drawn for each chunk of {run.trial.arm.chunk} rows ({run.trial.arm.label})")
        set_rng_state(begun, run.device)
        plain.update(list(run.source.stream(chunks, run.trial.seed, 0, ahead=False)))
        set_rng_state(ended, run.device)
        after = [saved_state(model) for model in (run.model, plain.model)]
        return compared(run, plain, gradients, unlike_attributes(before, after))

    def _only_rounds(self, trial: Trial, difference: Difference) -> bool:
        """Whether the difference all but disappears in float64, in which case it is said."""
        try:
            exact = self._first(self._wide(), trial)
        except Exception:
            return False
        if exact.size > _REAL and exact.size >= difference.size / 1e3:
            return False
        self._say(f"{trial.arm.label} differs from one pass by rounding, {difference.size:.0e} of the gradient's norm")
        return True

    def _wide(self) -> LoopTrainer:
        setup = self.trainer.setup
        return LoopTrainer(
            dataclasses.replace(setup, comparison=dataclasses.replace(setup.comparison, dtype="float64"))
        )

    def _later(self, trainer: LoopTrainer, trial: Trial) -> Iterator[Difference]:
        """The differences of the updates after the first, each from the plain loop's state."""
        with preserved_rng():
            run = trainer.run(trial, None)
            begun = rng_state(run.device)
            plain = _plain(trainer, trial)
            set_rng_state(begun, run.device)
            self._update(run, plain, self.batches[0])
            for indices in self.batches[1:]:
                run = trainer.run(trial, _state_of(plain, run))
                yield self._update(run, plain, indices)

    def _same_bits(self) -> None:
        """Raises where measurements or a checkpoint change what is trained."""
        plain = self._ended(measured=False, cut=False)
        if plain == self._ended(measured=True, cut=True):
            return
        name = f"arm {self.trial.arm.label}"
        if plain != self._ended(measured=False, cut=False):
            if self.trainer.device.type != "cpu":
                self._say(f"{self.trial.arm.label} does not end in the same bits twice on this device")
                return
            raise ComparisonError(
                f"{name}: trained twice from the same start it ends otherwise; something outside the model, such as a global "
                "counter or a random generator of its own, takes part"
            )
        if plain != self._ended(measured=True, cut=False):
            raise ComparisonError(
                f"{name}: measuring changes what is trained: the model or the loss keeps something, other than buffers, plain "
                "attributes and generators of the model, that changes in eval mode too"
            )
        raise ComparisonError(
            f"{name}: a trial that goes on from a checkpoint ends otherwise: the optimizer or the model keeps something that is "
            "neither in state_dict() nor a plain attribute"
        )

    def _refuse_hidden_state(self) -> None:
        """Raises where an optimizer changes a plain attribute of its own that its state_dict() does not bring back."""
        with preserved_rng():
            run = self.trainer.run(self.trial, None)
            before = _numbers_of(run.optimizer)
            for indices in self.batches:
                run.update(indices)
            after = _numbers_of(run.optimizer)
            again = _numbers_of(self.trainer.run(self.trial, _through_a_file(run.state())).optimizer)
        hidden = [name for name, value in after.items() if value != before.get(name) and value != again.get(name)]
        if hidden:
            raise ComparisonError(
                f"arm {self.trial.arm.label}: optimizer {self.trial.arm.optimizer.label} keeps {', '.join(hidden)} outside its "
                "state_dict(), so that a trial that goes on from a checkpoint would end otherwise; keep it in state"
            )

    def _ended(self, *, measured: bool, cut: bool) -> str:
        """The fingerprint of what the updates lead to, through the engine alone."""
        trainer = self.trainer.asking(self.trainer.setup.comparison)
        trainer.sources = {name: FirstRows(source, _MEASURED_ROWS) for name, source in trainer.sources.items()}
        with preserved_rng():
            run = trainer.run(self.trial, None)
            for indices in self.batches:
                run.update(indices)
                if measured:
                    run.measure()
                if cut:
                    run = trainer.run(self.trial, _through_a_file(run.state()))
            return digest(
                [run.model.state_dict(), dict(run.model.named_buffers()), run.optimizer.state_dict()["state"]]
            )

    def _say(self, remark: str) -> None:
        if remark not in self.found.remarks:
            self.found.remarks.append(remark)


class FirstRows:
    """A source of which only the first rows are measured."""

    def __init__(self, source: Source, most: int) -> None:
        self.n, self.stream = min(most, source.n), source.stream


def _rows_of_one_pass(run: TrialRun) -> int:
    """How many rows a plain loop may take in one forward and backward pass: the chunk, and as much more as fits."""
    bytes_a_row = max(1.0, _COPIES * kept_bytes_a_row(run))
    return max(run.trial.arm.chunk, int(min(_MOST_BYTES, free_memory(run.device) / 4) / bytes_a_row))


def _batches(run: TrialRun) -> list[Tensor]:
    """The largest batch of the first epoch, and two others."""
    name = run.trial.arm.label
    if run.strategy.adaptive:
        epoch = run.planner.epoch(0)
        size = check_batch(next(started(run.strategy, epoch, name), None), 0, run.source.n, name, 0)
        batches = list(run.planner.order(0).split(size))
    else:
        batches = list(run.planner.draw(0).batches)
    if run.takes_closure:
        return batches[:1]
    largest = max(range(len(batches)), key=lambda number: len(batches[number]))
    others = [batch for number, batch in enumerate(batches) if number != largest] or batches
    return [batches[largest], *(others[number % len(others)] for number in range(_UPDATES - 1))]


def _plain(trainer: LoopTrainer, trial: Trial) -> PlainLoop:
    setup = trainer.setup
    workload = with_own_loss(setup.workload, trainer.device, trainer.dtype)
    first = first_rows(setup.workload.train, 2, setup.workload.collate)
    factory = setup.contenders[trial.arm.label].optimizer
    return PlainLoop(workload, trial.arm, factory, trial.seed, first, trainer.device, trainer.dtype)


def _gradients_of(run: TrialRun, indices: Tensor) -> tuple[list[Tensor | None], list[float]]:
    """The gradients and the learning rates with which the engine made its update on these samples."""
    step, found, rates = run.step, list[Any](), list[float]()

    def watched(*closure: Any) -> Any:
        found[:] = [None if weight.grad is None else weight.grad.detach().clone() for weight in run.weights]
        rates[:] = [group["lr"] for group in run.optimizer.param_groups]
        return step(*closure)

    run.step = watched
    try:
        run.update(indices)
    finally:
        run.step = step
    return found, rates


def _state_of(plain: PlainLoop, run: TrialRun) -> State:
    """The state in which the engine would be, had it made the plain loop's updates."""
    model = {name: copy.deepcopy(value) for name, value in plain.model.state_dict().items()}
    buffers = {name: value.detach().clone() for name, value in plain.model.named_buffers()}
    state = {
        **run.state(),
        "model": model,
        "buffers": buffers,
        "optimizer": copy.deepcopy(plain.optimizer.state_dict()),
    }
    if "trained" in state:
        state["trained"] = [weight.detach().clone() for weight in plain.weights]
    return state


def _numbers_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The plain numbers and texts among an optimizer's own attributes."""
    values = vars(optimizer).items()
    return {name: value for name, value in values if isinstance(value, (bool, int, float, str)) and name[:1] != "_"}


def _through_a_file(state: State) -> State:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)  # type: ignore[no-any-return]
