"""Distinguish a user's own code from that of Python and of installed packages."""

from __future__ import annotations

import functools
import importlib.util
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path

_STANDARD = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib")})
_PACKAGES = {"site-packages", "dist-packages"}
"""The names of folders of installed packages, of this environment or another, such as the system's Python."""


def is_installed(module: str | None) -> bool:
    """Return whether a module belongs to Python, to this package or to another installed one.

    Args:
        module: The dotted name of an imported module; None for none.
    """
    top = (module or "").partition(".")[0]
    if (top in sys.stdlib_module_names and top != "__main__") or top == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return file.startswith((*_STANDARD, *_from_sources())) or not _PACKAGES.isdisjoint(Path(file).parts)


@functools.cache
def _from_sources() -> tuple[str, ...]:
    """Return the folders of torch and NumPy, which may be installed from a clone of their sources."""
    specs = map(importlib.util.find_spec, ("torch", "numpy"))
    return tuple(str(Path(spec.origin).parent) for spec in specs if spec is not None and spec.origin)


def names_used(code: types.CodeType) -> Iterator[str]:
    """Return the names of variables and attributes that a function, and those within it, look up.

    Args:
        code: The code object of the function.

    Yields:
        The names, repeated where several functions use them.
    """
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_used(constant)
