"""Before anything is written: every arm makes an update or two on a throw-away copy, so that what cannot work
is said at once.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..core.columns import Record
from ..core.comparison import Arm, Budget, Trial
from ..core.rng import TRAINING, preserved_rng, rng_state, seed_everything, sequence
from ..errors import RAISED, ComparisonError, StrategyError, WorkloadError, explain
from ..interfaces.strategy import Epoch, Strategy
from ..training.data import first_rows
from ..training.device import Clock
from ..training.loop.batch_plan import Plan, as_indices, check_batch, started
from ..training.loop.gradient import normalises_batches, refuse_batch_statistics
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.diagnosing import Diagnosing
from ..training.measurement.evaluation import along_the_way, at_the_end
from ..training.measurement.module_state import same
from ..training.state import TrialState
from .patience import Limit, yielding
from .split_checks import check_splits
from .workload_checks import check_workload, where_not_finite

_ENOUGH_ROWS = 5
_TIMED_UPDATES, _TIMED_RUNS, _TIMED_SECONDS = 16, 4, 0.05
"""How long the pace of an arm is measured: updates in a run, runs, and about how many seconds each run takes
at most.
"""


@dataclass(frozen=True)
class Estimate:
    """What one trial of an arm will take in the loop.

    Attributes:
        arm: The arm.
        updates: How many it makes; None where only training will tell.
        measurements: How often it is measured.
        seconds: Of updates and measurements together.
        draws: Whether its first updates drew random numbers.
        update_seconds: Of one update alone.
    """

    arm: Arm
    updates: int | None
    measurements: float
    seconds: float
    draws: bool = False
    update_seconds: float = 0.0


def rehearse(trainer: LoopTrainer) -> list[Estimate]:
    """Checks workload and arms together; raises an error that names the arm, and estimates the time of each
    arm's trial.
    """
    comparison = trainer.setup.comparison
    seed = comparison.seeds[0]
    check_splits(trainer)
    for each in comparison.seeds[: comparison.split_seeds]:
        check_workload(trainer, each)
    seconds = check_diagnostics(trainer, Trial(comparison.arms[0], seed))
    bare = trainer.asking(dataclasses.replace(comparison, diagnostics=(), recalibrate=False))
    estimates = [_rehearse_arm(bare, Trial(arm, seed)) for arm in comparison.arms]
    return [_with_diagnostics(estimate, seconds / comparison.diagnose_every) for estimate in estimates]


def check_diagnostics(trainer: LoopTrainer, trial: Trial) -> float:
    """Computes all diagnostics once, at the shared start and after an update that changed nothing; returns
    the seconds.

    Raises :class:`DiagnosticError` for what this model cannot have, naming the layer.
    """
    if not trainer.setup.comparison.diagnostics:
        return 0.0
    run = trainer.run(trial, None)
    diagnosing = Diagnosing(trainer.setup, trial, run.workload, run.model, run.another_model, run.source)
    watch = Clock(trainer.device)
    with watch:
        diagnosing.keep(0, run.weights, torch.arange(min(_ENOUGH_ROWS, run.source.n)), 0)
        diagnosing.measured(run.model, 1, 0, trial.arm.lr)
    return watch.seconds


def _with_diagnostics(estimate: Estimate, seconds: float) -> Estimate:
    """``seconds``: of diagnostics, a record."""
    return dataclasses.replace(estimate, seconds=estimate.seconds + estimate.measurements * seconds)


def _rehearse_arm(trainer: LoopTrainer, trial: Trial) -> Estimate:
    comparison, arm = trainer.setup.comparison, trial.arm
    strategy = copy.deepcopy(trainer.setup.contenders[arm.label].strategy)
    order = trainer.start(trial.seed).order(0).indices
    epoch = Epoch(0, order.clone(), trial.seed, strategy)
    try:
        with yielding(arm.label) as limit:
            if strategy.adaptive:
                first = as_indices(next(started(strategy, epoch, arm.label), None))
                sizes, updates = [check_batch(first, 0, len(order), arm.label, 0)], None
            else:
                sizes = _planned_sizes(strategy, epoch, order, trial, limit)
                updates = len(sizes)
    except (StrategyError, ComparisonError):
        raise
    except RAISED as error:
        raise StrategyError(f"strategy {arm.label}, epoch 0: {explain(error)}") from error
    _check_batch_statistics(trainer, trial, sizes)
    if comparison.budget.unit == "samples" and comparison.budget.amount < sizes[0]:
        raise ComparisonError(
            f"arm {arm.label}: its first update takes {sizes[0]} samples, more than the budget of "
            f"{comparison.budget}; "
            f"give --samples {sizes[0]} or more"
        )
    more_than_one = updates > 1 if updates else sizes[0] < len(order)
    records, state = _perform(trainer, trial, updates=2 if more_than_one else 1)
    progress = state["progress"]
    if records and not math.isfinite(records[0]["train_loss"]):
        raise WorkloadError(
            f"workload {trainer.setup.workload.name}: the training loss before the first update is "
            f"{records[0]['train_loss']}; {where_not_finite(trainer, trial.seed)}"
        )
    if progress["status"] == "failed":
        reason = progress["reason"]
        raise ComparisonError(reason if arm.label in reason else f"arm {arm.label}: {reason}")
    _refuse_unreadable(arm, state["optimizer"])
    passes = progress["epoch"] / max(1, progress["updates"])
    if passes > 1:
        _refuse_short_budget(arm, comparison.budget, progress["epoch"], len(order))
        updates, sizes = None, [len(order) * int(passes)]
    if (
        passes <= 1 and trainer.evaluations(arm) > 1
    ):  # of its batches, so that an epoch's samples are spent sooner
        evaluations, sizes = (
            trainer.evaluations(arm),
            sizes[:1] * math.ceil(len(sizes) / trainer.evaluations(arm)),
        )
        updates = updates and math.ceil(updates / evaluations)
    marked, ended = along_the_way(trainer.sources), at_the_end(trainer.sources, trial)
    tested = sum(source.n for source in ended.values()) / sum(
        source.n for source in marked.values()
    )  # of a mark's time
    update_seconds, mark_seconds = _pace(
        trainer, trial, (records, state), len(sizes) if passes <= 1 else 1, tested
    )
    estimate = _estimate(trainer, arm, updates, sizes, update_seconds, mark_seconds)
    draws = not same(state["rng"], _rng_at_start(trainer, trial))
    return dataclasses.replace(estimate, seconds=estimate.seconds + tested * mark_seconds, draws=draws)


def _rng_at_start(trainer: LoopTrainer, trial: Trial) -> dict[str, Any]:
    with preserved_rng():
        seed_everything(sequence(TRAINING, trial.seed))
        return rng_state(trainer.device)


def _refuse_unreadable(arm: Arm, state: Mapping[str, Any]) -> None:
    """Raises where the optimizer keeps what no checkpoint could bring back: files of a run are never
    unpickled.
    """
    file = io.BytesIO()
    try:
        torch.save(_without_tensors(state), file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except RAISED as error:
        kind = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"keeps a {kind[1]} in its state"
            if kind
            else f"has a state that cannot be saved ({explain(error)})"
        )
        raise ComparisonError(
            f"arm {arm.label}: optimizer {arm.optimizer.label} {what}, which no checkpoint could bring "
            "back; a state is made "
            "of tensors, numbers, texts, lists, tuples and dicts"
        ) from error


def _without_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_tensors(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without_tensors, value))
    return None if isinstance(value, torch.Tensor) else value


def _refuse_short_budget(arm: Arm, budget: Budget, passes: int, n: int) -> None:
    """For optimizers that pass over the data several times in an update."""
    needed = {"epochs": passes, "samples": passes * n}.get(budget.unit, 0)
    if budget.amount < needed:
        raise ComparisonError(
            f"arm {arm.label}: its first update takes {passes} passes over the data, more than the budget "
            f"of {budget}; give "
            f"--{budget.unit} {needed} or more"
        )


def _planned_sizes(
    strategy: Strategy, epoch: Epoch, order: torch.Tensor, trial: Trial, limit: Limit
) -> list[int]:
    """Plans an epoch twice, other random numbers in the global generators, and wants the same batches."""
    again, later = copy.deepcopy(strategy), copy.deepcopy(strategy)
    with preserved_rng():
        plan = Plan(strategy, epoch, order, trial.arm.label, limit.watched)
        seed_everything(sequence(TRAINING, trial.seed, 1))
        second = Plan(
            again, Epoch(0, order.clone(), trial.seed, again), order, trial.arm.label, limit.watched
        )
    if plan.digest(b"", len(plan.sizes)) != second.digest(b"", len(second.sizes)):
        raise StrategyError(
            f"strategy {trial.arm.label}, epoch 0: asked twice, it planned different batches; draw random "
            "numbers from "
            "epoch.rng alone"
        )
    del second
    if strategy.positional:
        other = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
        moved_on = Plan(
            later, Epoch(1, other.clone(), trial.seed + 1, later), other, trial.arm.label, limit.watched
        )
        alike = plan.in_order and moved_on.in_order  # then positions are 0 to n - 1
        alike = alike or torch.equal(plan.positions(order), moved_on.positions(other))
        if plan.sizes != moved_on.sizes or not alike:
            raise StrategyError(
                f"strategy {trial.arm.label} promises positional batches, but took other positions of the "
                "order in another "
                "epoch; leave out positional = True"
            )
    return plan.sizes


def _perform(trainer: LoopTrainer, trial: Trial, updates: int) -> tuple[list[Record], TrialState]:
    """The first updates of the trial, none of them past its first epoch, through the trainer itself."""
    comparison, budget = trainer.setup.comparison, Budget("updates", updates)
    if comparison.budget.unit == "updates" and comparison.budget.amount < updates:
        budget = comparison.budget
    actor = trainer.asking(dataclasses.replace(comparison, budget=budget, measure=0))
    records, state = actor.advance([trial], None, lambda: False)
    return records, state


def _pace(
    trainer: LoopTrainer, trial: Trial, first: tuple[list[Record], TrialState], most: int, tested: float
) -> tuple[float, float]:
    """Seconds of an update and of a measurement: the least of short runs, since first ones and interruptions
    take far longer.

    Args:
        trainer: Makes the updates.
        trial: Is begun again for each run.
        first: Records and state of its first updates; long ones are not repeated.
        most: Updates of its first epoch, which no run exceeds.
        tested: How many measurements the test set counts for at the end.

    Returns:
        Both, each without the other.
    """
    runs = [_seconds_of(*first, tested)]
    while len(runs) <= _TIMED_RUNS and sum(runs[-1]) < _TIMED_SECONDS:
        updates = max(1, min(most, _TIMED_UPDATES, int(_TIMED_SECONDS / max(runs[-1][0], 1e-9))))
        records, state = _perform(trainer, trial, updates)
        if state["progress"]["updates"] == 0:
            break
        runs.append(_seconds_of(records, state, tested))
    updates_took, marks_took = zip(*runs, strict=True)
    return min(updates_took), min(marks_took)


def _seconds_of(records: list[Record], state: TrialState, tested: float) -> tuple[float, float]:
    progress = state["progress"]
    measured = max(1, len(records)) + tested
    return progress["train_seconds"] / max(1, progress["updates"]), progress["measure_seconds"] / measured


def _estimate(
    trainer: LoopTrainer,
    arm: Arm,
    planned: int | None,
    sizes: list[int],
    update_seconds: float,
    mark_seconds: float,
) -> Estimate:
    comparison, n = trainer.setup.comparison, trainer.setup.workload.size
    per_epoch = len(sizes) if planned else n / sizes[0] if sizes[0] > n else math.ceil(n / sizes[0])
    unit, amount = comparison.budget.unit, comparison.budget.amount
    total = {"epochs": amount * per_epoch, "updates": amount, "samples": amount * per_epoch / n}.get(unit)
    updates = amount / max(update_seconds, 1e-9) if total is None else total
    epochs = updates / per_epoch
    marks = min(updates, epochs * comparison.measure + math.log2(n) * (comparison.measure > 0)) + 2
    known = int(updates) if total is not None and (planned or unit == "updates") else None
    seconds = updates * update_seconds + marks * mark_seconds
    return Estimate(arm, known, marks, seconds, update_seconds=update_seconds)


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
            workload.mean_loss(model, first_rows(workload.train, 1, workload.collate))
    except ValueError as error:
        tail = sizes[-1] == 1 < min(sizes[:-1], default=1)
        advice = (
            "merge the last batch into the one before (tail=merge, where the strategy has it)" if tail else ""
        )
        raise ComparisonError(
            f"arm {trial.arm.label}: {kind} cannot train on a batch of one sample; "
            f"{advice or 'use larger batches'}"
        ) from error
