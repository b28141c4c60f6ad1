"""The optimizer contract: a factory that builds a ``torch.optim.Optimizer`` for a model.

A factory is an ``Optimizer`` class (or a ``functools.partial`` of one), built with
the model's trainable parameters, or a function ``build(model, *, lr=…, …)`` that returns an optimizer. Its
annotated parameters are what a spec such as ``adam:betas=(0.9,0.999)`` can set.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .binding import REQUIRED, Parameter, parameters
from .errors import ComparisonError, OptcompareError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Factory = Callable[..., Any]


def undecorated(factory: Factory) -> Factory:
    """What a ``functools.partial`` wraps, or the factory itself."""
    return factory.func if isinstance(factory, functools.partial) else factory


def hyperparameters(factory: Factory) -> list[Parameter]:
    """What can be set, the learning rate included; the model or its parameters left out."""
    return parameters(factory, skip=1)


def default_lr(factory: Factory) -> float | None:
    """The factory's own default learning rate, if it has one."""
    for parameter in hyperparameters(factory):
        if parameter.name == "lr" and parameter.default not in (REQUIRED, None):
            return float(parameter.default)
    return None


def is_plain_sgd(factory: Factory, values: Mapping[str, Any]) -> bool:
    """Whether it is ``torch.optim.SGD`` with nothing but a learning rate; ``values``: those that are no defaults."""
    from torch.optim import SGD

    return undecorated(factory) is SGD and not values.keys() - {"foreach", "fused", "differentiable"}


def build(factory: Factory, model: nn.Module, values: Mapping[str, Any], name: str) -> Optimizer:
    """The optimizer of ``model``'s trainable parameters; raises :class:`ComparisonError` saying why it cannot be."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise ComparisonError(f"optimizer {name}: the model has no trainable parameters")
    try:
        return factory(weights if inspect.isclass(factory) else model, **values)  # type: ignore[no-any-return]
    except OptcompareError:
        raise
    except (TypeError, ValueError) as error:
        raise ComparisonError(f"optimizer {name}: {error}") from error


def bare_step(optimizer: Optimizer) -> Callable[[], Any]:
    """``optimizer.step`` without torch's profiling wrapper, a tenth of a small model's update; the same arithmetic.

    Where hooks are registered, or torch wraps ``step`` in another way, it is ``optimizer.step`` itself.
    """
    from torch.optim import Optimizer

    step = type(optimizer).step
    inner = getattr(step, "__wrapped__", None)
    hooked = [getattr(optimizer, f"_optimizer_step_{when}_hooks", True) for when in ("pre", "post")]
    module = importlib.import_module(Optimizer.__module__)
    hooked += [getattr(module, f"_global_optimizer_{when}_hooks", True) for when in ("pre", "post")]
    if inner is None or not getattr(step, "hooked", False) or any(hooked) or "step" in vars(optimizer):
        return optimizer.step
    return functools.partial(inner, optimizer)
