"""The state of a module apart from its weights: buffers, plain attributes and random generators."""

from __future__ import annotations

import copy
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.tree import equal_tensors

_OF_MODULES = frozenset(vars(nn.Module()))
_UNCHANGING = (bool, int, float, complex, str, bytes, type(None))
_MOST_HELD = 1000
"""How many members of a container are examined."""
_SAVED = (bool, int, float, str, type(None), Tensor, list, tuple, dict)


def own_attributes(model: nn.Module) -> Iterator[tuple[str, Any, str, Any]]:
    """Yield path, owner, name and value of all plain attributes: no weights, buffers or modules.

    The owner is a module, or an object of a user's class that is stored in a module or in another such
    object.

    Args:
        model: Any module.
    """
    seen = set[int]()
    for path, module in model.named_modules():
        for name, value in list(vars(module).items()):
            if name not in _OF_MODULES:
                yield from _attribute(f"{path}.{name}".lstrip("."), module, name, value, seen)


def _attribute(
    path: str, owner: Any, name: str, value: Any, seen: set[int]
) -> Iterator[tuple[str, Any, str, Any]]:
    yield path, owner, name, value
    if id(value) not in seen and _is_of_users_class(value):
        seen.add(id(value))
        for inner, held in list(vars(value).items()):
            yield from _attribute(f"{path}.{inner}", value, inner, held, seen)


def _is_of_users_class(value: Any) -> bool:
    """Return whether a value is an object of a user's class, rather than of torch, NumPy or Python itself."""
    top = type(value).__module__.partition(".")[0]
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, (type, nn.Module, Tensor))
        and not callable(value)
        and top not in ("torch", "numpy", *sys.stdlib_module_names)
    )


@contextmanager
def preserved_state(model: nn.Module) -> Iterator[None]:
    """Restore changed buffers, plain attributes and generators of a model after the context."""
    restorers = [
        _buffer_restorer(module, name, value)
        for module in model.modules()
        for name, value in module._buffers.items()
    ]
    restorers += [
        _weight_restorer(module.weight)
        for module in model.modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag))
        and module.max_norm is not None  # a forward pass scales the weight
    ]
    restorers += [
        restorer
        for _, module, name, value in own_attributes(model)
        if (restorer := _attribute_restorer(module, name, value))
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for each in restorers:
                each()


def changed_state(model: nn.Module, start: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain attributes and the states of generators that changed since the start.

    Args:
        model: The trained module.
        start: The result of :func:`saved_state` before the training.
    """
    return {
        name: value
        for name, value in saved_state(model).items()
        if name not in start or not same(value, start[name])
    }


def saved_state(model: nn.Module) -> dict[str, Any]:
    """Return plain attributes and states of generators by path, as far as a checkpoint can store them."""
    found: dict[str, Any] = {}
    owned = {id(value) for value in [*model.parameters(), *model.buffers()]}
    for path, _, _, value in own_attributes(model):
        state = generator_state(value)
        if state is not None:
            found[path] = {"generator": state}
        elif isinstance(value, (deque, set)) and _can_be_saved(list(value), owned):
            found[path] = _copied(list(value))
        elif isinstance(value, _SAVED) and _can_be_saved(value, owned):
            found[path] = _copied(value)
    return found


def load_attributes(model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Set plain attributes and generators of a module to values that :func:`changed_state` returned."""
    for path, module, name, value in list(own_attributes(model)):
        if path in saved:
            if generator_state(value) is not None:
                _set_generator_state(value, saved[path]["generator"])
            elif isinstance(value, (deque, set)):
                value.clear()
                _refill(value, _copied(saved[path]))
            else:
                setattr(module, name, _copied(saved[path]))
    known = {path for path, *_ in own_attributes(model)}
    modules = dict(model.named_modules())
    for path in saved.keys() - known:  # attributes that training created
        owner, _, name = path.rpartition(".")
        if owner in modules:
            setattr(modules[owner], name, _copied(saved[path]))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; tensors in them must be equal to the last bit, or both NaN."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and equal_tensors(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    try:
        return bool(one == other) or (one != one and other != other)
    except Exception:
        return one is other


def _copied(value: Any) -> Any:
    """Return a copy that shares no tensor and no container with the value."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def _can_be_saved(value: Any, owned: set[int]) -> bool:
    """Return whether a checkpoint can restore a value.

    Tensors within a graph, such as activations that a hook keeps, are no state.

    Args:
        value: The value of an attribute.
        owned: The identities of weights and buffers. Attributes may hold them too, as those of recurrent
            layers do, but the module restores them.
    """
    if isinstance(value, Tensor):
        return type(value) is Tensor and not value.requires_grad and id(value) not in owned
    if isinstance(value, dict):
        return all(isinstance(key, (str, int)) and _can_be_saved(each, owned) for key, each in value.items())
    if type(value) in (list, tuple):
        return all(_can_be_saved(each, owned) for each in value)
    return type(value) in _SAVED


def _weight_restorer(weight: Tensor) -> Callable[[], None]:
    before = weight.detach().clone()

    def restore() -> None:
        weight.copy_(before)

    return restore


def _buffer_restorer(module: nn.Module, name: str, value: Tensor | None) -> Callable[[], None]:
    before = None if value is None else value.detach().clone()

    def restore() -> None:
        module._buffers[name] = value
        if value is not None and before is not None and not equal_tensors(value, before):
            value.copy_(before)

    return restore


def _attribute_restorer(module: Any, name: str, value: Any) -> Callable[[], None] | None:
    """Return a function that restores an attribute with its contents; None if that is not possible."""
    state = generator_state(value)
    if state is not None:
        return lambda: _set_generator_state(value, state)
    inside = _content_restorer(value)
    if inside is not None or isinstance(value, _UNCHANGING) or type(value) is tuple:

        def restore_attribute() -> None:
            vars(module)[name] = value
            if inside is not None:
                inside()

        return restore_attribute
    return None


def _content_restorer(value: Any) -> Callable[[], None] | None:
    """Return a function that restores a tensor, array or container; None if its contents cannot change."""
    if isinstance(value, Tensor):
        before = value.detach().clone()

        def restore_tensor() -> None:
            if not equal_tensors(value.detach(), before):
                value.data.copy_(before)

        return restore_tensor
    if isinstance(value, np.ndarray):
        copied = value.copy()

        def restore_array() -> None:
            value[...] = copied

        return restore_array if value.flags.writeable else None
    if not isinstance(value, (list, dict, set, deque, tuple)):
        return None
    held = list(value.values()) if isinstance(value, dict) else list(value)
    within = [restorer for each in held[:_MOST_HELD] if (restorer := _content_restorer(each)) is not None]
    if isinstance(value, tuple) and not within:
        return None
    contents: Any = copy.copy(value)

    def restore_contents() -> None:
        if not isinstance(value, tuple):
            value.clear()
            _refill(value, contents)
        for each in within:
            each()

    return restore_contents


def _refill(container: Any, contents: Any) -> None:
    (container.extend if isinstance(container, (list, deque)) else container.update)(contents)


def generator_state(value: Any) -> Any:
    """Return the state of a random generator of torch, NumPy or Python; None for any other value."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        name, keys, *rest = value.get_state(legacy=True)
        return [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest]
    if isinstance(value, random.Random):
        return value.getstate()
    return None


def _set_generator_state(value: Any, state: Any) -> None:
    if isinstance(value, torch.Generator):
        value.set_state(state)
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = state
    elif isinstance(value, np.random.RandomState):
        name, keys, *rest = state
        value.set_state((name, keys.numpy().astype(np.uint32), *rest))
    elif isinstance(value, random.Random):
        value.setstate(state)
