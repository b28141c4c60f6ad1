"""The gradient of a batch that may be too large for one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Arm
from ...errors import ComparisonError
from ...interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor, nn


def in_chunks(
    batches: Sequence[Tensor], largest: int, arm: Arm, model: nn.Module
) -> tuple[Sequence[Tensor], Sequence[int]]:
    """Return the index tensors of all forward passes, and how many of them each update takes."""
    if largest <= arm.chunk:
        return batches, [1] * len(batches)
    refuse_batch_statistics(model, arm, largest)
    pieces = [batch.split(arm.chunk) for batch in batches]
    return [piece for split in pieces for piece in split], list(map(len, pieces))


def mean_gradient(
    workload: Workload, model: nn.Module, weights: Sequence[Tensor], stream: Iterator[Any], chunks: int
) -> Tensor:
    """Leaves in ``.grad`` the gradient of the mean loss over the next ``chunks`` batches; returns that loss.

    Several are combined as Σ weight·gradient / Σ weight: the gradient of one pass over all rows, up to
    rounding, where the loss is a weighted mean of theirs.
    """
    for parameter in weights:
        parameter.grad = None
    if chunks == 1:
        loss = workload.mean_loss(model, next(stream))
        loss.backward()
        return loss
    total_weight, total = 0.0, torch.zeros(())
    for _ in range(chunks):
        batch = next(stream)
        weight = workload.weigh(batch)
        if weight == 0:  # no label in it: a mean over nothing is NaN
            continue
        weighted = workload.mean_loss(model, batch) * weight
        weighted.backward()
        total, total_weight = total.to(weighted) + weighted.detach(), total_weight + weight
    for parameter in weights:
        if parameter.grad is not None:
            parameter.grad.div_(total_weight)
    return total / total_weight


def clip(weights: Sequence[Tensor], most: float) -> None:
    """Scale the whole gradient in ``.grad`` down to a norm, if its own is larger.

    The arithmetic is that of ``torch.nn.utils.clip_grad_norm_``, which does not take sparse gradients; here
    they stay sparse.
    """
    if not any(weight.grad is not None and weight.grad.is_sparse for weight in weights):
        torch.nn.utils.clip_grad_norm_(weights, most)
        return
    found = []
    for weight in weights:
        if weight.grad is not None:
            weight.grad = weight.grad.coalesce() if weight.grad.is_sparse else weight.grad
            found.append(weight.grad.values() if weight.grad.is_sparse else weight.grad)
    norm = torch.stack([values.norm() for values in found]).norm()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for values in found:
        values.mul_(factor)


def normalises_batches(model: nn.Module) -> str | None:
    """The kind of the first module that uses batch statistics in training, if there is one."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.training:
            return type(module).__name__
    return None


def refuse_batch_statistics(model: nn.Module, arm: Arm, size: int) -> None:
    """Raises where chunks would change what is computed: each would be normalised by itself."""
    kind = normalises_batches(model)
    if kind is not None:
        raise ComparisonError(
            f"arm {arm.label}: a batch of {size} rows would be computed in chunks of {arm.chunk}, and "
            f"{kind} would "
            f"normalise each chunk by itself; give --chunk {size} or more"
        )
