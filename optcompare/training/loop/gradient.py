"""Compute the gradient of a batch that may be too large for one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Arm
from ...errors import ComparisonError
from ...interfaces.workload import Workload
from ..counter_rng import seed_key, update_key
from ..dropout import CounterMasks
from ..position import POSITION

if TYPE_CHECKING:
    from torch import Tensor, nn


def in_chunks(
    batches: Sequence[Tensor], largest: int, arm: Arm, model: nn.Module
) -> tuple[Sequence[Tensor], Sequence[int]]:
    """Split batches into chunks for forward passes.

    Args:
        batches: Indices of each update, int64[B] each.
        largest: The size of the largest batch.
        arm: The arm, with the rows of a chunk.
        model: The model of the workload.

    Returns:
        The indices of all forward passes, and the number of forward passes of each update.

    Raises:
        ComparisonError: Chunks would change what the model computes.
    """
    if largest <= arm.chunk:
        return batches, [1] * len(batches)
    refuse_batch_statistics(model, arm, largest)
    pieces = [batch.split(arm.chunk) for batch in batches]
    return [piece for split in pieces for piece in split], list(map(len, pieces))


def mean_gradient(
    workload: Workload, model: nn.Module, weights: Sequence[Tensor], stream: Iterator[Any], chunks: int
) -> Tensor:
    """Compute the gradient of the mean loss over the next chunks in ``.grad``, and return that loss.

    Gradients of several chunks are combined as Σ weight·gradient / Σ weight. Up to rounding this is the
    gradient of one pass over all rows, if the loss is a weighted mean over rows.

    Args:
        workload: Computes the loss and the weight of a batch.
        model: The model.
        weights: The trainable weights of the model.
        stream: An iterator over chunks of batches.
        chunks: The number of chunks to take.
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
        if weight == 0:  # a batch without labels, whose mean loss is NaN
            continue
        weighted = workload.mean_loss(model, batch) * weight
        weighted.backward()
        total, total_weight = total.to(weighted) + weighted.detach(), total_weight + weight
    for parameter in weights:
        if parameter.grad is not None:
            parameter.grad.div_(total_weight)
    return total / total_weight


class UpdateGradient:
    """Compute the gradient of each update of a trial.

    Args:
        workload: The workload of the trial.
        model: The model of the trial.
        weights: The trainable weights of the model.
        seed: The seed of the trial, if dropout masks come from a counter; None: they come from the generator.
    """

    def __init__(
        self, workload: Workload, model: nn.Module, weights: Sequence[Tensor], seed: int | None
    ) -> None:
        self._workload, self._model, self._weights = workload, model, weights
        self._masks = None if seed is None else CounterMasks(model)
        self._key = (0, 0) if seed is None else seed_key(seed)

    def __call__(self, stream: Iterator[Any], chunks: int) -> Tensor:
        """Compute the gradient of the update at :data:`.POSITION`; see :func:`mean_gradient`."""
        if self._masks is None:
            return mean_gradient(self._workload, self._model, self._weights, stream, chunks)
        with self._masks.drawn(update_key(self._key, POSITION.update)):
            return mean_gradient(self._workload, self._model, self._weights, stream, chunks)


def clip(weights: Sequence[Tensor], most: float) -> None:
    """Scale the whole gradient in ``.grad`` down to a norm, if its own is larger.

    The arithmetic is that of ``torch.nn.utils.clip_grad_norm_``, which does not accept sparse gradients; here
    they stay sparse.
    """
    if not any(weight.grad is not None and weight.grad.is_sparse for weight in weights):
        torch.nn.utils.clip_grad_norm_(weights, most)
        return
    gradients = []
    for weight in weights:
        if weight.grad is not None:
            weight.grad = weight.grad.coalesce() if weight.grad.is_sparse else weight.grad
            gradients.append(weight.grad.values() if weight.grad.is_sparse else weight.grad)
    norm = torch.stack([values.norm() for values in gradients]).norm()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for values in gradients:
        values.mul_(factor)


def sparse_gradients(model: nn.Module) -> list[str]:
    """Return the names of weights whose ``.grad`` is sparse, as those of embeddings may be."""
    return [
        name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.is_sparse
    ]


def about_sparse_gradients(model: nn.Module) -> str:
    """Return the end of a message about an optimizer that fails; empty where no gradient is sparse."""
    names = sparse_gradients(model)
    if not names:
        return ""
    return (
        f"; the gradient of {names[0]} is sparse, which sgd without weight decay, adagrad, sparseadam and "
        "few others accept: use one of them, or embeddings with sparse=False"
    )


def normalises_batches(model: nn.Module) -> str | None:
    """Return the class name of the first module that uses batch statistics in training, or None."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.training:
            return type(module).__name__
    return None


def refuse_batch_statistics(model: nn.Module, arm: Arm, size: int) -> None:
    """Refuse chunks for a model with batch statistics, which would normalise each chunk separately."""
    kind = normalises_batches(model)
    if kind is not None:
        raise ComparisonError(
            f"arm {arm.label}: a batch of {size} rows would be computed in chunks of {arm.chunk}, and "
            f"{kind} would normalise each chunk by itself; give --chunk {size} or more"
        )
