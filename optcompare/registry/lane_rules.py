"""Read the lane rules that plugins register."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, PluginError, explain
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
    rule = f"plugin {plugin}: {_HOOK} must return a mapping of optimizer class to LaneRule"
    if not isinstance(rules, Mapping):
        raise PluginError(f"{rule}, got a {type(rules).__name__}")
    for optimizer, value in rules.items():
        if not ((isinstance(optimizer, type) or _is_path(optimizer)) and _is_rule(value)):
            raise PluginError(f"{rule}, or of their dotted paths; got {optimizer!r}: {value!r}")
    return [
        RegisteredRule(class_path(optimizer) if isinstance(optimizer, type) else optimizer, value, plugin)
        for optimizer, value in rules.items()
    ]


def _is_rule(value: Any) -> bool:
    return isinstance(value, LaneRule) or _is_path(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and _PATH.fullmatch(value) is not None
