"""Read the docstring of a function from its source file, without importing what the file imports."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def docstring_of(path: str) -> str | None:
    """Return the docstring of a function or class; None where no source file says it plainly.

    Args:
        path: The dotted path of the function, whose packages are imported, but not its module.
    """
    module, _, name = path.rpartition(".")
    try:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return None
        tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return ast.get_docstring(node)
    return None
