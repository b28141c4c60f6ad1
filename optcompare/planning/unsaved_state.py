"""Find values that training changes and no checkpoint holds: attributes, closures, globals, iterators."""

from __future__ import annotations

import functools
import itertools
import operator
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from ..core.user_code import is_installed, names_used
from ..training.measurement.module_state import generator_state
from .update_differences import digest

_MOST, _MOST_ITEMS, _MOST_BYTES, _TEXT = 20_000, 1_000, 2**22, 200
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_ITERATORS = (itertools.count, itertools.cycle, itertools.repeat)
_SKIPPED = {
    torch.nn.Module: ("_parameters", "_buffers", "training"),
    torch.optim.Optimizer: ("state", "param_groups", "defaults"),
}
"""Attributes that a checkpoint restores, which are not compared."""

GLOBAL, WORKLOADS = "global ", "the workload's "
SHARED = (GLOBAL, WORKLOADS)
"""The prefixes of names of shared values: global variables, and functions of the workload."""


def values_within(**roots: Any) -> dict[str, Any]:
    """List every plain value that can be reached from some objects.

    Attributes, containers, closures and bound methods are followed. So are the global variables and class
    attributes that functions and classes use, unless these belong to installed packages. Tensors and random
    generators become fingerprints. Values that a checkpoint restores are left out.

    Args:
        roots: Objects by their names, ``model`` and ``optimizer`` among them.

    Returns:
        Values, by the paths to them.
    """
    found: dict[str, Any] = {}
    model, optimizer = roots.get("model"), roots.get("optimizer")
    saved = {id(module) for module in model.modules()} if isinstance(model, torch.nn.Module) else set()
    saved.add(id(optimizer))
    seen: dict[int, Any] = {}  # keeps the objects alive, so that identities stay unique
    todo: deque[tuple[str, Any]] = deque(roots.items())
    while todo and len(found) + len(seen) < _MOST:
        path, value = todo.popleft()
        known = _known(value)
        if known is not None:
            found[path] = known
        elif id(value) not in seen:
            seen[id(value)] = value
            todo.extend(_inside(path, value, id(value) in saved))
    return found


def changed_unseen(
    before: Mapping[str, Any], after: Mapping[str, Any], restored: Mapping[str, Any]
) -> list[str]:
    """Find values that training changed, and that a trial from a checkpoint does not have.

    Args:
        before: :func:`values_within` of a trial before its updates.
        after: The same after its updates.
        restored: The same for a trial that was restored from a checkpoint in between.

    Returns:
        Their names.
    """
    changed = [name for name, value in after.items() if name not in before or before[name] != value]
    return [name for name in changed if name.startswith(SHARED) or restored.get(name) != after[name]]


def _known(value: Any) -> Any:
    """Return a value in a form that can be compared; None for containers, and for what is no state."""
    if isinstance(value, _PLAIN):
        return (type(value).__name__, value)
    if isinstance(value, torch.Tensor):
        kept = type(value) is torch.Tensor and not value.requires_grad and value.device.type != "meta"
        if not kept or value.layout is not torch.strided:
            return None
        return (
            "tensor",
            digest(value) if value.nbytes <= _MOST_BYTES else (tuple(value.shape), value._version),
        )
    if isinstance(value, np.ndarray):
        return (
            ("array", digest(value.tobytes()))
            if value.dtype.kind != "O" and value.nbytes <= _MOST_BYTES
            else None
        )
    if isinstance(value, _ITERATORS):
        return ("iterator", repr(value))
    if hasattr(value, "__next__") and hasattr(value, "__length_hint__"):
        return ("iterator", operator.length_hint(value))
    state = generator_state(value)
    return None if state is None else ("generator", digest(state))


def _inside(path: str, value: Any, saved: bool) -> Iterator[tuple[str, Any]]:
    """List the members of an object, by their paths."""
    if isinstance(value, Mapping):
        yield f"{path} (length)", len(value)
        for place, (key, each) in enumerate(_few(value.items())):
            yield f"{path}[{repr(key[:_TEXT]) if isinstance(key, str) else place}]", each
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        yield f"{path} (length)", len(value)
        yield from ((f"{path}[{number}]", each) for number, each in _few(enumerate(value)))
    elif isinstance(value, types.MethodType):
        yield from ((f"{path}.self", value.__self__), (path, value.__func__))
    elif isinstance(value, functools.partial):
        yield from ((path, value.func), (f"{path}.args", value.args), (f"{path}.keywords", value.keywords))
    elif isinstance(value, types.FunctionType):
        yield from _of_function(path, value)
    elif isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        yield f"{path} (position)", None if frame is None else frame.f_lasti
        yield path, value.gi_yieldfrom
        yield from () if frame is None else _of_names(path, dict(frame.f_locals))
    elif isinstance(value, type):
        yield from _of_class(value)
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, types.ModuleType):
        yield from _of_object(path, value, saved)


def _few(items: Any) -> Iterator[Any]:
    """Return the first and the last of many items."""
    whole = list(items)
    yield from (
        whole if len(whole) <= _MOST_ITEMS else [*whole[: _MOST_ITEMS // 2], *whole[-_MOST_ITEMS // 2 :]]
    )


def _of_names(path: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Add the names of attributes to the path."""
    yield from ((f"{path}.{name}", value) for name, value in values.items())


def _of_function(path: str, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """List closures, defaults and global variables of a function."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"{path}.{name}", cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
    yield from _of_names(path, vars(function))
    bare = path.removeprefix(GLOBAL)
    yield from ((f"{GLOBAL}{bare} (default {n})", each) for n, each in enumerate(function.__defaults__ or ()))
    if is_installed(function.__module__):
        return
    where = function.__globals__
    for name in names_used(function.__code__):
        if name in where and not isinstance(where[name], types.ModuleType):
            yield f"{GLOBAL}{name}", where[name]


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """List the attributes of a class that is not an installed package's."""
    if is_installed(kind.__module__):
        return
    for name, value in list(vars(kind).items()):
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if not name.startswith("__") or isinstance(value, types.FunctionType):
            yield f"{GLOBAL}{kind.__name__}.{name}", value
    yield from ((base.__name__, base) for base in kind.__bases__)


def _of_object(path: str, value: Any, saved: bool) -> Iterator[tuple[str, Any]]:
    """List the attributes of an object; if it is ``saved``, without those that a checkpoint restores."""
    skipped = [
        name for kind, names in _SKIPPED.items() if saved and isinstance(value, kind) for name in names
    ]
    for name, held in list(vars(value).items()):
        if isinstance(value, torch.nn.Module) and name == "_modules":
            yield from _of_names(path, held)
        elif name == "_parameters" and name not in skipped:
            yield from ((f"{path}.{key}", each.detach()) for key, each in held.items() if each is not None)
        elif name not in skipped:
            yield f"{path}.{name}", held
    yield type(value).__name__, type(value)
