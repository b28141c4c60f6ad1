"""Compute the statistics of an update that adaptive strategies need, between gradient and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.tree import to_dense
from ...errors import StrategyError
from ...interfaces.strategy import NEEDS, StepStats, Strategy
from ...interfaces.workload import Workload
from .per_sample_grads import SampleNorms, sample_gradients

if TYPE_CHECKING:
    from torch import Tensor, nn

_PER_SAMPLE = {"sample_grad_norms", "sample_grad_dots", "sample_grads"}


def check_needs(strategy: Strategy, name: str) -> None:
    """Check that :class:`StepStats` has everything that a strategy needs.

    Args:
        strategy: The strategy.
        name: The name of the strategy, for the message.

    Raises:
        StrategyError: It has not.
    """
    for need in strategy.needs:
        if need not in NEEDS:
            raise StrategyError(
                f"strategy {name} needs '{need}'; the statistics of an update are {', '.join(NEEDS)}"
            )


def needs_samples(needs: Sequence[str]) -> bool:
    """Return whether any of the needs requires per-sample gradients."""
    return not _PER_SAMPLE.isdisjoint(needs)


def needs_norms_only(needs: Sequence[str]) -> bool:
    """Return whether of per-sample gradients only the norms are needed."""
    return _PER_SAMPLE.intersection(needs) == {"sample_grad_norms"}


def step_stats(
    needs: Sequence[str],
    workload: Workload,
    model: nn.Module,
    batches: Sequence[Any],
    loss: Tensor,
    lr: float,
    size: int,
    norms: SampleNorms | None,
) -> StepStats:
    """Return the statistics of the update whose mean gradient is in ``.grad``.

    Args:
        needs: The names of the statistics.
        workload: The workload.
        model: The model, after the backward pass.
        batches: The chunks of the batch, used only for per-sample gradients.
        loss: The mean loss of the batch.
        lr: The learning rate.
        size: Samples of the batch.
        norms: Computes the norms of per-sample gradients if only these are needed; else None.
    """
    stats = StepStats(batch_size=size)
    if "loss" in needs:
        stats.loss = float(loss.detach())
    if "lr" in needs:
        stats.lr = lr
    if needs_samples(needs) or "grad" in needs or "grad_norm" in needs:
        mean = torch.cat(
            [to_dense(weight.grad).reshape(-1) for weight in model.parameters() if weight.grad is not None]
        )
        if "grad" in needs:
            stats.grad = mean
        if "grad_norm" in needs:
            stats.grad_norm = float(mean.norm())
        if needs_samples(needs):
            if norms is not None:
                stats.sample_grad_norms = torch.cat([norms.squares(model, batch).sqrt() for batch in batches])
            else:
                _add_per_sample(stats, needs, workload, model, batches, mean)
    return stats


def _add_per_sample(
    stats: StepStats,
    needs: Sequence[str],
    workload: Workload,
    model: nn.Module,
    batches: Sequence[Any],
    mean: Tensor,
) -> None:
    columns: dict[str, list[Tensor]] = {need: [] for need in needs if need in _PER_SAMPLE}
    for batch in batches:
        gradients = sample_gradients(workload, model, batch)  # [rows, P]
        if "sample_grads" in columns:
            columns["sample_grads"].append(gradients)
        if "sample_grad_norms" in columns:
            columns["sample_grad_norms"].append(gradients.norm(dim=1))
        if "sample_grad_dots" in columns:
            columns["sample_grad_dots"].append(gradients @ mean)
    for need, parts in columns.items():
        setattr(stats, need, torch.cat(parts))
