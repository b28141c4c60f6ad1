"""The lane rules of a run, by the optimizer classes that they describe."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import USER_CODE_ERRORS, PluginError, explain
from .lane_rule import LaneRule


@dataclass(frozen=True)
class RegisteredRule:
    """Hold a lane rule that a plugin registered.

    Attributes:
        optimizer: The dotted path of the optimizer class, which may lead through another module than its own.
        rule: The rule, or its dotted path, which is imported at its first use.
        plugin: The name of the plugin.
    """

    optimizer: str
    rule: LaneRule | str
    plugin: str

    def load(self) -> LaneRule:
        """Return the rule, imported at its first use.

        Raises:
            PluginError: The path cannot be imported, or leads to something else.
        """
        if isinstance(self.rule, LaneRule):
            return self.rule
        module, _, name = self.rule.rpartition(".")
        who = f"plugin {self.plugin}: the lane rule of {self.optimizer} is {self.rule}"
        try:
            found = getattr(importlib.import_module(module), name)
        except USER_CODE_ERRORS as error:
            raise PluginError(f"{who}, which cannot be imported: {explain(error)}") from error
        if not isinstance(found, LaneRule):
            raise PluginError(f"{who}, a {type(found).__name__}; give the path of a LaneRule")
        return found


class LaneRules:
    """Find the lane rule of an optimizer.

    Args:
        registered: The rules of all plugins.

    Raises:
        PluginError: Two rules are registered under one path.
    """

    def __init__(self, registered: Sequence[RegisteredRule] = ()) -> None:
        self.registered = tuple(registered)
        known: dict[str, RegisteredRule] = {}
        for each in self.registered:
            _refuse_two([known.setdefault(each.optimizer, each), each], each.optimizer)

    @classmethod
    def single(cls, optimizer: type, rule: LaneRule) -> LaneRules:
        """Return the rule of one optimizer class alone.

        Args:
            optimizer: The class.
            rule: Its rule.
        """
        return cls([RegisteredRule(class_path(optimizer), rule, "")])

    def of(self, optimizer: type) -> LaneRule | None:
        """Return the rule of an optimizer class; None if there is none.

        No optimizer is imported: a path whose module is not imported cannot lead to a class that exists.

        Args:
            optimizer: The class itself; rules of its bases do not apply.

        Raises:
            PluginError: Two plugins register a rule for the class, or the rule cannot be imported.
        """
        path = class_path(optimizer)
        found = [each for each in self.registered if path in (each.optimizer, _own_path(each.optimizer))]
        _refuse_two(found, path)
        return found[0].load() if found else None


def _refuse_two(found: Sequence[RegisteredRule], path: str) -> None:
    if len(found) > 1 and found[0] is not found[1]:
        raise PluginError(
            f"plugins {found[0].plugin} and {found[1].plugin} both register a lane rule for {path}; "
            "uninstall one of them, or remove one rule"
        )


def class_path(kind: type) -> str:
    """Return the dotted path of a class through its own module.

    Args:
        kind: The class.
    """
    return f"{kind.__module__}.{kind.__qualname__}"


def _own_path(path: str) -> str:
    """Return the path of a class through its own module, if the module in its path is imported."""
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return class_path(found) if isinstance(found, type) else path
