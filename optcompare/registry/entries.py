"""Describe plugins and the objects that they register, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, PluginError, explain
from . import hookspecs

if TYPE_CHECKING:
    import pluggy

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Entry:
    """Describe an object that a plugin registered under a name.

    Attributes:
        name: The name.
        factory: The function or class that makes the object.
        plugin: The name of the plugin.
    """

    name: str
    factory: Callable[..., Any]
    plugin: str


@dataclass(frozen=True)
class PluginInfo:
    """A loaded plugin.

    Attributes:
        name: The name of its entry point, or the path or module that the user named.
        version: The version of its distribution; "" where there is none.
        source: The name of its module.
        sha256: The SHA-256 of its package's source files; "" where there are none.
    """

    name: str
    version: str
    source: str
    sha256: str


def registered_entries(implementation: pluggy.HookImpl, kind: str) -> list[Entry]:
    """Call a plugin's hook, and return the entries that it registers.

    Args:
        implementation: The plugin's implementation of the hook.
        kind: What the hook registers, such as ``strategies``.

    Returns:
        The entries, in the plugin's order.

    Raises:
        PluginError: The hook fails, or returns something other than a mapping of names to factories.
    """
    plugin, hook = implementation.plugin_name, f"{hookspecs.NAME}_{kind}()"
    rule = f"{hook} must return a mapping of name to factory"
    try:
        factories = implementation.function()
    except USER_CODE_ERRORS as error:
        raise PluginError(f"plugin {plugin}: {hook} failed: {explain(error)}") from error
    if not isinstance(factories, Mapping):
        raise PluginError(f"plugin {plugin}: {rule}, got a {type(factories).__name__}")
    for name, factory in factories.items():
        if not (isinstance(name, str) and _NAME.fullmatch(name) and callable(factory)):
            raise PluginError(
                f"plugin {plugin}: {rule}, with names of letters, digits, '_', '-' and '.'; got "
                f"{name!r}: {factory!r}"
            )
    return [Entry(name, factory, plugin) for name, factory in factories.items()]
