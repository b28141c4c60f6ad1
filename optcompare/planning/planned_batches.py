"""Plan the batches of an arm's first epoch before training, and refuse those that cannot be trained."""

from __future__ import annotations

import copy

import torch

from ..core.comparison import Trial
from ..core.rng import TRAINING, preserved_rng, seed_everything, seed_sequence
from ..errors import USER_CODE_ERRORS, ComparisonError, StrategyError, explain
from ..interfaces.strategy import Epoch, Strategy
from ..training.data import first_rows
from ..training.loop.batch_plan import Plan, as_indices, check_batch, start_generator
from ..training.loop.gradient import normalises_batches, refuse_batch_statistics
from ..training.loop.trainer import LoopTrainer
from .patience import Limit, yielding


def planned_batches(trainer: LoopTrainer, trial: Trial) -> tuple[list[int], int | None]:
    """Plan the first epoch of a trial, and check that its batches can be trained.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.

    Returns:
        Samples of each batch, and their number; of an adaptive strategy the first batch alone, and None.

    Raises:
        StrategyError: The strategy fails, or plans other batches when it is called again.
        ComparisonError: The model cannot train on batches of these sizes.
    """
    label = trial.arm.label
    strategy = copy.deepcopy(trainer.setup.arm_objects[label].strategy)
    order = trainer.start(trial.seed).order(0).indices
    epoch = Epoch(0, order.clone(), trial.seed, strategy)
    count: int | None = None
    try:
        with yielding(label) as limit:
            if strategy.adaptive:
                first = as_indices(next(start_generator(strategy, epoch, label), None))
                sizes = [check_batch(first, 0, len(order), label, 0)]
            else:
                sizes = _planned_sizes(strategy, epoch, order, trial, limit)
                count = len(sizes)
    except (StrategyError, ComparisonError):
        raise
    except USER_CODE_ERRORS as error:
        raise StrategyError(f"strategy {label}, epoch 0: {explain(error)}") from error
    _check_batch_statistics(trainer, trial, sizes)
    return sizes, count


def _planned_sizes(
    strategy: Strategy, epoch: Epoch, order: torch.Tensor, trial: Trial, limit: Limit
) -> list[int]:
    """Plan an epoch twice, with other global random numbers, and check that the batches are the same."""
    again, later = copy.deepcopy(strategy), copy.deepcopy(strategy)
    with preserved_rng():
        plan = Plan(strategy, epoch, order, trial.arm.label, limit.watched)
        seed_everything(seed_sequence(TRAINING, trial.seed, 1))
        second = Plan(
            again, Epoch(0, order.clone(), trial.seed, again), order, trial.arm.label, limit.watched
        )
    if plan.digest(b"", len(plan.sizes)) != second.digest(b"", len(second.sizes)):
        raise StrategyError(
            f"strategy {trial.arm.label}, epoch 0: it planned different batches when it was called "
            "twice; draw random numbers from epoch.rng alone"
        )
    del second
    if strategy.positional:
        _check_positions(later, plan, order, trial, limit)
    return plan.sizes


def _check_positions(strategy: Strategy, plan: Plan, order: torch.Tensor, trial: Trial, limit: Limit) -> None:
    """Check that a strategy that promises so takes the same positions of the order in every epoch."""
    other = torch.randperm(len(order), generator=torch.Generator().manual_seed(1))
    epoch = Epoch(1, other.clone(), trial.seed + 1, strategy)
    next_plan = Plan(strategy, epoch, other, trial.arm.label, limit.watched)
    alike = plan.in_order and next_plan.in_order  # then positions are 0 to n - 1
    alike = alike or torch.equal(plan.positions(order), next_plan.positions(other))
    if plan.sizes != next_plan.sizes or not alike:
        raise StrategyError(
            f"strategy {trial.arm.label} promises positional batches, but took other positions of the "
            "order in another epoch; leave out positional = True"
        )


def _check_batch_statistics(trainer: LoopTrainer, trial: Trial, sizes: list[int]) -> None:
    """Check that BatchNorm has each batch in one chunk and, without spatial size, more than one sample."""
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
        only_last = sizes[-1] == 1 < min(sizes[:-1], default=1)
        advice = (
            "merge the last batch into the one before (tail=merge, where the strategy has it)"
            if only_last
            else "use larger batches"
        )
        raise ComparisonError(
            f"arm {trial.arm.label}: {kind} cannot train on a batch of one sample; {advice}"
        ) from error
