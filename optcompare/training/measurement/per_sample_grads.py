"""Gradients of single samples, and their norms without them.

A linear layer's gradient of sample i is Σ_t δ_it a_itᵀ, over the places t at which the layer was applied
(one, for a plain row), a its inputs and δ the gradients of its outputs; a convolution's is the same with
patches as inputs. One backward pass down to the outputs of all layers gives every δ, and |Σ_t δ_t a_tᵀ|² =
Σ_tt' (a_t·a_t')(δ_t·δ_t') spares the gradients themselves where that is less work. All other weights go
through ``torch.func``, and where a model has something against that, as attention with masks has, through one
backward pass for each sample.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from ...core.rng import preserved_rng
from ...core.tree import has_equal_lengths, len_batch, replace_tensors, select_rows, tensors, to_dense
from ...errors import StrategyError, explain
from ...interfaces.workload import MeanLoss, Workload
from .evaluation import evaluating
from .module_state import state_kept

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d)
_AGREE = 1e-2
_FEW = 3


class SampleNorms:
    """How a model's |g_i|² are computed: which layers the short way is right for, found out once, at the
    shared start.

    ``rows``: a batch of a few samples, on which the short way must agree with one backward pass for each. It
    is not taken for objectives, whose loss may be one of whole batches, nor for weights that are shared or
    used in some other way.
    """

    def __init__(self, workload: Workload, model: nn.Module, rows: Any) -> None:
        self._workload = workload
        self.layers = self._agreeing(model, rows)

    def squares(self, model: nn.Module, batch: Any, names: Sequence[str] | None = None) -> Tensor:
        """|g_i|², [B], g_i the gradient of sample i's own loss by the weights of these ``names`` (default:
        those with a
        ``.grad``); raises :class:`StrategyError` where there is none.
        """
        refuse_mixing(model)
        _refuse_whole(self._workload, model, batch)
        names = _with_gradient(model) if names is None else names
        short = [f"{layer}.{name}" if layer else name for layer in self.layers for name in ("weight", "bias")]
        rest = [name for name in names if name not in short]
        parts = []
        if self.layers:
            parts.append(_squares(self._workload, model, self.layers, batch, set(names)))
        if rest:
            parts.append(sample_gradients(self._workload, model, batch, rest).square().sum(1))
        return torch.stack(parts).sum(0)

    def _agreeing(self, model: nn.Module, rows: Any) -> tuple[str, ...]:
        if self._workload.loss is None or not has_equal_lengths(rows):
            return ()
        modes = [(module, module.training) for module in model.modules()]
        grads = [(weight, weight.grad) for weight in model.parameters()]
        try:
            with preserved_rng(), state_kept(model), torch.enable_grad():
                model.eval()
                return _agreeing(self._workload, model, rows)
        except Exception:  # whatever a model has against single rows
            return ()
        finally:
            for module, training in modes:
                module.training = training
            for weight, gradient in grads:
                weight.grad = gradient


def _agreeing(workload: Workload, model: nn.Module, rows: Any) -> tuple[str, ...]:
    size = len_batch(rows)
    with _watched(model, _candidates(model)) as calls:
        workload.mean_loss(model, rows)
    layers = tuple(
        name
        for name, seen in calls.items()
        if len(seen) == 1 and seen[0][0].ndim >= _least_dimensions(model, name) and len(seen[0][0]) == size
    )
    weights = {f"{name}.{part}" if name else part for name in layers for part in ("weight", "bias")}
    trained = {
        name: weight for name, weight in model.named_parameters() if weight.requires_grad and name in weights
    }
    if not trained:
        return ()
    found = _squares(workload, model, layers, rows, set(trained))
    one_by_one = []
    for index in range(size):
        loss = workload.mean_loss(model, select_rows(rows, slice(index, index + 1)))
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        one_by_one.append(
            sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None)
        )
    expected = found.new_tensor(one_by_one)
    return layers if torch.allclose(found, expected, rtol=_AGREE, atol=1e-12) else ()


def _candidates(model: nn.Module) -> list[str]:
    """Layers as torch has them, whose weights no other module has too."""
    owners = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    return [
        name
        for name, module in model.named_modules()
        if any(isinstance(module, kind) and type(module).forward is kind.forward for kind in _LAYERS)
        and module._parameters.get("weight") is not None
        and all(owners[id(weight)] == 1 for weight in module._parameters.values() if weight is not None)
        and (
            isinstance(module, nn.Linear)
            or (module.padding_mode == "zeros" and not isinstance(module.padding, str))
        )
    ]


def _least_dimensions(model: nn.Module, name: str) -> int:
    module = model.get_submodule(name)
    return 4 if isinstance(module, nn.Conv2d) else 3 if isinstance(module, nn.Conv1d) else 2


@contextmanager
def _watched(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Each layer's inputs and outputs, as often as it is called."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            calls[name].append((inputs[0].detach(), output))
            return output.clone()  # what follows may write into its input

        return hook

    handles = [model.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _squares(
    workload: Workload, model: nn.Module, layers: Sequence[str], batch: Any, trained: set[str]
) -> Tensor:
    with _watched(model, layers) as calls:
        loss = workload.mean_loss(model, batch)
    inputs, outputs = zip(*(calls[name][0] for name in layers), strict=True)
    reaching = [output for output in outputs if output.requires_grad]
    found = iter(torch.autograd.grad(loss, reaching, allow_unused=True))
    deltas = [next(found) if output.requires_grad else None for output in outputs]
    size = len_batch(batch)
    total = torch.zeros(size, dtype=loss.dtype, device=loss.device)
    for name, values, delta in zip(layers, inputs, deltas, strict=True):
        if delta is not None:
            places = _places(model.get_submodule(name), values, delta.detach())
            prefix = f"{name}." if name else ""
            total += (
                _layer(*places, f"{prefix}weight" in trained, f"{prefix}bias" in trained)
                .reshape(size, -1)
                .sum(1)
            )
    if workload.weight is None:
        return total * size**2
    weights = [workload.weigh(select_rows(batch, slice(index, index + 1))) for index in range(size)]
    return total * (workload.weigh(batch) / total.new_tensor(weights)).square()


def _places(layer: nn.Module, values: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [B·groups, T, I] and the gradients of outputs [B·groups, T, O] at each place where the layer was
    applied.
    """
    size = len(values)
    if isinstance(layer, nn.Linear):
        return values.reshape(size, -1, values.shape[-1]), delta.reshape(size, -1, delta.shape[-1])
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d))
    flat = isinstance(layer, nn.Conv1d)
    settings: list[Any] = [
        (1 - fill, *each) if flat else each
        for each, fill in ((layer.kernel_size, 0), (layer.dilation, 0), (layer.padding, 1), (layer.stride, 0))
    ]
    patches = nn.functional.unfold(values.unsqueeze(2) if flat else values, *settings)  # (B, I·k, T)
    patches = patches.reshape(size * layer.groups, -1, patches.shape[-1])
    return patches.mT, delta.reshape(size * layer.groups, -1, patches.shape[-1]).mT


def _layer(values: Tensor, delta: Tensor, weight: bool, bias: bool) -> Tensor:
    """|Σ_t δ_t a_tᵀ|² and |Σ_t δ_t|², [B·groups], of those that are trained."""
    places, total = values.shape[1], torch.zeros(len(values), dtype=delta.dtype, device=delta.device)
    if bias:
        total += delta.sum(1).square().sum(1)
    if weight and places == 1:
        total += values.square().sum((1, 2)) * delta.square().sum((1, 2))
    elif weight and places * (values.shape[2] + delta.shape[2]) < values.shape[2] * delta.shape[2]:
        total += ((values @ values.mT) * (delta @ delta.mT)).sum((1, 2))
    elif weight:
        total += (delta.mT @ values).square().sum((1, 2))
    return total


def refuse_mixing(model: nn.Module) -> None:
    """Raises where a layer in training mode makes one sample's loss depend on the others."""
    layer = mixing_layer(model)
    if layer is not None:
        raise StrategyError(
            f"gradients of single samples cannot be had from this model: {layer} makes each sample's loss "
            "depend on the "
            "others of its batch"
        )


def _refuse_whole(workload: Workload, model: nn.Module, batch: Any) -> None:
    """Raises where an objective of a few rows is not the mean of theirs, so that a single sample has no
    gradient of its own.
    """
    if workload.in_parts or not has_equal_lengths(batch):
        return
    count = min(_FEW, len_batch(batch))
    parts = [slice(count), *(slice(row, row + 1) for row in range(count))]
    with evaluating(model), torch.enable_grad():
        whole, *single = (workload.mean_loss(model, select_rows(batch, rows)).item() for rows in parts)
    if not math.isclose(whole, sum(single) / count, rel_tol=1e-3, abs_tol=1e-6):
        raise StrategyError(
            f"gradients of single samples cannot be had: the objective of {count} rows is {whole:.4g}, and "
            "the mean of theirs "
            f"{sum(single) / count:.4g}, so that each sample's loss depends on the others of its batch"
        )


def mixing_layer(model: nn.Module, training: bool = False) -> str | None:
    """The first BatchNorm that is in training mode (``training``: or will be), in words."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or training):
            return f"layer {name or 'model'} ({type(module).__name__})"
    return None


def _with_gradient(model: nn.Module) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.grad is not None]


def sample_gradients(
    workload: Workload, model: nn.Module, batch: Any, names: Sequence[str] | None = None
) -> Tensor:
    """The gradient of each sample's own loss, [B, P], by the weights of these ``names`` (default: those with
    a ``.grad``), in the model's order.

    Raises :class:`StrategyError` where the model does not take single samples.
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
    except Exception:  # whatever a model has against being mapped
        pass
    try:
        return _one_by_one(workload, model, batch, list(trained.values()))
    except Exception as error:  # whatever it has against single rows
        raise StrategyError(
            f"gradients of single samples cannot be had from this model: {explain(error)}; leave out what "
            "asks for them"
        ) from error


def _mapped(workload: Workload, model: nn.Module, batch: Any, trained: Mapping[str, Tensor]) -> Tensor:
    """The gradients of all samples at once."""
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
    """The same, a backward pass for each sample; buffers that a forward pass changes are left as they
    were.
    """
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
