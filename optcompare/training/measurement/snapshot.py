"""A trial at one record, as diagnostics see it: a copy of its model, and what can be computed there, each
thing once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .per_sample_grads import SampleNorms, mixing_layer

if TYPE_CHECKING:
    from torch import Tensor, nn

_ENTRIES = 2**24
"""Numbers in one matrix of single samples' gradients."""


@dataclass(frozen=True)
class Kept:
    """What an update set out from: weights [P], and the indices of its batch in that epoch; ``update``: those
    before it.
    """

    update: int
    before: Tensor
    indices: Tensor
    epoch: int


class LiveMoment:
    """The one implementation of :class:`optcompare.Moment`. ``kept``: of the last update; ``chunk``: rows."""

    def __init__(
        self,
        workload: Workload,
        model: nn.Module,
        source: Source,
        norms: SampleNorms,
        start: Tensor,
        kept: Kept | None,
        *,
        update: int,
        samples: int,
        seed: int,
        lr: float,
        chunk: int,
    ) -> None:
        self.workload, self.model, self.start, self.lr = workload, model, start, lr
        self.update, self.samples, self.seed = update, samples, seed
        self.before = None if kept is None else kept.before
        self._source, self._norms, self._kept, self._chunk = source, norms, kept, chunk
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
        if self._kept is None:
            return None
        pieces = self._stream_of_batch(self._kept, self._chunk)
        return self._at(self._kept.before, lambda: self._mean_gradient(pieces))

    @cached_property
    def batch(self) -> Any:
        return (
            None if self._kept is None else next(self._stream_of_batch(self._kept, len(self._kept.indices)))
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
        """The gradient of each chunk with its graph, and the chunk's weight; the graph of a single chunk is
        kept.
        """
        yield from self._graph if self._source.n <= self._chunk else self._twice_differentiable()

    def _twice_differentiable(self) -> Iterator[tuple[Sequence[Tensor], float]]:
        for batch in self.chunks():
            try:
                gradients = self._gradients(self.workload.mean_loss(self.model, batch), create_graph=True)
            except (RuntimeError, NotImplementedError) as error:
                raise self._refused("Hessian-vector products", error, _probe_twice) from error
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
            found = products(
                [gradient for gradient, _ in pairs],
                list(self._trained.values()),
                [part for _, part in pairs],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
        except (RuntimeError, NotImplementedError) as error:
            raise self._refused("Hessian-vector products", error, _probe_twice) from error
        return flat(found)

    def _mean_gradient(self, batches: Iterator[Any]) -> Tensor:
        total, weights = torch.zeros_like(self.weights), 0.0
        for batch in batches:
            weight = self.workload.weigh(batch)
            if weight:  # of a batch in which nothing counts, the mean is NaN
                total += weight * flat(self._gradients(self.workload.mean_loss(self.model, batch)))
            weights += weight
        return total / weights

    def _sampled(self, rows: int) -> Samples:
        layer = mixing_layer(self.model, training=True)
        if layer is not None:
            raise DiagnosticError(
                f"{layer} makes each sample's loss depend on the others of its batch, so that there are no "
                "gradients of "
                "single samples"
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
                raise self._refused("gradients of single samples", error, _probe_mapped) from error
            if not self.workload.by_rows:
                shares += [
                    self.workload.weigh(select_rows(batch, slice(i, i + 1))) for i in range(len_batch(batch))
                ]
        found = torch.cat(squares)
        if not shares:
            return found
        weights = found.new_tensor(shares)
        return found * (weights / weights.mean()).square()

    def _gradients(self, loss: Tensor, create_graph: bool = False) -> Sequence[Tensor]:
        return torch.autograd.grad(
            loss,
            list(self._trained.values()),
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )

    def _at(self, weights: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """What it gives at other weights."""
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

    def _stream_of_batch(self, kept: Kept, rows: int) -> Iterator[Any]:
        return self._source.stream(kept.indices.split(rows), self.seed, kept.epoch, ahead=False)

    def _refused(self, what: str, error: Exception, probe: Probe) -> DiagnosticError:
        reason = shorten(str(error.__cause__ or error).partition("\n")[0])
        try:
            layer = _failing(self.model, self.workload, next(self.chunks()), probe)
        except Exception:
            layer = None
        return DiagnosticError(f"{layer or 'the model'} has no {what}: {reason}")


Probe = Callable[["nn.Module", tuple[Any, ...]], Any]


def _failing(model: nn.Module, workload: Workload, batch: Any, probe: Probe) -> str | None:
    """The first module without children for which the probe fails, on what it is given in a forward pass."""
    calls: list[tuple[str, nn.Module, tuple[Any, ...]]] = []
    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    handles = [
        module.register_forward_pre_hook(lambda m, inputs, name=name: calls.append((name, m, inputs)))
        for name, module in leaves
    ]
    try:
        workload.mean_loss(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    for name, module, inputs in calls:
        try:
            probe(module, inputs)
        except Exception:
            return f"layer {name or 'model'} ({type(module).__name__})"
    return None


def _probe_twice(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    leaves = [_leaf(each) for each in inputs]
    wanted = [
        each
        for each in (*leaves, *module.parameters())
        if isinstance(each, torch.Tensor) and each.requires_grad
    ]
    output = module(*leaves)
    if wanted and output.requires_grad:
        gradients: Any = torch.autograd.grad(
            output.square().sum(), wanted, create_graph=True, allow_unused=True
        )
        again = [gradient for gradient in gradients if gradient is not None and gradient.requires_grad]
        torch.autograd.grad(sum(gradient.square().sum() for gradient in again), wanted, allow_unused=True)


def _probe_mapped(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    def loss(weights: dict[str, Tensor], *sample: Any) -> Tensor:
        parts = tuple(each.unsqueeze(0) if isinstance(each, torch.Tensor) else each for each in sample)
        output: Tensor = torch.func.functional_call(module, weights, parts)
        return output.square().sum() + sum(weight.sum() for weight in weights.values())

    first = inputs[0] if inputs else None
    by = (0, 1) if isinstance(first, torch.Tensor) and first.is_floating_point() else (0,)

    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    dims = tuple(0 if isinstance(each, torch.Tensor) else None for each in inputs)
    torch.func.vmap(torch.func.grad(loss, argnums=by), in_dims=(None, *dims), randomness="different")(
        weights, *(each.detach() if isinstance(each, torch.Tensor) else each for each in inputs)
    )


def _leaf(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_()
    return value


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """One vector, [P], sharing no memory with any of them."""
    return torch.cat([to_dense(tensor.detach()).reshape(-1) for tensor in tensors])


@torch.no_grad()
def put(weights: Any, vector: Tensor) -> None:
    """Writes the vector into them."""
    begin = 0
    for weight in weights:
        weight.copy_(vector[begin : begin + weight.numel()].view_as(weight))
        begin += weight.numel()
