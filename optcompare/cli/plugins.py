"""Define the commands ``list``, ``plugins`` and ``new-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .runs import remember_plugins, warn

if TYPE_CHECKING:
    from ..registry.entries import Entry
    from ..registry.manager import Registry

KINDS = (
    "strategies",
    "workloads",
    "optimizers",
    "diagnostics",
    "executors",
    "panels",
    "trackers",
    "reproductions",
    "suites",
)


@click.command(
    "new-plugin",
    short_help="Write an installable package as a start.",
    epilog="\b\nExample:\n  optcompare new-plugin large-first",
)
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Where.  [default: here]"
)
def new_plugin(name: str, out: Path) -> None:
    """Write an installable package with a strategy, a test and a README, as a start."""
    from .new_plugin import new_plugin as written

    for path in written(name, out):
        click.echo(path)


@click.command(
    "list",
    short_help="List strategies, workloads, optimizers and more.",
    epilog="\b\nExamples:\n  optcompare list\n  optcompare list strategies\n  optcompare list optimizers "
    "--plugin mine.py",
)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def list_(kind: str | None, plugin: tuple[str, ...]) -> None:
    """List strategies, workloads, optimizers and more, with their parameters.

    KIND is one of strategies, workloads, optimizers, diagnostics, executors, panels,
    trackers, reproductions and suites; without it all are listed.

    It executes installed plugins and what --plugin names.
    """
    from .listings import print_entries

    registry = _registry(plugin)
    for each in [kind] if kind else KINDS:
        print_entries(each, _entries(registry, each), title=kind is None)


@click.command(epilog="\b\nExample:\n  optcompare plugins --plugin mine.py")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def plugins(plugin: tuple[str, ...]) -> None:
    """List the plugins that were found, and what each adds.

    It executes them, and what --plugin names.
    """
    from ..registry.entries import Entry
    from .listings import print_plugins

    registry = _registry(plugin)
    rules = [Entry(rule.optimizer, rule.optimizer, rule.plugin) for rule in registry.lane_rules().registered]
    added = {kind: _entries(registry, kind) for kind in KINDS}
    print_plugins(registry.plugins(), {**added, "lane rules": {rule.name: rule for rule in rules}})


def _registry(plugins: tuple[str, ...]) -> Registry:
    from ..registry.manager import Registry

    remember_plugins(plugins)
    registry = Registry.load(plugins)
    warn(registry.warnings)
    return registry


def _entries(registry: Registry, kind: str) -> dict[str, Entry]:
    if kind != "panels":
        return registry.entries(kind)
    from ..report.panels import panel_entries

    return panel_entries(registry)
