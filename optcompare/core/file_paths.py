"""Paths of files in specs.

Colons, commas and equals signs separate parameters, and a path may contain them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import OptcompareError
from .grammar import Spec, parse, quoted, split

_DRIVE = re.compile(r"[A-Za-z]")
_NAME = re.compile(r"[A-Za-z_][\w-]*")


def parse_list(text: str, *, optimizers: bool = False) -> list[Spec]:
    """Parse a comma-separated list of specs.

    Args:
        text: The list, such as ``full,mini:32@adam``.
        optimizers: Whether ``@optimizer`` may follow a name.

    Returns:
        The specs in order.

    Raises:
        SpecError: An item is empty, repeats a key, has a positional value after a key, or an open quote or
            parenthesis.
    """
    return [parse(item, optimizers=optimizers) for item in split_items(text)]


def split_items(text: str) -> list[str]:
    """Split a list at its commas, except at those in the path of a file that exists.

    Args:
        text: The list.

    Returns:
        The items in order, as written.

    Raises:
        SpecError: A quote or parenthesis is open.
    """
    parts = list(split(text, ","))
    found: list[str] = []
    while parts:
        counts = range(2, len(parts) + 1)
        count = next((count for count in counts if _names_a_file(parts[0], ",".join(parts[:count]))), 1)
        found.append(",".join(parts[:count]))
        parts = parts[count:]
    return found


def join_path_parts(spec: Spec) -> Spec:
    """Join the parts of a path with colons or equals signs at the beginning of a spec's values.

    The parts are one path where a file of that path exists, or where the first is the letter of a drive, as
    in ``C:/data.csv``.

    Args:
        spec: The spec of ``name:PATH…``.

    Returns:
        The spec with the path as its first positional value; the same spec where nothing is to be joined.
    """
    parts = _values_of(spec)
    count = 0 if spec.args and _is_file(spec.args[0]) else _count_path_parts(parts, "")
    if count == 0:
        return spec
    args, options = spec.args[count:], spec.options[max(0, count - len(spec.args)) :]
    return replace(spec, args=(":".join(parts[:count]), *args), options=options)


def join_script_path(spec: Spec) -> Spec:
    """Join the parts of a Python file's path with colons in place of a spec's name.

    Args:
        spec: The spec of ``PATH.py:NAME…``.

    Returns:
        The spec with the whole path as its name; the same spec where nothing is to be joined.
    """
    parts = [spec.name, *spec.args]
    count = 0 if spec.name.endswith(".py") else _count_path_parts(parts, ".py")
    return replace(spec, name=":".join(parts[:count]), args=spec.args[count - 1 :]) if count > 1 else spec


def quoting_hint(spec: Spec, known: Iterable[str]) -> str:
    """Return advice to quote the path that a spec may begin with, for an error message.

    Args:
        spec: The spec that could not be bound.
        known: The names of the parameters.

    Returns:
        The end of a message, from ``;`` on; "" where nothing has to be quoted.
    """
    names = set(known)
    unknown = [f"{key}={value}" for key, value in spec.options if key not in names]
    parts = [*spec.args, *unknown]
    path = ":".join(parts)
    if (
        not any(mark in path for mark in "/\\.")
        or parts == list(spec.args[:1])
        or (spec.args and _is_file(parts[0]))
    ):
        return ""
    rest = "".join(f":{key}={quoted(value)}" for key, value in spec.options if key in names)
    return f"; a path with ':' or '=' in it has to be quoted: '{spec.name}:\"{path}\"{rest}'"


@contextmanager
def comma_hints(items: Sequence[object], index: int) -> Iterator[None]:
    """Add to an error about an item how to quote a path with a comma, where the list may hold one.

    Args:
        items: The items of the list, as written.
        index: The index of the item that is handled in the block.

    Raises:
        OptcompareError: The error of the block, with the hint.
    """
    try:
        yield
    except OptcompareError as error:
        raise type(error)(f"{error}{_comma_hint(list(map(str, items)), index)}") from error


def _comma_hint(items: Sequence[str], index: int) -> str:
    following = items[index + 1] if index + 1 < len(items) else "full"
    begin, separator, rest = following.partition(":")
    if _NAME.fullmatch(begin.strip().partition("@")[0]) or any(
        quote in items[index] + following for quote in "\"'"
    ):
        return ""
    name, colon, path = items[index].strip().partition(":")
    written = f'{name}:"{path},{begin}"' if colon else f'"{name},{begin}"'
    return (
        "; commas separate the items of a list, so a path with a comma has to be quoted: "
        f"'{written}{separator}{rest}'"
    )


def _values_of(spec: Spec) -> list[str]:
    return [*spec.args, *(f"{key}={value}" for key, value in spec.options)]


def _count_path_parts(parts: Sequence[str], suffix: str) -> int:
    """Return the number of leading parts that form one path; 0 if it is not known."""
    for count in range(len(parts), 0, -1):
        path = ":".join(parts[:count])
        if path.endswith(suffix) and _is_file(path):
            return count
    drive = len(parts) > 1 and _DRIVE.fullmatch(parts[0]) and parts[1].startswith(("/", "\\"))
    return 2 if drive and parts[1].endswith(suffix) else 0


def _names_a_file(first: str, text: str) -> bool:
    """Return whether a file exists whose path begins in ``first`` and contains a comma.

    The path begins with the item, or after its name or '@'.
    """
    places = [0, *(match.end() for match in re.finditer("[:@]", first))]
    ends = [match.start() for match in re.finditer(":", text)] + [len(text)]
    return any(_is_file(text[begin:end].strip()) for begin in places for end in ends if end > len(first))


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a path, a zero byte, an unknown user
        return False
