"""The snapshot of a trial for diagnostics: a copy of its model, with lazily computed quantities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.rng import DIAGNOSTIC, seed_sequence
from ...core.tree import len_batch, select_rows, to_dense
from ...errors import DiagnosticError, StrategyError, shorten
from ...interfaces.diagnostic import Samples
from ...interfaces.workload import Workload
from ..data import Source
from .failing_layer import Probe, failing_layer, probe_mapped, probe_twice
from .per_sample_grads import SampleNorms, mixing_layer

if TYPE_CHECKING:
    from torch import Tensor, nn

_ENTRIES = 2**24
"""The most numbers in one matrix of per-sample gradients."""


@dataclass(frozen=True)
class LastUpdate:
    """Hold the start of an update.

    Attributes:
        number: Updates made before it.
        before: The weights, [P].
        indices: The indices of its batch, int64[B].
        epoch: The number of its epoch.
    """

    number: int
    before: Tensor
    indices: Tensor
    epoch: int


@dataclass(frozen=True)
class SnapshotContext:
    """Hold the objects that all snapshots of a trial share.

    Attributes:
        workload: The workload on the trial's device, with its own copy of the loss.
        source: The training data.
        norms: Computes the norms of per-sample gradients.
        start: The weights at the shared start, [P].
        seed: The seed of the trial.
        chunk: Rows of one forward pass.
    """

    workload: Workload
    source: Source
    norms: SampleNorms
    start: Tensor
    seed: int
    chunk: int


@dataclass(frozen=True)
class SnapshotPoint:
    """Hold the position in the training at which a trial is measured.

    Attributes:
        update: The number of updates made so far.
        samples: Training samples whose gradients were evaluated.
        lr: The learning rate of the last update; before the first, that of the arm.
    """

    update: int
    samples: int
    lr: float


class LiveSnapshot:
    """Implement :class:`optcompare.Snapshot`.

    Args:
        context: Shared by all snapshots of the trial.
        model: A temporary copy in evaluation mode, with the weights of the trial.
        point: The position of the trial.
        last: The last update; None before the first.
    """

    def __init__(
        self, context: SnapshotContext, model: nn.Module, point: SnapshotPoint, last: LastUpdate | None
    ) -> None:
        self.workload, self.start, self.seed = context.workload, context.start, context.seed
        self.update, self.samples, self.lr = point.update, point.samples, point.lr
        self.model, self.before = model, None if last is None else last.before
        self._source, self._norms, self._chunk = context.source, context.norms, context.chunk
        self._last = last
        self._samples: dict[int, Samples] = {}
        self._trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.weights = flat(list(self._trained.values()))

    def chunks(self) -> Iterator[Any]:
        return self._source.stream(torch.arange(self._source.n).split(self._chunk), 0, 0, ahead=False)

    @cached_property
    def gradient(self) -> Tensor:
        return self._mean_gradient(self.chunks())

    @cached_property
    def gradient_before(self) -> Tensor | None:
        return (
            None if self.before is None else self._at(self.before, lambda: self._mean_gradient(self.chunks()))
        )

    @cached_property
    def batch_gradient(self) -> Tensor | None:
        if self._last is None:
            return None
        pieces = self._stream_of_batch(self._last, self._chunk)
        return self._at(self._last.before, lambda: self._mean_gradient(pieces))

    @cached_property
    def batch(self) -> Any:
        return (
            None if self._last is None else next(self._stream_of_batch(self._last, len(self._last.indices)))
        )

    def sampled(self, rows: int) -> Samples:
        rows = min(rows, self._source.n)
        if rows not in self._samples:
            self._samples[rows] = self._sampled(rows)
        return self._samples[rows]

    def hessian_product(self, vector: Tensor) -> Tensor:
        total, weights = torch.zeros_like(self.weights), 0.0
        parts = self._parts(vector.to(self.weights))
        for gradients, weight in self._differentiable():
            total += weight * self._differentiated(gradients, parts)
            weights += weight
        return total / weights

    @cached_property
    def _graph(self) -> list[tuple[Sequence[Tensor], float]]:
        return list(self._twice_differentiable())

    def _differentiable(self) -> Iterator[tuple[Sequence[Tensor], float]]:
        """Yield the gradient of each chunk with its graph, and the chunk's weight.

        The graph is kept if there is a single chunk.
        """
        yield from self._graph if self._source.n <= self._chunk else self._twice_differentiable()

    def _twice_differentiable(self) -> Iterator[tuple[Sequence[Tensor], float]]:
        for batch in self.chunks():
            try:
                gradients = self._gradients(self.workload.mean_loss(self.model, batch), create_graph=True)
            except (RuntimeError, NotImplementedError) as error:
                raise self._refused("Hessian-vector products", error, probe_twice) from error
            yield gradients, self.workload.weigh(batch)

    def _differentiated(self, gradients: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
        pairs = [
            (gradient, part)
            for gradient, part in zip(gradients, parts, strict=True)
            if gradient.requires_grad
        ]
        if not pairs:  # the loss is linear in the weights
            return torch.zeros_like(self.weights)
        products: Any = torch.autograd.grad
        try:
            product = products(
                [gradient for gradient, _ in pairs],
                list(self._trained.values()),
                [part for _, part in pairs],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        except (RuntimeError, NotImplementedError) as error:
            raise self._refused("Hessian-vector products", error, probe_twice) from error
        return flat(product)

    def _mean_gradient(self, batches: Iterator[Any]) -> Tensor:
        total, weights = torch.zeros_like(self.weights), 0.0
        for batch in batches:
            weight = self.workload.weigh(batch)
            if weight:  # the mean loss of a batch without weight is NaN
                total += weight * flat(self._gradients(self.workload.mean_loss(self.model, batch)))
            weights += weight
        return total / weights

    def _sampled(self, rows: int) -> Samples:
        layer = mixing_layer(self.model, training=True)
        if layer is not None:
            raise DiagnosticError(
                f"{layer} makes each sample's loss depend on the others of its batch, so that there are no "
                "gradients of single samples"
            )
        indices = torch.arange(rows)
        if rows < self._source.n:
            generator = np.random.Generator(
                np.random.PCG64(seed_sequence(DIAGNOSTIC, self.seed, self.update))
            )
            indices = torch.from_numpy(np.sort(generator.choice(self._source.n, rows, replace=False)))
        mean = self._mean_gradient(self._source.stream(indices.split(self._chunk), 0, 0, ahead=False))
        return Samples(self._squares(indices), mean)

    def _squares(self, indices: Tensor) -> Tensor:
        names = list(self._trained)
        size = min(self._chunk, max(1, _ENTRIES // len(self.weights)))
        squares, shares = [], []
        for batch in self._source.stream(indices.split(size), 0, 0, ahead=False):
            try:
                squares.append(self._norms.squares(self.model, batch, names).detach().double())
            except (StrategyError, TypeError) as error:
                raise self._refused("gradients of single samples", error, probe_mapped) from error
            if not self.workload.by_rows:
                shares += [
                    self.workload.weigh(select_rows(batch, slice(i, i + 1))) for i in range(len_batch(batch))
                ]
        norms = torch.cat(squares)
        if not shares:
            return norms
        weights = norms.new_tensor(shares)
        return norms * (weights / weights.mean()).square()

    def _gradients(self, loss: Tensor, create_graph: bool = False) -> Sequence[Tensor]:
        return torch.autograd.grad(
            loss,
            list(self._trained.values()),
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )

    def _at(self, weights: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Compute a value at other weights, and restore the weights."""
        put(self._trained.values(), weights)
        try:
            return compute()
        finally:
            put(self._trained.values(), self.weights)

    def _parts(self, vector: Tensor) -> list[Tensor]:
        sizes = [weight.numel() for weight in self._trained.values()]
        return [
            part.view_as(weight)
            for part, weight in zip(vector.split(sizes), self._trained.values(), strict=True)
        ]

    def _stream_of_batch(self, last: LastUpdate, rows: int) -> Iterator[Any]:
        return self._source.stream(last.indices.split(rows), self.seed, last.epoch, ahead=False)

    def _refused(self, what: str, error: Exception, probe: Probe) -> DiagnosticError:
        reason = shorten(str(error.__cause__ or error).partition("\n")[0])
        try:
            layer = failing_layer(self.model, self.workload, next(self.chunks()), probe)
        except Exception:
            layer = None
        return DiagnosticError(f"{layer or 'the model'} has no {what}: {reason}")


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors to one vector, [P], that shares no memory with them."""
    return torch.cat([to_dense(tensor.detach()).reshape(-1) for tensor in tensors])


@torch.no_grad()
def put(weights: Iterable[Tensor], vector: Tensor) -> None:
    """Write a vector, [P], into weights."""
    begin = 0
    for weight in weights:
        weight.copy_(vector[begin : begin + weight.numel()].view_as(weight))
        begin += weight.numel()
