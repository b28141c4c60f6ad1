"""List the panels by name: those that optcompare brings along, and those of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import USER_CODE_ERRORS, PluginError, explain
from ..registry.entries import Entry
from ..registry.manager import Registry

if TYPE_CHECKING:
    from .plots.panel import Panel


_MODULE = f"{__package__}.plots.builtin_panels"
BUILTIN = {
    "batch_size": f"{_MODULE}.BatchSize",
    "noise_scale": f"{_MODULE}.NoiseScalePanel",
    "grad_cosine": f"{_MODULE}.GradCosine",
    "sharpness": f"{_MODULE}.Sharpness",
    "plane": f"{_MODULE}.Plane",
}
"""The paths of the panels that need no plugin, by name; they are imported when one is used."""


def panel_entries(registry: Registry) -> dict[str, Entry]:
    """Return every registered panel by name.

    Args:
        registry: The registry of plugins.
    """
    return registry.entries("panels", BUILTIN)


def make_panels(registry: Registry) -> dict[str, Panel]:
    """Make every registered panel.

    Args:
        registry: The registry of plugins.

    Returns:
        The panels by name.

    Raises:
        PluginError: A plugin's panel cannot be made, or is no :class:`optcompare.Panel`.
    """
    from .plots.panel import Panel

    panels = {}
    for name, entry in panel_entries(registry).items():
        try:
            panels[name] = entry.factory()
        except USER_CODE_ERRORS as error:
            raise PluginError(f"plugin {entry.plugin}: panel {name}: {explain(error)}") from error
        if not isinstance(panels[name], Panel):
            kind = type(panels[name]).__name__
            raise PluginError(
                f"plugin {entry.plugin}: panel {name} must be an optcompare.Panel, got a {kind}"
            )
    return panels
