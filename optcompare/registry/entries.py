"""Describe plugins and the objects that they register, as data."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, PluginError, explain
from . import hookspecs

if TYPE_CHECKING:
    import pluggy

_NAME = re.compile(r"[\w.-]+")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True)
class Entry:
    """Describe an object that a plugin registered under a name.

    Args:
        name: The name.
        registered: The function or class that makes the object, or its dotted path.
        plugin: The name of the plugin.
    """

    name: str
    registered: Callable[..., Any] | str
    plugin: str

    @cached_property
    def factory(self) -> Callable[..., Any]:
        """Return the function or class that makes the object, imported at its first use.

        Raises:
            PluginError: The path cannot be imported, or leads to something that cannot be called.
        """
        if not isinstance(self.registered, str):
            return self.registered
        module, _, name = self.registered.rpartition(".")
        who = f"plugin {self.plugin}: '{self.name}' is {self.registered}"
        try:
            found = getattr(importlib.import_module(module), name)
        except USER_CODE_ERRORS as error:
            raise PluginError(f"{who}, which cannot be imported: {explain(error)}") from error
        if not callable(found):
            raise PluginError(f"{who}, a {type(found).__name__}; give the path of a function or class")
        factory: Callable[..., Any] = found
        return factory


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
        usable = _PATH.fullmatch(factory) if isinstance(factory, str) else callable(factory)
        if not (isinstance(name, str) and _NAME.fullmatch(name) and usable):
            raise PluginError(
                f"plugin {plugin}: {rule}, with names of letters, digits, '_', '-' and '.'; got "
                f"{name!r}: {factory!r}"
            )
    return [Entry(name, factory, plugin) for name, factory in factories.items()]
