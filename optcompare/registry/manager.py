"""Finds plugins and turns names into things."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from ..core.named_code import PYTHON_SUFFIX, code_key
from ..core.parameters import suggestion
from ..errors import USER_CODE_ERRORS, OptcompareError, PluginError, explain
from . import hookspecs
from .fingerprints import code_exists
from .plugin_files import load_file

KINDS = ("strategies", "workloads", "optimizers", "diagnostics", "executors", "panels", "trackers")
_SINGULAR = {
    "strategies": "strategy",
    "workloads": "workload",
    "optimizers": "optimizer",
    "diagnostics": "diagnostic",
    "executors": "executor",
    "panels": "panel",
    "trackers": "tracker",
}
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Entry:
    """A registered thing: its factory, and the plugin that brought it."""

    name: str
    factory: Callable[..., Any]
    plugin: str


@dataclass(frozen=True)
class PluginInfo:
    """A loaded plugin: where it came from, and the SHA-256 of its package's source files."""

    name: str
    version: str
    source: str
    sha256: str


class Registry:
    """The plugins of one process.

    ``warnings``: installed plugins that could not be used, observers and trackers that failed, and why;
    ``named``: the plugins that were asked for.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.NAME)
        self._manager.add_hookspecs(hookspecs)
        self._versions: dict[str, str] = {}
        self._by_path: dict[str, PluginInfo] = {}
        self.warnings: list[str] = []
        self.named: tuple[str, ...] = ()
        self._admitted: Collection[str] | None = None

    @classmethod
    def load(
        cls,
        plugins: Iterable[str] = (),
        kind: str | None = None,
        admitted: Collection[str] | None = None,
        hookless: Collection[str] = (),
    ) -> Registry:
        """All installed plugins, then ``plugins``: paths of Python files, or names of modules.

        ``kind``: leaves out installed plugins whose entry point says that they are of another kind, as in
        ``strategies.full``: what draws figures needs no torch.

        ``admitted``: the keys (:func:`~optcompare.core.named_code.code_key`) of all that may be imported beside
        them; None: anything. ``hookless``: the keys of those that need no hook, since they hold workloads or
        optimizers.

        An installed plugin that is broken becomes a warning; one that was asked
        for by name raises :class:`PluginError`.
        """
        registry = cls()
        registry._admitted = admitted
        others = set(KINDS) - {kind} if kind else set()
        for point in sorted(
            importlib.metadata.entry_points(group=hookspecs.NAME), key=lambda point: point.name
        ):
            if point.name.partition(".")[0] in others:
                continue
            try:
                registry.register(point.load(), point.name, point.dist.version if point.dist else "")
            except USER_CODE_ERRORS as error:
                registry.warnings.append(f"plugin {point.name} ({point.value}) is left out: {explain(error)}")
        named = {code_key(plugin) if plugin.endswith(PYTHON_SUFFIX) else plugin: plugin for plugin in plugins}
        for known, plugin in list(named.items()):
            module = registry.module(plugin)
            if registry._manager.is_registered(module):  # it may be installed, too
                continue
            registry.register(module, plugin)
            if not registry._manager.get_hookcallers(module):
                registry._manager.unregister(module)
                _refuse_without_hooks(plugin, code_key(plugin) in hookless)
                del named[known]
        registry.named = tuple(named)
        return registry

    def module(self, source: str) -> types.ModuleType:
        """Import a Python file by its path, or a module by its name; the only way to code that a text names.

        Raises :class:`PluginError` for what was not admitted, or does not import.
        """
        if self._admitted is not None and code_key(source) not in self._admitted and code_exists(source):
            raise PluginError(f"{source} is code that you have not named, and is not executed; give --trust")
        return load_module(source)

    def register(self, plugin: Any, name: str, version: str = "") -> None:
        """Adds a module or object with hook implementations; raises :class:`PluginError` naming plugin and
        rule.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            _refuse_unmarked(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            raise PluginError(f"plugin {name}: {_complaint(error)}") from error
        self._versions[name] = version

    def by_path(self, path: str) -> Any:
        """What a dotted path names, as in ``torch.optim.Adam``, or ``FILE.py:NAME``; its sources count as a
        plugin's.

        Raises :class:`PluginError` for a module that is not installed and a name that it has not.
        """
        source, name = path.rsplit(":" if ".py:" in path else ".", 1)
        _refuse_missing(path, source)
        module = self.module(source)
        if not hasattr(module, name):
            raise PluginError(f"{source} has no '{name}'{suggestion(name, dir(module))}")
        top = source.partition(".")[0]
        if top != "torch" and source not in self._by_path:  # torch's version is noted in any case
            version = "" if source.endswith(".py") else _version_of(top)
            file = Path(getattr(module, "__file__", None) or "")
            digest = sources_sha256(file) if file.is_file() else ""
            self._by_path[source] = PluginInfo(source, version, module.__name__, digest)
        return getattr(module, name)

    def plugins(self) -> list[PluginInfo]:
        """The loaded plugins by name, and what was named by its path."""
        found = list(self._by_path.values())
        for name, plugin in self._manager.list_name_plugin():
            path = Path(getattr(plugin, "__file__", None) or "")
            digest = sources_sha256(path) if path.is_file() else ""
            source = str(getattr(plugin, "__name__", name))
            found.append(PluginInfo(name, self._versions.get(name, ""), source, digest))
        return sorted(found, key=lambda info: info.name)

    def entries(
        self, kind: str, builtin: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    ) -> dict[str, Entry]:
        """All things of a kind by name; two plugins that claim one name are an error that names both.

        ``builtin``: those of optcompare itself that are there without any plugin.
        """
        found = {name: Entry(name, factory, hookspecs.NAME) for name, factory in builtin.items()}
        for implementation in getattr(self._manager.hook, f"optcompare_{kind}").get_hookimpls():
            for entry in self._entries_of(implementation, kind):
                if entry.name in found:
                    raise PluginError(
                        f"plugins {found[entry.name].plugin} and {entry.plugin} both register the "
                        f"{_SINGULAR[kind]} '{entry.name}'; uninstall one of them or rename"
                    )
                found[entry.name] = entry
        return dict(sorted(found.items()))

    def find(self, kind: str, name: str) -> Entry:
        """The thing of that name; raises :class:`PluginError` with the nearest name."""
        entries = self.entries(kind)
        if name not in entries:
            known = ", ".join(entries)
            raise PluginError(
                f"unknown {_SINGULAR[kind]} '{name}'{suggestion(name, entries)}; known: {known}"
            )
        return entries[name]

    def notify(self, event: str, **arguments: Any) -> None:
        """Tells the observers. One that raises is named in ``warnings`` once and told nothing more."""
        for implementation in getattr(self._manager.hook, f"optcompare_{event}").get_hookimpls():
            try:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            except USER_CODE_ERRORS as error:
                self.warnings.append(
                    f"observer {implementation.plugin_name} is left out from now on: {explain(error)}"
                )
                self._manager.unregister(name=implementation.plugin_name)

    def observes(self, event: str) -> bool:
        """Whether any plugin listens to the event."""
        return bool(getattr(self._manager.hook, f"optcompare_{event}").get_hookimpls())

    def _entries_of(self, implementation: pluggy.HookImpl, kind: str) -> list[Entry]:
        plugin, rule = (
            implementation.plugin_name,
            f"optcompare_{kind}() must return a mapping of name to factory",
        )
        try:
            things = implementation.function()
        except USER_CODE_ERRORS as error:
            raise PluginError(f"plugin {plugin}: optcompare_{kind}() failed: {explain(error)}") from error
        if not isinstance(things, Mapping):
            raise PluginError(f"plugin {plugin}: {rule}, got a {type(things).__name__}")
        for name, factory in things.items():
            if not (isinstance(name, str) and _NAME.fullmatch(name) and callable(factory)):
                raise PluginError(
                    f"plugin {plugin}: {rule}, with names of letters, digits, '_', '-' and '.'; got "
                    f"{name!r}: {factory!r}"
                )
        return [Entry(name, factory, plugin) for name, factory in things.items()]


def _refuse_unmarked(plugin: Any) -> None:
    """Raises ValueError for functions of a module that are named as hooks are, and would not be called."""
    for name, value in list(vars(plugin).items()) if isinstance(plugin, types.ModuleType) else ():
        mine = isinstance(value, types.FunctionType) and value.__module__ == plugin.__name__
        if mine and name.startswith(f"{hookspecs.NAME}_") and not hasattr(value, f"{hookspecs.NAME}_impl"):
            hint = "" if name in _hooks() else _nearest_hook(name)
            raise ValueError(
                f"{name}() is not under @optcompare.hookimpl, so that it would not be called{hint}"
            )


def _refuse_without_hooks(name: str, hookless: bool) -> None:
    if not hookless:
        raise PluginError(
            f"plugin {name}: it implements no hook, so that it adds nothing; write a function such as "
            "optcompare_strategies() under @optcompare.hookimpl"
        )


def _complaint(error: Exception) -> str:
    """What pluggy says, in one line; of a hook that does not exist, with the nearest that does."""
    text = " ".join(str(error).split())
    unknown = re.search(r"unknown hook '(\w+)'", text)
    if unknown is None:
        return text
    hint = _nearest_hook(unknown[1]) or f"; there are {', '.join(_hooks())}"
    return f"there is no hook {unknown[1]}(){hint}"


def _nearest_hook(name: str) -> str:
    """As :func:`suggestion` has it, by what comes after the beginning that all hooks share."""
    begin = f"{hookspecs.NAME}_"
    bare = [hook.removeprefix(begin) for hook in _hooks()]
    return suggestion(name.removeprefix(begin), bare).replace("'", f"'{begin}", 1)


def _hooks() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith(f"{hookspecs.NAME}_")]


def _refuse_missing(path: str, source: str) -> None:
    top = source.partition(".")[0]
    if not source.endswith(".py") and top not in sys.modules and importlib.util.find_spec(top) is None:
        raise PluginError(f"{path}: there is no module {top}; install it, as with pip install {top}")


def _version_of(package: str) -> str:
    names = importlib.metadata.packages_distributions().get(package, ())
    return next((importlib.metadata.version(name) for name in names), "")


def load_module(plugin: str) -> types.ModuleType:
    """The module at a ``.py`` path, or of a dotted name; raises :class:`PluginError` with the cause and its
    line.
    """
    if not plugin.endswith(".py") and ("/" in plugin or plugin.startswith(".")):
        raise PluginError(
            f"{plugin} is no Python file; give the path of one, DIR/FILE.py, or the name of a module"
        )
    try:
        return load_file(Path(plugin)) if plugin.endswith(".py") else importlib.import_module(plugin)
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(f"{plugin} does not import: {explain(error)}") from error


def sources_sha256(path: Path) -> str:
    """Of all Python files of the package that a module's file belongs to; of a lone module, its file and
    those of the modules beside it that were imported.
    """
    root = path.parent
    if (root / "__init__.py").is_file():
        while (root.parent / "__init__.py").is_file():
            root = root.parent
        files = set(root.rglob("*.py"))
    else:
        loaded = {
            Path(name) for module in list(sys.modules.values()) if (name := getattr(module, "__file__", None))
        }
        files = {
            path,
            *(file for file in loaded if file.parent == root and file.suffix == ".py" and file.is_file()),
        }
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
