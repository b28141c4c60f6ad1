"""What an adaptive strategy asked to know of an update: computed between the gradient and the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call, grad, vmap

from ..errors import StrategyError
from ..strategy import NEEDS, StepStats, Strategy
from ..workload import Workload

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


def step_stats(
    needs: Sequence[str],
    workload: Workload,
    model: nn.Module,
    batches: Sequence[Any],
    loss: Tensor,
    lr: float,
    size: int,
) -> StepStats:
    """The stats of the update whose mean gradient stands in ``.grad``; ``batches`` are its chunks,
    read only where gradients of single samples are needed."""
    stats = StepStats(batch_size=size)
    if "loss" in needs:
        stats.loss = float(loss.detach())
    if "lr" in needs:
        stats.lr = lr
    if needs_samples(needs) or "grad" in needs or "grad_norm" in needs:
        mean = torch.cat([weight.grad.reshape(-1) for weight in model.parameters() if weight.grad is not None])
        if "grad" in needs:
            stats.grad = mean
        if "grad_norm" in needs:
            stats.grad_norm = float(mean.norm())
        if needs_samples(needs):
            _add_per_sample(stats, needs, workload, model, batches, mean)
    return stats


def _add_per_sample(
    stats: StepStats, needs: Sequence[str], workload: Workload, model: nn.Module, batches: Sequence[Any], mean: Tensor
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


def sample_gradients(workload: Workload, model: nn.Module, batch: Any) -> Tensor:
    """The gradient of each sample's own loss, [B, P], parameters in the model's order.

    Raises :class:`StrategyError` where the model cannot be mapped over single samples.
    """
    trained = {name: weight.detach() for name, weight in model.named_parameters() if weight.grad is not None}
    trained_themselves = {id(weight) for weight in model.parameters() if weight.grad is not None}
    fixed = {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, torch.Tensor) and id(value) not in trained_themselves
    }

    class Bound(torch.nn.Module):
        """Lets an objective call the model with other weights."""

        def __init__(self, weights: dict[str, Tensor]) -> None:
            super().__init__()
            self._weights = weights

        def forward(self, *inputs: Any, **named: Any) -> Any:
            return functional_call(model, {**fixed, **self._weights}, inputs, named)

    def loss(weights: dict[str, Tensor], *sample: Tensor) -> Tensor:
        return workload.mean_loss(Bound(weights), tuple(part.unsqueeze(0) for part in sample))

    try:
        in_dims = (None, *[0] * len(batch))
        gradients = vmap(grad(loss), in_dims=in_dims, randomness="different")(trained, *batch)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise StrategyError(f"gradients of single samples cannot be had from this model: {reason}") from error
    return torch.cat([gradients[name].flatten(1) for name in trained], dim=1)
