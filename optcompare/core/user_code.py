"""Distinguish a user's own code from that of Python and of installed packages."""

from __future__ import annotations

import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

_STANDARD = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib")})
_PACKAGES = {"site-packages", "dist-packages"}
"""The names of folders of installed packages, of this environment or another, such as the system's Python."""
_FROM_SOURCES = tuple(str(Path(package.__path__[0])) for package in (torch, np))


def is_installed(module: str | None) -> bool:
    """Return whether a module belongs to Python, to this package or to another installed one.

    Args:
        module: The dotted name of an imported module; None for none.
    """
    top = (module or "").partition(".")[0]
    if (top in sys.stdlib_module_names and top != "__main__") or top == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return file.startswith((*_STANDARD, *_FROM_SOURCES)) or not _PACKAGES.isdisjoint(Path(file).parts)


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
