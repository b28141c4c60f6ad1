"""The Python files and modules that a comparison names, read by the parser that its run uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import SpecError
from .comparison import Comparison
from .file_paths import join_script_path, parse_list
from .grammar import Spec, parse

PYTHON_SUFFIX = ".py"
"""The end of the names of files; all other names of plugins are modules."""


@dataclass(frozen=True)
class NamedCode:
    """A file or module that is imported to run a comparison.

    Attributes:
        source: The path of a Python file, or the dotted name of a module.
        role: What it is for: ``plugin``, ``workload``, ``optimizer``, ….
    """

    source: str
    role: str

    @property
    def key(self) -> str:
        """Return the key of the file or module, as :func:`code_key` does."""
        return code_key(self.source)


def code_key(source: str) -> str:
    """Return the key by which a file or module is known.

    Args:
        source: The path of a Python file, or the dotted name of a module.

    Returns:
        The path with links resolved, or the top-level package. A path that no file can have, such as one
        with a zero byte, is only made absolute.
    """
    if not source.endswith(PYTHON_SUFFIX):
        return source.partition(".")[0]
    try:
        return str(Path(source).resolve())
    except (OSError, ValueError, RuntimeError):  # a zero byte, links in a circle
        return os.path.abspath(source)


def is_dotted_name(name: str) -> bool:
    """Return whether a name may be the path of an object in a package, as in ``torch.optim.Adam``.

    Args:
        name: Any text.
    """
    return "." in name and all(part.isidentifier() for part in name.split("."))


def code_of(comparison: Comparison) -> list[NamedCode]:
    """Return the code that running a comparison imports, besides installed plugins; each once.

    Values of parameters that are paths of Python files count too, since a plugin may import them.

    Args:
        comparison: The comparison, as it is saved.

    Returns:
        The files and modules, plugins first.
    """
    found = [NamedCode(name, "plugin") for name in map(str, comparison.plugins)]
    parts = [("workload", comparison.workload), *(("diagnostic", part) for part in comparison.diagnostics)]
    for arm in comparison.arms:
        parts += [("strategy", arm.strategy), ("optimizer", arm.optimizer)]
    for role, part in dict.fromkeys(parts):
        if part.reference is not None:
            found += _code_of_spec(_parsed(str(part.reference)), role)
    return list(dict.fromkeys(found))


def code_of_lists(strategies: str, optimizers: str) -> list[NamedCode]:
    """Return the code that the options ``--strategies`` and ``--optimizers`` name; each once.

    Args:
        strategies: The value of ``--strategies``.
        optimizers: The value of ``--optimizers``.

    Returns:
        The files and modules, in order.

    Raises:
        SpecError: A list cannot be parsed.
    """
    found: list[NamedCode] = []
    for spec in parse_list(strategies, optimizers=True):
        found += _code_of_spec(spec, "strategy")
        found += _code_of_spec(spec.optimizer, "optimizer") if spec.optimizer is not None else []
    for spec in parse_list(optimizers):
        found += _code_of_spec(spec, "optimizer")
    return list(dict.fromkeys(found))


def code_keys(code: Iterable[NamedCode]) -> frozenset[str]:
    """Return the keys of files and modules, as :func:`code_key` does.

    Args:
        code: Files and modules.
    """
    return frozenset(each.key for each in code)


def _parsed(reference: str) -> Spec:
    try:
        return parse(reference)
    except SpecError:  # building the part reports the error
        return Spec("")


def _code_of_spec(spec: Spec, role: str) -> Iterator[NamedCode]:
    read = join_script_path(spec)
    if role == "optimizer" and is_dotted_name(read.name) and not read.name.endswith(PYTHON_SUFFIX):
        yield NamedCode(read.name.rpartition(".")[0], role)
    for value in (read.name, *read.args, *(value for _, value in read.options)):
        if value.endswith(PYTHON_SUFFIX):
            yield NamedCode(value, role)
