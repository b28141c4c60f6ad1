"""The optimizer contract: a factory that builds a ``torch.optim.Optimizer`` for a model.

A factory is

- an ``Optimizer`` class, or a ``functools.partial`` of one; it is called with the model's trainable
  parameters, or with the model if its first parameter is named ``model``; or
- a function ``build(model, *, lr=…, …)`` that returns an optimizer; if its first parameter is named
  ``params``, it is called with the trainable parameters.

A spec such as ``adam:betas=(0.9,0.999)`` can set the further parameters of the factory.

At each step, ``.grad`` holds the gradient of the batch's mean loss. An optimizer with a ``step`` that
requires a closure evaluates loss and gradient by calling it. An optimizer with ``train()`` and ``eval()`` is
measured in evaluation mode, and then continues from exactly the weights that it had.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Union

from ..core.parameters import REQUIRED, Parameter, parameters
from ..errors import USER_CODE_ERRORS, ComparisonError, OptcompareError, PluginError, explain

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

Factory = Callable[..., Any]
_PARAMETERS = ("params", "parameters")
"""Names of a function's first parameter if it expects the parameters rather than the model."""


def undecorated(factory: Factory) -> Factory:
    """Return the function of a ``functools.partial``, or the factory itself."""
    return factory.func if isinstance(factory, functools.partial) else factory


def hyperparameters(factory: Factory) -> list[Parameter]:
    """Return the parameters that can be set, with the learning rate, without the model or its weights.

    If an annotation is missing, or no text can express its type, the type is that of the default.

    Args:
        factory: A factory; see the module.
    """
    return [
        parameter if _readable(parameter.type) else dataclasses.replace(parameter, type=_type_of(parameter))
        for parameter in parameters(factory, skip=1)
    ]


def _readable(type_: Any) -> bool:
    """Return whether a text can express a value of a type, or of a member of a union."""
    origin, args = typing.get_origin(type_), typing.get_args(type_)
    if origin in (Union, types.UnionType):
        return any(_readable(member) for member in args if member is not types.NoneType)
    return type_ in (bool, int, float, str, tuple, list) or origin in (tuple, list, Literal)


def _type_of(parameter: Parameter) -> Any:
    default = parameter.default
    if isinstance(default, int) and not isinstance(default, bool):
        return int | float
    return type(default) if isinstance(default, (bool, float, str, tuple, list)) else parameter.type


def check_factory(factory: Any, name: str) -> None:
    """Check that an object is a factory of optimizers that a spec can use.

    Args:
        factory: Any object.
        name: The name of the optimizer, for messages.

    Raises:
        PluginError: The object is not a factory of optimizers.
    """
    from torch.optim import Optimizer

    if not callable(factory) or (inspect.isclass(factory) and not issubclass(factory, Optimizer)):
        kind = "class" if inspect.isclass(factory) else type(factory).__name__
        kind = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        raise PluginError(
            f"{name} is {kind} and no optimizer; give a subclass of torch.optim.Optimizer, or a function "
            "build(model, *, lr)"
        )
    first = next(iter(parameters(factory)), None)
    if first is not None and inspect.isclass(factory) and first.name in ("optimizer", "base_optimizer"):
        raise PluginError(f"optimizer {name} wraps another optimizer; {_by_function(name)}")
    known = hyperparameters(factory)
    for parameter in known:
        if parameter.default is REQUIRED and parameter.type is not Any and not _readable(parameter.type):
            raise PluginError(
                f"optimizer {name} needs {parameter.name}, which no text can give; {_by_function(name)}"
            )
    if "lr" not in [parameter.name for parameter in known]:
        raise PluginError(f"optimizer {name} takes no lr, which every arm has; {_by_function(name)}")


def _by_function(name: str) -> str:
    return (
        "write a function build(model, *, lr: float) that makes and returns it, and give FILE.py:build in "
        f"place of {name}"
    )


def default_lr(factory: Factory) -> float | None:
    """Return the factory's own default learning rate; None if it has none."""
    for parameter in hyperparameters(factory):
        if parameter.name == "lr" and parameter.default not in (REQUIRED, None):
            return float(parameter.default)
    return None


def is_plain_sgd(factory: Factory, values: Mapping[str, Any]) -> bool:
    """Return whether a factory makes ``torch.optim.SGD`` with a learning rate only.

    Args:
        factory: A factory; see the module.
        values: Hyperparameters that are not defaults.
    """
    from torch.optim import SGD

    return undecorated(factory) is SGD and not values.keys() - {"foreach", "fused", "differentiable"}


def build(factory: Factory, model: nn.Module, values: Mapping[str, Any], name: str) -> Optimizer:
    """Build the optimizer of a model's trainable parameters.

    Args:
        factory: A factory; see the module.
        model: The module.
        values: Hyperparameters, with ``lr``.
        name: The name of the optimizer, for messages.

    Raises:
        ComparisonError: The optimizer cannot be built for this model, or cannot be used.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise ComparisonError(f"optimizer {name}: the model has no trainable parameters")
    bare = undecorated(factory)
    first = next(iter(parameters(bare)), None)
    named = "" if first is None else first.name
    whole = named == "model" if inspect.isclass(bare) else named not in _PARAMETERS
    hooks = _gradient_hooks(weights)
    try:
        made = factory(model if whole else weights, **values)
    except OptcompareError:
        raise
    except (TypeError, ValueError) as error:
        hint = ""
        if whole and isinstance(error, TypeError) and named != "model":
            hint = (
                f"; a function is given the model: name its first parameter params, not {named}, to be "
                "given the parameters"
            )
        raise ComparisonError(f"optimizer {name}: {error}{hint}") from error
    except USER_CODE_ERRORS as error:
        raise ComparisonError(
            f"optimizer {name} cannot be made from this model's weights ({explain(error)}); where it wants "
            f"parameter groups, {_by_function(name)}"
        ) from error
    _check_made(made, name)
    if _gradient_hooks(weights) != hooks:
        raise ComparisonError(
            f"optimizer {name} changes weights or gradients while they are computed, so that gradients can "
            "be neither "
            "accumulated nor clipped, and updates not counted; use one that makes its updates in step()"
        )
    if has_modes(made):
        made.train()
    return made  # type: ignore[no-any-return]


def _gradient_hooks(weights: Sequence[Tensor]) -> list[int]:
    """Return the number of hooks on each weight's gradient; a model may have its own."""
    return [
        len(weight._backward_hooks or ()) + len(weight._post_accumulate_grad_hooks or ())
        for weight in weights
    ]


def _check_made(made: Any, name: str) -> None:
    from torch.optim import Optimizer

    if not isinstance(made, Optimizer):
        raise ComparisonError(
            f"optimizer {name}: its function must return a torch.optim.Optimizer, got a {type(made).__name__}"
        )
    if not all("lr" in group for group in made.param_groups):
        raise ComparisonError(f"optimizer {name} has no learning rate: a parameter group of it has no lr")


def load_state(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Restore a saved state of an optimizer, to the last bit.

    ``load_state_dict`` alone casts all tensors to the precision of the weights, even those that were saved in
    another one, such as NAdam's products.

    Args:
        optimizer: An optimizer with as many weights.
        saved: The ``state_dict()``; the optimizer may keep parts of it.
    """
    optimizer.load_state_dict(dict(saved))
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, values in saved.get("state", {}).items():
        if isinstance(number, int):
            state = optimizer.state[weights[number]]
            state.update(
                {name: _as_precise(state[name], value) for name, value in values.items() if name in state}
            )


def _as_precise(value: Any, saved: Any) -> Any:
    """Return a loaded value in the precision that was saved."""
    import torch

    if isinstance(saved, torch.Tensor) and isinstance(value, torch.Tensor):
        return value if value.dtype == saved.dtype else saved.to(value.device)
    if isinstance(saved, dict) and isinstance(value, dict):
        return {name: _as_precise(value[name], each) for name, each in saved.items()}
    if type(saved) in (list, tuple) and type(value) is type(saved):
        return type(saved)(map(_as_precise, value, saved))
    return value


def has_modes(optimizer: Any) -> bool:
    """Return whether an optimizer has ``train()`` and ``eval()``, and other weights in evaluation mode."""
    return all(callable(getattr(optimizer, mode, None)) for mode in ("train", "eval"))


@contextmanager
def evaluation_weights(optimizer: Optimizer, weights: Sequence[Tensor]) -> Iterator[None]:
    """Use the weights of the optimizer's evaluation mode within the context, if it has modes.

    At the end weights and state are restored to the last bit.

    Args:
        optimizer: Any optimizer.
        weights: The weights that it trains.

    Raises:
        ComparisonError: The ``eval()`` of the optimizer fails.
    """
    import torch

    if not has_modes(optimizer) or not optimizer.state:  # Before the first update both modes are the same.
        yield
        return
    modal: Any = optimizer
    state = [value for of_weight in optimizer.state.values() for value in of_weight.values()]
    tensors = [*weights, *(value for value in state if isinstance(value, torch.Tensor))]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        modal.eval()
    except USER_CODE_ERRORS as error:
        raise ComparisonError(
            f"optimizer {type(modal).__name__}: its eval() fails: {explain(error)}"
        ) from error
    try:
        yield
    finally:
        modal.train()
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
