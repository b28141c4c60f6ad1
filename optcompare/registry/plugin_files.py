"""Python files that are loaded by their paths.

Such a file finds the modules beside it, as with ``python FILE.py``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

from ..core.named_code import PYTHON_SUFFIX
from ..errors import USER_CODE_ERRORS, OptcompareError, PluginError, explain, is_user_file

PREFIX = "optcompare_file_"
"""The beginning of the names of such modules in ``sys.modules``."""


def load_module(source: str) -> types.ModuleType:
    """Import a Python file by its path, or a module by its name.

    Args:
        source: A path that ends in ``.py``, or a dotted name.

    Returns:
        The module.

    Raises:
        PluginError: There is no such code, or importing it fails; the message has the cause and its line.
    """
    if not source.endswith(PYTHON_SUFFIX) and ("/" in source or source.startswith(".")):
        raise PluginError(
            f"{source} is no Python file; give the path of one, DIR/FILE.py, or the name of a module"
        )
    try:
        is_file = source.endswith(PYTHON_SUFFIX)
        return load_file(Path(source)) if is_file else importlib.import_module(source)
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(f"{source} does not import: {explain(error)}") from error


def load_file(path: Path) -> types.ModuleType:
    """Execute a Python file as a module, with a unique name made from its path.

    Its folder is searched first while it is executed. The names of modules that it imported from there are
    extended by this folder, so that a file elsewhere can import another module of the same name.

    Args:
        path: The path of the file.

    Returns:
        The module.

    Raises:
        PluginError: There is no such file.
        BaseException: Whatever the file raises while it is executed.
    """
    if not path.is_file():
        raise PluginError(f"there is no file {path}; give the path of a Python file")
    name = f"{PREFIX}{path.stem}_{_digest(path)}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up to read string annotations
    try:
        with _first_on_path(path.resolve().parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def shown_name(module: str) -> str:
    """Return the name of a module for a message: that of its file for one that was loaded by its path.

    Args:
        module: The name of the module or of its package.
    """
    stem, _, digest = module.removeprefix(PREFIX).rpartition("_")
    return f"{stem}{PYTHON_SUFFIX}" if module.startswith(PREFIX) and stem and digest else module


def install_neighbor_finder() -> None:
    """Let loaded files import modules from their folder later, when their functions are called."""
    if not any(isinstance(finder, _NeighborFinder) for finder in sys.meta_path):
        sys.meta_path.append(_NeighborFinder())


class _SourceLoader(SourceFileLoader):
    """A loader that always compiles the source.

    A cached bytecode file next to it may belong to another user, and may not match the source.
    """

    def get_code(self, fullname: str) -> types.CodeType:
        """Return the code of the source file.

        Args:
            fullname: The name of the module.
        """
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Search a folder first within the block, then give what was imported from it names of this folder."""
    before, place = set(sys.modules), str(folder)
    importlib.invalidate_caches()
    sys.path.insert(0, place)
    try:
        yield
    finally:
        if place in sys.path:
            sys.path.remove(place)
        for name in [name for name in sys.modules if name not in before and not name.startswith(PREFIX)]:
            if _belongs_to(folder, sys.modules[name], name):
                _rename(sys.modules.pop(name), f"{PREFIX}beside_{_digest(folder)}_{name}")
        install_neighbor_finder()


def _belongs_to(folder: Path, module: types.ModuleType, name: str) -> bool:
    """Return whether a module is one of this folder's own, or of a package in it."""
    file = getattr(module, "__file__", None)
    if file is None:
        return [str(folder / name.replace(".", "/"))] == [*getattr(module, "__path__", ())]
    top = name.partition(".")[0]
    return is_user_file(file) and Path(file).resolve().is_relative_to(folder) and _is_beside(folder, top)


def _is_beside(folder: Path, name: str) -> bool:
    """Return whether a folder holds a module or a package of this name."""
    return (folder / f"{name}.py").is_file() or (folder / name).is_dir()


def _rename(module: types.ModuleType, name: str) -> None:
    """Rename a module and what is defined in it.

    Annotations and pickles look modules up by name.
    """
    for value in list(vars(module).values()):
        if isinstance(value, (type, types.FunctionType)) and value.__module__ == module.__name__:
            value.__module__ = name
    module.__name__ = name
    sys.modules[name] = module


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]


class _NeighborFinder:
    """A finder of modules beside the file whose code imports them, used after all other finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:
            return None
        folder = _folder_of_importer()
        if folder is None or not _is_beside(folder, name):
            return None
        known = sys.modules.get(f"{PREFIX}beside_{_digest(folder)}_{name}")
        if known is not None:
            return ModuleSpec(name, _ImportedLoader(known))
        return PathFinder.find_spec(name, [str(folder)])


class _ImportedLoader(Loader):
    """A loader that returns a module that was imported before."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _folder_of_importer() -> Path | None:
    """Return the folder of the user's file that runs the current import; None for other code."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and file != __file__:
            return Path(file).resolve().parent if is_user_file(file) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
