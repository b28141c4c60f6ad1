"""Compute per-sample gradients, and their norms without the gradients where layers allow it.

Norms for most linear layers and convolutions use :mod:`.layer_norms`. All other weights use ``torch.func``,
or one backward pass for each sample if a model cannot be vectorized (attention with masks, for example).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from ...core.rng import preserved_rng
from ...core.tree import has_equal_lengths, len_batch, replace_tensors, select_rows, tensors, to_dense
from ...errors import StrategyError, explain
from ...interfaces.mean_loss import MeanLoss
from ...interfaces.workload import Workload
from .evaluation import evaluating
from .layer_norms import agreeing_layers, squares_of_layers
from .module_state import preserved_state

if TYPE_CHECKING:
    from torch import Tensor

_FEW = 3


class SampleNorms:
    """Compute |g_i|² of a model, by a method that is chosen once, at the shared start.

    The fast method of :mod:`.layer_norms` is not used for objectives, since their loss may depend on whole
    batches, nor for weights that are shared or used in another way.

    Args:
        workload: The workload of the model.
        model: The model at its start.
        rows: A batch of a few samples; on it the fast method must agree with one backward pass per sample.

    Attributes:
        layers: The names of the layers that use the fast method.
    """

    def __init__(self, workload: Workload, model: nn.Module, rows: Any) -> None:
        self._workload = workload
        self.layers = self._agreeing(model, rows)

    def squares(self, model: nn.Module, batch: Any, names: Sequence[str] | None = None) -> Tensor:
        """Return |g_i|², [B], where g_i is the gradient of the loss of sample i.

        Args:
            model: The model, with any values.
            batch: A batch of B samples.
            names: The names of the weights of the gradient; None: those with a ``.grad``.

        Raises:
            StrategyError: Single samples have no gradients of their own.
        """
        refuse_mixing(model)
        _refuse_whole(self._workload, model, batch)
        names = _with_gradient(model) if names is None else names
        short = [f"{layer}.{name}" if layer else name for layer in self.layers for name in ("weight", "bias")]
        rest = [name for name in names if name not in short]
        parts = []
        if self.layers:
            parts.append(squares_of_layers(self._workload, model, self.layers, batch, set(names)))
        if rest:
            parts.append(sample_gradients(self._workload, model, batch, rest).square().sum(1))
        return torch.stack(parts).sum(0)

    def _agreeing(self, model: nn.Module, rows: Any) -> tuple[str, ...]:
        if self._workload.loss is None or not has_equal_lengths(rows):
            return ()
        modes = [(module, module.training) for module in model.modules()]
        grads = [(weight, weight.grad) for weight in model.parameters()]
        try:
            with preserved_rng(), preserved_state(model), torch.enable_grad():
                model.eval()
                return agreeing_layers(self._workload, model, rows)
        except Exception:  # a model may not accept single rows
            return ()
        finally:
            for module, training in modes:
                module.training = training
            for weight, gradient in grads:
                weight.grad = gradient


def refuse_mixing(model: nn.Module) -> None:
    """Refuse a model in which a layer in training mode makes samples depend on each other."""
    layer = mixing_layer(model)
    if layer is not None:
        raise StrategyError(
            f"gradients of single samples cannot be computed for this model: {layer} makes each sample's "
            "loss depend on the others of its batch"
        )


def _refuse_whole(workload: Workload, model: nn.Module, batch: Any) -> None:
    """Refuse an objective that, for a few rows, is not the mean of their single objectives."""
    if workload.in_parts or not has_equal_lengths(batch):
        return
    count = min(_FEW, len_batch(batch))
    parts = [slice(count), *(slice(row, row + 1) for row in range(count))]
    with evaluating(model), torch.enable_grad():
        whole, *single = (workload.mean_loss(model, select_rows(batch, rows)).item() for rows in parts)
    if not math.isclose(whole, sum(single) / count, rel_tol=1e-3, abs_tol=1e-6):
        raise StrategyError(
            f"gradients of single samples cannot be computed: the objective of {count} rows is {whole:.4g}, "
            f"and the mean of theirs {sum(single) / count:.4g}, so that each sample's loss depends on the "
            "others of its batch"
        )


def mixing_layer(model: nn.Module, training: bool = False) -> str | None:
    """Return the first BatchNorm in training mode, in words; None if there is none.

    Args:
        model: Any module.
        training: Whether all layers count as in training mode.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or training):
            return f"layer {name or 'model'} ({type(module).__name__})"
    return None


def _with_gradient(model: nn.Module) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.grad is not None]


def sample_gradients(
    workload: Workload, model: nn.Module, batch: Any, names: Sequence[str] | None = None
) -> Tensor:
    """Return the gradient of the loss of each sample, [B, P].

    Args:
        workload: The workload of the model.
        model: Any module.
        batch: A batch of B samples.
        names: The names of the weights of the gradient, in the order of the model; None: those with a
            ``.grad``.

    Raises:
        StrategyError: Single samples have no gradients of their own.
    """
    refuse_mixing(model)
    _refuse_whole(workload, model, batch)
    wanted = set(_with_gradient(model) if names is None else names)
    trained = {name: weight for name, weight in model.named_parameters() if name in wanted}
    if not has_equal_lengths(batch):
        raise StrategyError(
            "gradients of single samples need batches whose tensors have a row for each sample"
        )
    try:
        return _mapped(workload, model, batch, trained)
    except Exception:  # a model may not be vectorizable
        pass
    try:
        return _one_by_one(workload, model, batch, list(trained.values()))
    except Exception as error:  # a model may not accept single rows
        raise StrategyError(
            f"gradients of single samples cannot be computed for this model: {explain(error)}; leave out "
            "what needs them"
        ) from error


def _mapped(workload: Workload, model: nn.Module, batch: Any, trained: Mapping[str, Tensor]) -> Tensor:
    """Return the gradients of all samples, [B, P], computed at once."""
    weights = {name: weight.detach() for name, weight in trained.items()}
    themselves = {id(weight) for weight in trained.values()}
    fixed = {
        name: value.detach()
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, torch.Tensor) and id(value) not in themselves
    }
    mean_loss = MeanLoss(workload, model)

    def loss(weights: dict[str, Tensor], *sample: Tensor) -> Tensor:
        named = {f"model.{name}": value for name, value in {**fixed, **weights}.items()}
        row = replace_tensors(batch, [part.unsqueeze(0) for part in sample])
        return functional_call(mean_loss, named, (row,))  # type: ignore[no-any-return]

    parts = tensors(batch)
    in_dims = (None, *[0] * len(parts))
    gradients = vmap(grad(loss), in_dims=in_dims, randomness="different")(weights, *parts)
    return torch.cat([gradients[name].flatten(1) for name in weights], dim=1)


def _one_by_one(workload: Workload, model: nn.Module, batch: Any, trained: Sequence[Tensor]) -> Tensor:
    """Return the gradients of all samples, [B, P], by one backward pass each; buffers are restored."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    rows = []
    try:
        for index in range(len_batch(batch)):
            with torch.enable_grad():
                loss = workload.mean_loss(model, select_rows(batch, slice(index, index + 1)))
            gradients = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
            rows.append(torch.cat([to_dense(gradient.detach()).flatten() for gradient in gradients]))
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    return torch.stack(rows)
