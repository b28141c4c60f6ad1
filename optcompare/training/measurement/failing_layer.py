"""Find the layer of a model for which a diagnostic cannot be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...interfaces.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

Probe = Callable[[nn.Module, tuple[Any, ...]], Any]
"""A test of a module with its inputs, which raises an exception where something is not possible."""


def failing_layer(model: nn.Module, workload: Workload, batch: Any, probe: Probe) -> str | None:
    """Return the first module without children for which a probe fails, in words; None if there is none.

    Args:
        model: Any module.
        workload: The workload, with the objective that runs the forward pass.
        batch: A batch of the training data.
        probe: Called with each such module and its inputs.
    """
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


def probe_twice(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Raise an exception if a module cannot be differentiated twice."""
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


def probe_mapped(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Raise an exception if the gradients of single samples cannot be computed at once."""

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
