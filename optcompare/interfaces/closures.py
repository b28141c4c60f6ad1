"""Steps of an optimizer: with a closure or a gradient, and without torch's wrapper."""

from __future__ import annotations

import ast
import copy
import dis
import functools
import importlib
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


def takes_closure(optimizer: Optimizer) -> bool:
    """Return whether ``step`` requires a closure that evaluates loss and gradient, any number of times."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is None:
        return False
    return closure.default is closure.empty or _raises_without(type(optimizer))  # type: ignore[arg-type]


def wants_gradient(optimizer: Optimizer) -> bool:
    """Return whether a ``step`` with a closure starts from the gradient in ``.grad``.

    Optimizers that search for flat minima do: they move the weights by it, evaluate again there, and move
    back. A trial step decides it, once for each class.

    Args:
        optimizer: Any optimizer.
    """
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is None or closure.default is closure.empty or not takes_closure(optimizer):
        return False
    kind = type(optimizer)
    if kind not in _WANTS_GRADIENT:
        _WANTS_GRADIENT[kind] = _depends_on_gradient(optimizer)
    return _WANTS_GRADIENT[kind]


_WANTS_GRADIENT: dict[type, bool] = {}


def _depends_on_gradient(optimizer: Optimizer) -> bool:
    """Return whether a copy makes another step, or fails, without a gradient before its closure."""
    import torch

    found = []
    for there in (True, False):
        with preserved_rng():
            tried = copy.deepcopy(optimizer)
            weights = [weight for group in tried.param_groups for weight in group["params"]]

            def closure(weights: Sequence[Tensor] = weights) -> Tensor:
                for weight in weights:
                    weight.grad = 1 + weight.detach()  # a gradient that depends on the weights
                return torch.ones(())

            for weight in weights:
                weight.grad = torch.full_like(weight, 0.5) if there else None
            try:
                tried.step(closure)  # type: ignore[arg-type]
            except USER_CODE_ERRORS:
                return True
            found.append(weights)
    return not all(map(torch.equal, *found))


@functools.cache
def _raises_without(kind: type) -> bool:
    """Return whether a ``step(closure=None)`` raises without a closure, from its source or its bytecode."""
    step = inspect.unwrap(kind.step)  # type: ignore[attr-defined]
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(step)))
    except (OSError, TypeError, SyntaxError):
        return _code_raises(step)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and ast.unparse(node.test) in ("closure", "closure is not None"):
            return True
        missing = isinstance(node, ast.If) and ast.unparse(node.test) in ("closure is None", "not closure")
        if missing and isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise):
            return True
    return False


def _code_raises(step: Any) -> bool:
    """Return whether a function without source raises without a closure, from its bytecode."""
    code = list(dis.get_instructions(step)) if isinstance(step, types.FunctionType) else []
    for index, (load, jump) in enumerate(itertools.pairwise(code)):
        loads_closure = load.opname.startswith("LOAD_FAST") and load.argval == "closure"
        skips = "JUMP" in jump.opname and jump.opname.endswith(("_NOT_NONE", "_TRUE"))
        if loads_closure and skips:
            without = [each.opname for each in code[index + 2 :] if each.offset < jump.argval]
            if "RAISE_VARARGS" in without:
                return True
    return False


def bare_step(optimizer: Optimizer) -> Callable[..., Any]:
    """Return ``optimizer.step`` without torch's profiling wrapper, which takes a tenth of a small update.

    The arithmetic is the same. If hooks are registered, or torch wraps ``step`` in another way, return
    ``optimizer.step`` itself.

    Args:
        optimizer: Any optimizer.
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
