"""SHA-256 of code that is not imported yet.

Of a Python file with the modules beside it that it may import, or of a whole package.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.machinery import all_suffixes
from pathlib import Path

from ..core.named_code import PYTHON_SUFFIX


def code_exists(source: str) -> bool:
    """Return whether a file or module exists; true if the check itself fails.

    Args:
        source: The path of a Python file, or the dotted name of a module.
    """
    try:
        return Path(source).is_file() if source.endswith(PYTHON_SUFFIX) else _find_package(source) is not None
    except (OSError, ValueError, ImportError, AttributeError):
        return True


def code_sha256(source: str) -> str | None:
    """Return the SHA-256 of a file or module, without importing anything.

    Of a file, it covers the modules beside it that it imports by name, and those that these import. Of a
    module, it covers the package that it belongs to.

    Args:
        source: The path of a Python file, or the dotted name of a module.

    Returns:
        64 hexadecimal digits; None where the code cannot be read.
    """
    try:
        if source.endswith(PYTHON_SUFFIX):
            return _sha256(_with_modules_beside(Path(source).resolve()))
        found = _find_package(source)
        if found is None:
            return None
        places = [Path(place) for place in found.submodule_search_locations or ()]
        if places:
            return _sha256(file for place in places for file in _modules_in(place))
        if found.has_location and found.origin is not None:
            return _sha256(_with_modules_beside(Path(found.origin)))
        return hashlib.sha256(f"{found.origin} {sys.version}".encode()).hexdigest()  # a part of Python itself
    except (OSError, ValueError, RuntimeError, ImportError, AttributeError):
        return None


def sources_sha256(path: Path) -> str:
    """Return the SHA-256 of the Python files that belong to an imported module.

    Of a module in a package, these are all files of the package; of a single module, its file and those of
    the imported modules beside it.

    Args:
        path: The file of the module.

    Returns:
        64 hexadecimal digits.
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


def _find_package(module: str) -> importlib.machinery.ModuleSpec | None:
    """Return the directory of the top-level package of a module.

    More of its name is not looked up, since that would import the package.
    """
    return importlib.util.find_spec(module.partition(".")[0])


def _sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file}\0{content}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _modules_in(folder: Path) -> Iterator[Path]:
    suffixes = tuple(all_suffixes())
    return (
        path
        for path in folder.rglob("*")
        if path.name.endswith(suffixes) and path.is_file() and not _is_cache(path)
    )


def _is_cache(path: Path) -> bool:
    return "__pycache__" in path.parts


def _with_modules_beside(file: Path) -> set[Path]:
    folder, found, left = file.parent, set[Path](), [file]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imported(path) if path.suffix == PYTHON_SUFFIX else ():
            left += [each for suffix in all_suffixes() if (each := folder / f"{name}{suffix}").is_file()]
            left += _modules_in(folder / name)
    return found


def _imported(file: Path) -> set[str]:
    """Return the top-level names that a file imports anywhere; none of a file that is no Python."""
    names = set[str]()
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names
