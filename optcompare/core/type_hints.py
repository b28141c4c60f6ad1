"""Evaluate the annotations of functions as far as is possible."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations that can be evaluated, such as those without a name imported for typing only.

    Args:
        function: A callable with annotations.

    Returns:
        The types by the name of the parameter.
    """
    with suppress(NameError, TypeError, AttributeError):
        return typing.get_type_hints(function)
    names, hints = getattr(inspect.unwrap(function), "__globals__", {}), {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        with suppress(NameError, TypeError, AttributeError):
            alone = types.SimpleNamespace(__annotations__={name: annotation})
            hints.update(typing.get_type_hints(alone, names))
    return hints
