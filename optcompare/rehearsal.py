"""Before anything is written: every arm makes an update or two on a throw-away copy, so that what cannot work is said at once."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .comparison import Arm, Budget, Trial
from .errors import ComparisonError, StrategyError, WorkloadError, explain
from .finite import refuse_not_finite
from .seeds import TRAINING, preserved_rng, seed_everything, sequence
from .strategy import Epoch, Strategy
from .train.data import first_rows, moved
from .train.device import Clock
from .train.diagnosing import Diagnosing
from .train.gradient import normalises_batches, refuse_batch_statistics
from .train.loop import LoopTrainer
from .train.plan import Plan, check_batch, started
from .train.record import Record
from .workload import Workload, len_batch

if TYPE_CHECKING:
    from torch import nn

_ENOUGH_ROWS = 5


@dataclass(frozen=True)
class Estimate:
    """What one trial of an arm will take in the loop: updates (None where only training will tell), measurements, and
    seconds."""

    arm: Arm
    updates: int | None
    measurements: float
    seconds: float


def rehearse(trainer: LoopTrainer) -> list[Estimate]:
    """Checks workload and arms together; raises an error that names the arm, and estimates the time of each arm's trial."""
    comparison = trainer.setup.comparison
    seed = comparison.seeds[0]
    check_workload(trainer, seed)
    seconds = check_diagnostics(trainer, Trial(comparison.arms[0], seed))
    bare = trainer.asking(dataclasses.replace(comparison, diagnostics=()))
    estimates = [_rehearse_arm(bare, Trial(arm, seed)) for arm in comparison.arms]
    return [_with_diagnostics(estimate, seconds / comparison.diagnose_every) for estimate in estimates]


def check_diagnostics(trainer: LoopTrainer, trial: Trial) -> float:
    """Computes all diagnostics once, at the shared start and after an update that changed nothing; returns the seconds.

    Raises :class:`DiagnosticError` for what this model cannot have, naming the layer.
    """
    if not trainer.setup.comparison.diagnostics:
        return 0.0
    run = trainer.run(trial, None)
    diagnosing = Diagnosing(trainer.setup, trial, run.workload, run.model, run.source)
    watch = Clock(trainer.device)
    with watch:
        diagnosing.keep(0, run.weights, torch.arange(min(_ENOUGH_ROWS, run.source.n)), 0)
        diagnosing.measured(run.model, 1, 0, trial.arm.lr)
    return watch.seconds


def _with_diagnostics(estimate: Estimate, seconds: float) -> Estimate:
    """``seconds``: of diagnostics, a record."""
    return dataclasses.replace(estimate, seconds=estimate.seconds + estimate.measurements * seconds)


def check_workload(trainer: LoopTrainer, seed: int) -> None:
    """Model, loss and metrics on a few rows: shapes that fit without silent broadcasting, one loss value with a gradient."""
    workload = trainer.setup.workload
    with preserved_rng(), torch.enable_grad():
        model = trainer.start(seed).model().to(trainer.device, trainer.dtype).eval()
        for name, data in (("train", workload.train), ("valid", workload.valid)):
            if data is None:
                continue
            batch = moved(first_rows(data, _ENOUGH_ROWS), trainer.device, trainer.dtype)
            if workload.loss is not None:  # an objective may know what to do with them
                _refuse_not_finite(workload, name, data, batch)
            try:
                loss = _check_batch(trainer, model, batch)
                if name == "train" and workload.loss is not None:
                    _refuse_other_means(trainer, model, batch, loss)
            except (WorkloadError, ComparisonError):
                raise
            except Exception as error:
                raise WorkloadError(
                    f"workload {workload.name}: the first {_ENOUGH_ROWS} rows of {name} do not pass: {explain(error)}"
                ) from error


def _refuse_not_finite(workload: Workload, name: str, data: Any, first: Any) -> None:
    whole = isinstance(data, tuple)
    where = name if whole else f"the first {len_batch(first)} samples of {name}"
    refuse_not_finite(f"workload {workload.name}", where, data if whole else first, workload.columns)


def _check_batch(trainer: LoopTrainer, model: nn.Module, batch: Any) -> torch.Tensor:
    workload = trainer.setup.workload
    who = f"workload {workload.name}"
    if workload.loss is not None:
        inputs, y = batch[:-1], batch[-1]
        output = model(*inputs)
        if isinstance(output, torch.Tensor) and isinstance(y, torch.Tensor):
            _refuse_broadcast(who, output, y)
        for name, metric in workload.metrics.items():
            value = metric(output, y)
            if not (isinstance(value, tuple) and len(value) == 2):
                raise WorkloadError(
                    f"{who}: metric {name} must return a sum and its weight, got {type(value).__name__}"
                )
    loss = workload.mean_loss(model, batch)
    if not (isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.requires_grad):
        got = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
        got += ", which depends on no parameter" if isinstance(loss, torch.Tensor) and loss.numel() == 1 else ""
        raise WorkloadError(f"{who}: the loss must be one number, the mean over the batch, with a gradient; got {got}")
    return loss.detach()


def _refuse_other_means(trainer: LoopTrainer, model: nn.Module, data: Any, whole: torch.Tensor) -> None:
    """The loss must be the mean that ``weight`` says: of several parts, Σ weight·loss / Σ weight is that of the whole."""
    workload, n = trainer.setup.workload, min(_ENOUGH_ROWS, trainer.sources["train"].n)
    who = f"workload {workload.name}"
    total = weights = 0.0
    for rows in torch.arange(n).split(3):
        batch = next(trainer.sources["train"].stream([rows], 0, 0, ahead=False))
        weight = workload.weigh(batch)
        if not (math.isfinite(weight) and weight > 0):
            raise WorkloadError(f"{who}: weight(batch) must be positive and finite, got {weight}")
        total += weight * workload.mean_loss(model, batch).item()
        weights += weight
    again = workload.mean_loss(model, data).item()
    draws = again != whole.item()  # a loss that draws random numbers cannot be held to this
    if not draws and math.isfinite(again) and not math.isclose(total / weights, again, rel_tol=1e-3, abs_tol=1e-5):
        raise WorkloadError(
            f"{who}: the loss of {n} rows is {again:.6g}, but {total / weights:.6g} as the weighted mean of its parts; it "
            "must be a mean over rows, or say what it was divided by with weight(batch); a loss of whole batches goes into "
            "objective(model, batch)"
        )


def _refuse_broadcast(who: str, output: torch.Tensor, y: torch.Tensor) -> None:
    try:
        together = np.broadcast_shapes(output.shape, y.shape)  # torch's own would import sympy
    except ValueError:
        return  # a loss that can take these shapes has its own rule for them
    if math.prod(together) > output.numel():
        raise WorkloadError(
            f"{who}: the model returns shape {list(output.shape)} for y of shape {list(y.shape)}, which a loss would "
            f"silently broadcast to {list(together)}; reshape one, such as y.reshape({', '.join(map(str, output.shape))})"
        )


def _rehearse_arm(trainer: LoopTrainer, trial: Trial) -> Estimate:
    comparison, arm = trainer.setup.comparison, trial.arm
    strategy = copy.deepcopy(trainer.setup.contenders[arm.label].strategy)
    order = trainer.start(trial.seed).order(0).indices
    epoch = Epoch(0, order.clone(), trial.seed, strategy)
    try:
        if strategy.adaptive:
            first = next(started(strategy, epoch, arm.label), None)
            sizes, updates = [check_batch(first, 0, len(order), arm.label, 0)], None
        else:
            sizes = _planned_sizes(strategy, epoch, order, trial)
            updates = len(sizes)
    except (StrategyError, ComparisonError):
        raise
    except Exception as error:
        raise StrategyError(f"strategy {arm.label}, epoch 0: {explain(error)}") from error
    _check_batch_statistics(trainer, trial, sizes)
    if comparison.budget.unit == "samples" and comparison.budget.amount < sizes[0]:
        raise ComparisonError(
            f"arm {arm.label}: its first update takes {sizes[0]} samples, more than the budget of {comparison.budget}; "
            f"give --samples {sizes[0]} or more"
        )
    more_than_one = updates > 1 if updates else sizes[0] < len(order)
    records, progress = _perform(trainer, trial, updates=2 if more_than_one else 1)
    if records and not math.isfinite(records[0]["train_loss"]):
        raise WorkloadError(
            f"workload {trainer.setup.workload.name}: the training loss before the first update is "
            f"{records[0]['train_loss']}; look for values in the data, or a model's output, that are not finite"
        )
    if progress["status"] == "failed":
        reason = progress["reason"]
        raise ComparisonError(reason if arm.label in reason else f"arm {arm.label}: {reason}")
    update_seconds = progress["train_seconds"] / max(1, progress["updates"])
    mark_seconds = progress["measure_seconds"] / max(1, len(records))
    return _estimate(trainer, arm, updates, sizes, update_seconds, mark_seconds)


def _planned_sizes(strategy: Strategy, epoch: Epoch, order: torch.Tensor, trial: Trial) -> list[int]:
    """Plans an epoch twice, other random numbers in the global generators, and wants the same batches."""
    again, later = copy.deepcopy(strategy), copy.deepcopy(strategy)
    with preserved_rng():
        plan = Plan(strategy, epoch, order, trial.arm.label)
        seed_everything(sequence(TRAINING, trial.seed, 1))
        second = Plan(again, Epoch(0, order.clone(), trial.seed, again), order, trial.arm.label)
    if plan.digest(b"", len(plan.sizes)) != second.digest(b"", len(second.sizes)):
        raise StrategyError(
            f"strategy {trial.arm.label}, epoch 0: asked twice, it planned different batches; draw random numbers from "
            "epoch.rng alone"
        )
    if strategy.positional:
        other = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
        moved_on = Plan(later, Epoch(1, other.clone(), trial.seed + 1, later), other, trial.arm.label)
        if plan.sizes != moved_on.sizes or not torch.equal(plan.positions(order), moved_on.positions(other)):
            raise StrategyError(
                f"strategy {trial.arm.label} promises positional batches, but took other positions of the order in another "
                "epoch; leave out positional = True"
            )
    return plan.sizes


def _perform(trainer: LoopTrainer, trial: Trial, updates: int) -> tuple[list[Record], dict[str, Any]]:
    """The first updates of the trial, none of them past its first epoch, through the trainer itself."""
    comparison, budget = trainer.setup.comparison, Budget("updates", updates)
    if comparison.budget.unit == "updates" and comparison.budget.amount < updates:
        budget = comparison.budget
    actor = trainer.asking(dataclasses.replace(comparison, budget=budget, measure=0))
    records, state = actor.advance([trial], None, lambda: False)
    return records, state["progress"]


def _estimate(
    trainer: LoopTrainer, arm: Arm, planned: int | None, sizes: list[int], update_seconds: float, mark_seconds: float
) -> Estimate:
    comparison, n = trainer.setup.comparison, trainer.setup.workload.size
    per_epoch = len(sizes) if planned else math.ceil(n / sizes[0])
    unit, amount = comparison.budget.unit, comparison.budget.amount
    total = {"epochs": amount * per_epoch, "updates": amount, "samples": amount * per_epoch / n}.get(unit)
    updates = amount / max(update_seconds, 1e-9) if total is None else total
    epochs = updates / per_epoch
    marks = min(updates, epochs * comparison.measure + math.log2(n) * (comparison.measure > 0)) + 2
    known = int(updates) if total is not None and (planned or unit == "updates") else None
    return Estimate(arm, known, marks, updates * update_seconds + marks * mark_seconds)


def _check_batch_statistics(trainer: LoopTrainer, trial: Trial, sizes: list[int]) -> None:
    """BatchNorm can be given neither a batch in several chunks nor, without spatial size, a batch of one."""
    model = trainer.start(trial.seed).model()
    if max(sizes) > trial.arm.chunk:
        refuse_batch_statistics(model, trial.arm, max(sizes))
    kind = normalises_batches(model)
    if kind is None or min(sizes) > 1:
        return
    workload = trainer.setup.workload
    try:
        with preserved_rng(), torch.no_grad():
            workload.mean_loss(model, first_rows(workload.train, 1))
    except ValueError as error:
        tail = sizes[-1] == 1 and len(sizes) > 1
        advice = "merge the last batch into the one before (tail=merge, where the strategy has it)" if tail else ""
        raise ComparisonError(
            f"arm {trial.arm.label}: {kind} cannot train on a batch of one sample; {advice or 'use larger batches'}"
        ) from error
