"""The optimizer contract: a factory that builds a ``torch.optim.Optimizer`` for a model.

A factory is an ``Optimizer`` class (or a ``functools.partial`` of one), built with the model's trainable
parameters, or with the model where its first parameter is called so, or a function ``build(model, *, lr=…,
…)`` that returns an optimizer; one whose first parameter is called ``params`` is given the trainable
parameters. Its further parameters are what a spec such as ``adam:betas=(0.9,0.999)`` can set. An optimizer
finds the gradient of the batch's mean loss in ``.grad``; one whose ``step`` requires a closure evaluates loss
and gradient itself. One that has ``train()`` and ``eval()`` is measured in eval mode, and goes on from the
very weights that it had.
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
from ..errors import RAISED, ComparisonError, OptcompareError, PluginError, explain

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

Factory = Callable[..., Any]
_PARAMETERS = ("params", "parameters")
"""How the first parameter of a function is called that is given the parameters rather than the model."""


def undecorated(factory: Factory) -> Factory:
    """What a ``functools.partial`` wraps, or the factory itself."""
    return factory.func if isinstance(factory, functools.partial) else factory


def hyperparameters(factory: Factory) -> list[Parameter]:
    """What can be set, the learning rate included; the model or its parameters left out.

    Where an annotation is missing, or means nothing that a text could give, the default says the type.
    """
    return [
        parameter if _readable(parameter.type) else dataclasses.replace(parameter, type=_type_of(parameter))
        for parameter in parameters(factory, skip=1)
    ]


def _readable(type_: Any) -> bool:
    """Whether a text can give a value of this type, or of a member of this union; of any type, a text says
    too little.
    """
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
    """Raises :class:`PluginError` for what is no factory of optimizers, or one that no spec can make."""
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
    """The factory's own default learning rate, if it has one."""
    for parameter in hyperparameters(factory):
        if parameter.name == "lr" and parameter.default not in (REQUIRED, None):
            return float(parameter.default)
    return None


def is_plain_sgd(factory: Factory, values: Mapping[str, Any]) -> bool:
    """Whether it is ``torch.optim.SGD`` with nothing but a learning rate; ``values``: those that are no
    defaults.
    """
    from torch.optim import SGD

    return undecorated(factory) is SGD and not values.keys() - {"foreach", "fused", "differentiable"}


def build(factory: Factory, model: nn.Module, values: Mapping[str, Any], name: str) -> Optimizer:
    """The optimizer of ``model``'s trainable parameters; raises :class:`ComparisonError` saying why it cannot
    be.
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
    except RAISED as error:
        raise ComparisonError(
            f"optimizer {name} cannot be made from this model's weights ({explain(error)}); where it wants "
            "parameter groups, "
            f"{_by_function(name)}"
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
    """How many functions are called with each weight's gradient; a model may have some of its own, to mask
    it.
    """
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
    """Brings it to a saved state, which it may keep, to the last bit.

    ``load_state_dict`` alone gives tensors the weights' precision, also such as were kept in another (NAdam's
    products).
    """
    optimizer.load_state_dict(dict(saved))
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, values in saved.get("state", {}).items():
        if isinstance(number, int):
            mine = optimizer.state[weights[number]]
            mine.update(
                {name: _as_precise(mine[name], value) for name, value in values.items() if name in mine}
            )


def _as_precise(value: Any, saved: Any) -> Any:
    """The value in the precision that was saved."""
    import torch

    if isinstance(saved, torch.Tensor) and isinstance(value, torch.Tensor):
        return value if value.dtype == saved.dtype else saved.to(value.device)
    if isinstance(saved, dict) and isinstance(value, dict):
        return {name: _as_precise(value[name], each) for name, each in saved.items()}
    if type(saved) in (list, tuple) and type(value) is type(saved):
        return type(saved)(map(_as_precise, value, saved))
    return value


def has_modes(optimizer: Any) -> bool:
    """Whether the weights that it trains are others than those that it wants to be judged by."""
    return all(callable(getattr(optimizer, mode, None)) for mode in ("train", "eval"))


@contextmanager
def in_evaluation_mode(optimizer: Optimizer, weights: Sequence[Tensor]) -> Iterator[None]:
    """The weights are those of the optimizer's eval mode, where it has modes; afterwards all is as it was, to
    the last bit.
    """
    import torch

    if not has_modes(optimizer) or not optimizer.state:  # before the first update the two are the same
        yield
        return
    modal: Any = optimizer
    state = [value for of_weight in optimizer.state.values() for value in of_weight.values()]
    tensors = [*weights, *(value for value in state if isinstance(value, torch.Tensor))]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        modal.eval()
    except RAISED as error:
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
