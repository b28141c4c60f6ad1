"""What a convention says of a module: fields of a workload."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..interfaces.metrics import Metric

Forward = Callable[[nn.Module, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Form:
    """Fields of a workload that a convention gives."""

    forward: Forward
    loss: Callable[[Any, Any], Any]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    weight: Callable[[Any], Any] | None = None
    notes: tuple[str, ...] = ()


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """The parameters of a function or a bound method."""
    return list(inspect.signature(function).parameters.values())


def overridden(thing: Any, names: tuple[str, ...], package: tuple[str, ...]) -> list[str]:
    """Which of these methods a class of the user's has in place of the package's own.

    Args:
        thing: An object of that class.
        names: Of methods.
        package: The top-level names of the packages whose own methods do not count.
    """
    found = [(name, getattr(type(thing), name, None)) for name in names]
    return [
        name
        for name, method in found
        if method is not None
        and getattr(method, "__module__", package[0]).partition(".")[0] not in (*package, "torch")
    ]
