"""Load plugins, and look up by name what they register."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from ..core.named_code import PYTHON_SUFFIX, code_key
from ..core.parameters import suggestion
from ..errors import USER_CODE_ERRORS, PluginError, explain
from ..interfaces.lane_rules import LaneRules
from . import hookspecs
from .entries import Entry, PluginInfo, registered_entries
from .fingerprints import code_exists, sources_sha256
from .hook_checks import explain_rejection, refuse_unmarked_hooks, refuse_without_hooks
from .lane_rules import registered_rules
from .plugin_files import load_module

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
_SINGULAR = {
    "strategies": "strategy",
    "workloads": "workload",
    "optimizers": "optimizer",
    "diagnostics": "diagnostic",
    "executors": "executor",
    "panels": "panel",
    "trackers": "tracker",
    "reproductions": "reproduction",
    "suites": "suite",
}


class Registry:
    """The plugins of one process.

    Attributes:
        warnings: Installed plugins that could not be used, and observers and trackers that failed, with the
            causes.
        named: The plugins that the user named.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.NAME)
        self._manager.add_hookspecs(hookspecs)
        self._versions: dict[str, str] = {}
        self._by_path: dict[str, PluginInfo] = {}
        self.warnings: list[str] = []
        self.named: tuple[str, ...] = ()
        self._allowed: Collection[str] | None = None

    @classmethod
    def load(
        cls,
        plugins: Iterable[str] = (),
        kind: str | None = None,
        allowed: Collection[str] | None = None,
        without_hooks: Collection[str] = (),
    ) -> Registry:
        """Load all installed plugins, then those that the user named.

        Args:
            plugins: Paths of Python files, or names of modules.
            kind: The only kind that is needed, such as ``panels``: installed plugins whose entry point names
                another kind, as ``strategies.full`` does, are not imported. None: all are.
            allowed: The keys (:func:`~optcompare.core.named_code.code_key`) of the code that may be imported
                besides installed plugins. None: any code.
            without_hooks: The keys of the code that needs no hook, since it holds workloads or optimizers.

        Returns:
            The registry. An installed plugin that cannot be loaded is left out, with a warning.

        Raises:
            PluginError: A plugin that the user named cannot be loaded, or adds nothing.
        """
        registry = cls()
        registry._allowed = allowed
        registry._load_installed({*KINDS, "lane_rules"} - {kind} if kind else set())
        registry._load_named(plugins, without_hooks)
        return registry

    def _load_installed(self, other_kinds: set[str]) -> None:
        points = importlib.metadata.entry_points(group=hookspecs.NAME)
        for point in sorted(points, key=lambda point: point.name):
            if point.name.partition(".")[0] in other_kinds:
                continue
            try:
                self.register(point.load(), point.name, point.dist.version if point.dist else "")
            except USER_CODE_ERRORS as error:
                self.warnings.append(f"plugin {point.name} ({point.value}) is left out: {explain(error)}")

    def _load_named(self, plugins: Iterable[str], without_hooks: Collection[str]) -> None:
        named = {code_key(plugin) if plugin.endswith(PYTHON_SUFFIX) else plugin: plugin for plugin in plugins}
        for key, plugin in list(named.items()):
            module = self.import_source(plugin)
            if self._manager.is_registered(module):  # the plugin may be installed, too
                continue
            self.register(module, plugin)
            if not self._manager.get_hookcallers(module):
                self._manager.unregister(module)
                if code_key(plugin) not in without_hooks:
                    refuse_without_hooks(plugin)
                del named[key]
        self.named = tuple(named)

    def import_source(self, source: str) -> types.ModuleType:
        """Import a Python file by its path, or a module by its name.

        All code that a text names is imported here.

        Args:
            source: A path that ends in ``.py``, or a dotted name.

        Returns:
            The module.

        Raises:
            PluginError: The code is not among those that were allowed, or cannot be imported.
        """
        if self._allowed is not None and code_key(source) not in self._allowed and code_exists(source):
            raise PluginError(
                f"{source} is code that you have not named, and is not executed; give --trust to execute it"
            )
        return load_module(source)

    def register(self, plugin: Any, name: str, version: str = "") -> None:
        """Register a module or object with hook implementations.

        Args:
            plugin: The module or object.
            name: The name of the plugin.
            version: The version of its distribution; "" where there is none.

        Raises:
            PluginError: A hook does not exist or has another signature, or the name is taken.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            refuse_unmarked_hooks(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            raise PluginError(f"plugin {name}: {explain_rejection(error)}") from error
        self._versions[name] = version

    def import_object(self, path: str) -> Any:
        """Import the object of a path; its sources count as those of a plugin.

        Args:
            path: A dotted path such as ``torch.optim.Adam``, or ``FILE.py:NAME``.

        Returns:
            The object.

        Raises:
            PluginError: The module is not installed, or has no such name.
        """
        source, name = path.rsplit(":" if f"{PYTHON_SUFFIX}:" in path else ".", 1)
        _refuse_missing(path, source)
        module = self.import_source(source)
        if not hasattr(module, name):
            raise PluginError(f"{source} has no '{name}'{suggestion(name, dir(module))}")
        top = source.partition(".")[0]
        if top != "torch" and source not in self._by_path:  # torch's version is recorded in any case
            version = "" if source.endswith(PYTHON_SUFFIX) else _version_of(top)
            self._by_path[source] = PluginInfo(source, version, module.__name__, _sha256_of(module))
        return getattr(module, name)

    def plugins(self) -> list[PluginInfo]:
        """Return the loaded plugins and the modules of imported objects, sorted by name."""
        found = list(self._by_path.values())
        for name, plugin in self._manager.list_name_plugin():
            source = str(getattr(plugin, "__name__", name))
            found.append(PluginInfo(name, self._versions.get(name, ""), source, _sha256_of(plugin)))
        return sorted(found, key=lambda info: info.name)

    def entries(
        self, kind: str, builtin: Mapping[str, Callable[..., Any] | str] = MappingProxyType({})
    ) -> dict[str, Entry]:
        """Return everything of a kind that is registered.

        Args:
            kind: One of :data:`KINDS`.
            builtin: What optcompare itself has of this kind, without a plugin; factories or their paths.

        Returns:
            The entries by name, sorted.

        Raises:
            PluginError: Two plugins register one name, or a hook fails or returns something else.
        """
        found = {name: Entry(name, factory, hookspecs.NAME) for name, factory in builtin.items()}
        for implementation in self._implementations(kind):
            for entry in registered_entries(implementation, kind):
                if entry.name in found:
                    raise PluginError(
                        f"plugins {found[entry.name].plugin} and {entry.plugin} both register the "
                        f"{_SINGULAR[kind]} '{entry.name}'; uninstall one of them, or rename one"
                    )
                found[entry.name] = entry
        return dict(sorted(found.items()))

    def find(self, kind: str, name: str) -> Entry:
        """Look up an entry by its name.

        Args:
            kind: One of :data:`KINDS`.
            name: The name.

        Returns:
            The entry.

        Raises:
            PluginError: Nothing of this name is registered; the message has the nearest name.
        """
        entries = self.entries(kind)
        if name not in entries:
            known = ", ".join(entries)
            raise PluginError(
                f"unknown {_SINGULAR[kind]} '{name}'{suggestion(name, entries)}; known: {known}"
            )
        return entries[name]

    def lane_rules(self) -> LaneRules:
        """Return the lane rules of all plugins.

        Raises:
            PluginError: Two plugins register a rule for one optimizer, or a hook fails.
        """
        found = [registered_rules(each) for each in self._implementations("lane_rules")]
        return LaneRules([rule for rules in found for rule in rules])

    def notify(self, event: str, **arguments: Any) -> None:
        """Call the observers of an event.

        An observer that raises is unregistered, with a warning.

        Args:
            event: The name of the hook without ``optcompare_``, such as ``measured``.
            **arguments: The arguments of the hook.
        """
        for implementation in self._implementations(event):
            try:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            except USER_CODE_ERRORS as error:
                self.warnings.append(
                    f"observer {implementation.plugin_name} is left out from now on: {explain(error)}"
                )
                self._manager.unregister(name=implementation.plugin_name)

    def observes(self, event: str) -> bool:
        """Return whether any plugin observes an event.

        Args:
            event: The name of the hook without ``optcompare_``.
        """
        return bool(self._implementations(event))

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        implementations: list[pluggy.HookImpl] = getattr(
            self._manager.hook, f"{hookspecs.NAME}_{hook}"
        ).get_hookimpls()
        return implementations


def _sha256_of(plugin: object) -> str:
    path = Path(getattr(plugin, "__file__", None) or "")
    return sources_sha256(path) if path.is_file() else ""


def _refuse_missing(path: str, source: str) -> None:
    top = source.partition(".")[0]
    if (
        not source.endswith(PYTHON_SUFFIX)
        and top not in sys.modules
        and importlib.util.find_spec(top) is None
    ):
        raise PluginError(f"{path}: there is no module {top}; install it, as with pip install {top}")


def _version_of(package: str) -> str:
    names = importlib.metadata.packages_distributions().get(package, ())
    return next((importlib.metadata.version(name) for name in names), "")
