"""Norms of per-sample gradients of linear layers and convolutions, without the gradients.

The gradient of sample i by the weights of a linear layer is Σ_t δ_it a_itᵀ. Here t counts the positions that
the layer was applied to (one for a plain row), a are its inputs, and δ the gradients of its outputs. For a
convolution the inputs are patches. One backward pass down to the outputs of all layers gives every δ. Since
|Σ_t δ_t a_tᵀ|² = Σ_tt' (a_t·a_t')(δ_t·δ_t'), the gradients themselves are not needed where that is less work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...core.tree import len_batch, select_rows
from ...interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d)
_AGREE = 1e-2


def agreeing_layers(workload: Workload, model: nn.Module, rows: Any) -> tuple[str, ...]:
    """Return the names of the layers for which this method gives the right norms.

    Args:
        workload: The workload of the model.
        model: A module in evaluation mode.
        rows: A batch of a few samples, compared with one backward pass for each.
    """
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
    found = squares_of_layers(workload, model, layers, rows, set(trained))
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
    """Return the names of torch's own layers that do not share weights with other modules."""
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
    """Collect inputs and outputs of each call of some layers."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            calls[name].append((inputs[0].detach(), output))
            return output.clone()  # the next layer may write into its input

        return hook

    handles = [model.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def squares_of_layers(
    workload: Workload, model: nn.Module, layers: Sequence[str], batch: Any, trained: set[str]
) -> Tensor:
    """Return |g_i|², [B], where g_i is the gradient of sample i by the weights of some layers.

    Args:
        workload: The workload of the model.
        model: The model.
        layers: The names of the layers.
        batch: A batch of B samples.
        trained: The names of the weights that count.
    """
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
            positions = _positions(model.get_submodule(name), values, delta.detach())
            prefix = f"{name}." if name else ""
            total += (
                _layer(*positions, f"{prefix}weight" in trained, f"{prefix}bias" in trained)
                .reshape(size, -1)
                .sum(1)
            )
    if workload.weight is None:
        return total * size**2
    weights = [workload.weigh(select_rows(batch, slice(index, index + 1))) for index in range(size)]
    return total * (workload.weigh(batch) / total.new_tensor(weights)).square()


def _positions(layer: nn.Module, values: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs [B·groups, T, I] and the gradients of outputs [B·groups, T, O] of a layer.

    T counts the positions that the layer was applied to.
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
    """Return |Σ_t δ_t a_tᵀ|² + |Σ_t δ_t|², [B·groups], of weight and bias as far as they are trained."""
    positions, total = values.shape[1], torch.zeros(len(values), dtype=delta.dtype, device=delta.device)
    if bias:
        total += delta.sum(1).square().sum(1)
    if weight and positions == 1:
        total += values.square().sum((1, 2)) * delta.square().sum((1, 2))
    elif weight and positions * (values.shape[2] + delta.shape[2]) < values.shape[2] * delta.shape[2]:
        total += ((values @ values.mT) * (delta @ delta.mT)).sum((1, 2))
    elif weight:
        total += (delta.mT @ values).square().sum((1, 2))
    return total
