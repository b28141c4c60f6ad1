"""Check the hooks that a plugin implements, and explain what is wrong with them."""

from __future__ import annotations

import re
import types

from ..core.parameters import suggestion
from ..errors import PluginError
from . import hookspecs

_PREFIX = f"{hookspecs.NAME}_"


def refuse_unmarked_hooks(plugin: object) -> None:
    """Refuse functions of a module that have the name of a hook and would not be called.

    Args:
        plugin: A module; any other object is not checked.

    Raises:
        ValueError: Such a function is not under ``@optcompare.hookimpl``.
    """
    if not isinstance(plugin, types.ModuleType):
        return
    for name, value in list(vars(plugin).items()):
        is_own = isinstance(value, types.FunctionType) and value.__module__ == plugin.__name__
        if is_own and name.startswith(_PREFIX) and not hasattr(value, f"{_PREFIX}impl"):
            hint = "" if name in _hook_names() else _nearest_hook(name)
            raise ValueError(
                f"{name}() is not under @optcompare.hookimpl, so that it would not be called; add that line "
                f"above it{hint}"
            )


def refuse_without_hooks(name: str) -> None:
    """Refuse a plugin that implements no hook.

    Args:
        name: The plugin, as the user named it.

    Raises:
        PluginError: In every case, with the reason.
    """
    raise PluginError(
        f"plugin {name}: it implements no hook, so that it adds nothing; write a function such as "
        "optcompare_strategies() under @optcompare.hookimpl"
    )


def explain_rejection(error: Exception) -> str:
    """Describe in one line why pluggy rejected a plugin.

    Args:
        error: The exception that pluggy raised.

    Returns:
        Its message; where a hook does not exist, the nearest that does.
    """
    text = " ".join(str(error).split())
    unknown = re.search(r"unknown hook '(\w+)'", text)
    if unknown is None:
        return text
    hint = _nearest_hook(unknown[1]) or f"; there are {', '.join(_hook_names())}"
    return f"there is no hook {unknown[1]}(){hint}"


def _nearest_hook(name: str) -> str:
    """Return the hook whose name after the common prefix is nearest, as a hint; "" where none is near."""
    names = [hook.removeprefix(_PREFIX) for hook in _hook_names()]
    return suggestion(name.removeprefix(_PREFIX), names).replace("'", f"'{_PREFIX}", 1)


def _hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith(_PREFIX)]
