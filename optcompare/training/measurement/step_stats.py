"""The statistics of an update that adaptive strategies need, computed between gradient and step."""

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
    """Raises :class:`StrategyError` for a need that :class:`StepStats` does not have."""
    for need in strategy.needs:
        if need not in NEEDS:
            raise StrategyError(f"strategy {name} needs '{need}'; an update can tell {', '.join(NEEDS)}")


def needs_samples(needs: Sequence[str]) -> bool:
    """Whether any of the needs takes the gradients of single samples."""
    return not _PER_SAMPLE.isdisjoint(needs)


def norms_alone(needs: Sequence[str]) -> bool:
    """Whether the norms of those gradients are enough."""
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

    ``batches`` are its chunks, used only where gradients of single samples are needed; ``norms``: for their
    norms alone.
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
    found: dict[str, list[Tensor]] = {need: [] for need in needs if need in _PER_SAMPLE}
    for batch in batches:
        gradients = sample_gradients(workload, model, batch)  # [rows, P]
        if "sample_grads" in found:
            found["sample_grads"].append(gradients)
        if "sample_grad_norms" in found:
            found["sample_grad_norms"].append(gradients.norm(dim=1))
        if "sample_grad_dots" in found:
            found["sample_grad_dots"].append(gradients @ mean)
    for need, parts in found.items():
        setattr(stats, need, torch.cat(parts))
