"""Read the lane rules that plugins register."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, PluginError, explain, shorten
from ..interfaces.lane_rule import LaneRule
from ..interfaces.lane_rules import RegisteredRule, class_path
from . import hookspecs

if TYPE_CHECKING:
    import pluggy

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_HOOK = f"{hookspecs.NAME}_lane_rules()"


def registered_rules(implementation: pluggy.HookImpl) -> list[RegisteredRule]:
    """Call a plugin's hook, and return the lane rules that it registers.

    Args:
        implementation: The plugin's implementation of the hook.

    Raises:
        PluginError: The hook fails, or returns something other than a mapping of optimizers to lane rules.
    """
    plugin = implementation.plugin_name
    try:
        rules = implementation.function()
    except USER_CODE_ERRORS as error:
        raise PluginError(f"plugin {plugin}: {_HOOK} failed: {explain(error)}") from error
    who = f"plugin {plugin}: {_HOOK}"
    if not isinstance(rules, Mapping):
        kind = type(rules).__name__
        raise PluginError(f"{who} must return a mapping of optimizer class to LaneRule, got a {kind}")
    for optimizer, value in rules.items():
        if wrong := _fault(optimizer, value):
            raise PluginError(
                f"{who} must map optimizer classes (or dotted paths) to LaneRules (or dotted paths); {wrong}"
            )
    return [
        RegisteredRule(class_path(optimizer) if isinstance(optimizer, type) else optimizer, value, plugin)
        for optimizer, value in rules.items()
    ]


def _fault(optimizer: Any, value: Any) -> str:
    """Return what is wrong with a key and its value; empty if nothing is."""
    if not (isinstance(optimizer, type) or _is_path(optimizer)):
        return f"the key {_named(optimizer)} is neither"
    if not (isinstance(value, LaneRule) or _is_path(value)):
        name = optimizer.__name__ if isinstance(optimizer, type) else optimizer
        return f"the value for {name} is {_named(value)}"
    return ""


def _named(value: Any) -> str:
    """Return a text in quotes, and the kind of anything else, whose repr may be long."""
    return f"'{shorten(value)}'" if isinstance(value, str) else f"of type {type(value).__name__}"


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and _PATH.fullmatch(value) is not None
