"""Panels by name: those that optcompare brings along, which are drawn without any plugin, and those of
plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import USER_CODE_ERRORS, PluginError, explain
from ..registry.entries import Entry
from ..registry.manager import Registry

if TYPE_CHECKING:
    from .plots.panel import Panel


def panel_entries(registry: Registry) -> dict[str, Entry]:
    """Every panel that is registered, by name."""
    from .plots.builtin_panels import PANELS

    return registry.entries("panels", PANELS)


def make_panels(registry: Registry) -> dict[str, Panel]:
    """Every panel by name; raises :class:`PluginError` naming the plugin whose panel is none."""
    from .plots.panel import Panel

    found = {}
    for name, entry in panel_entries(registry).items():
        try:
            found[name] = entry.factory()
        except USER_CODE_ERRORS as error:
            raise PluginError(f"plugin {entry.plugin}: panel {name}: {explain(error)}") from error
        if not isinstance(found[name], Panel):
            kind = type(found[name]).__name__
            raise PluginError(
                f"plugin {entry.plugin}: panel {name} must be an optcompare.Panel, got a {kind}"
            )
    return found
