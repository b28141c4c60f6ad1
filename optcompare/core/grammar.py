"""The grammar of ``mini:64@adam:lr=0.001``: from text to :class:`Spec` and back.

    list   = item ("," item)*
    item   = part ["@" part]
    part   = name (":" value)* (":" key "=" value)*

Separators inside parentheses or quotes do not separate. A quoted value is opaque; inside it the quote
character is written twice to stand for itself. Values stay text here; :mod:`optcompare.core.parameters` gives
them types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import SpecError

_KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """A name with its parameters, as written.

    Attributes:
        name: What the spec names, such as ``mini``.
        args: The positional values, in order.
        options: The ``key=value`` pairs, in order.
        optimizer: The spec that followed ``@``.
    """

    name: str
    args: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    optimizer: Spec | None = None

    def __str__(self) -> str:
        parts = [quoted(self.name), *map(quoted, self.args)]
        parts += [f"{key}={quoted(value)}" for key, value in self.options]
        text = ":".join(parts)
        return text if self.optimizer is None else f"{text}@{self.optimizer}"


def parse(text: str, *, optimizers: bool = False) -> Spec:
    """Parse one item.

    Args:
        text: The item, such as ``mini:64@adam:lr=0.001``.
        optimizers: Whether ``@optimizer`` may follow the name.

    Returns:
        The spec.

    Raises:
        SpecError: The item is empty, repeats a key, has a positional value after a key, or an open quote or
            parenthesis.
    """
    if not optimizers:
        return _parse_part(text, text)
    parts = list(split(text, "@"))
    if len(parts) > 2:
        raise SpecError(f"'{text}' has more than one '@'; write strategy@optimizer")
    optimizer = _parse_part(parts[1], text) if len(parts) == 2 else None
    strategy = _parse_part(parts[0], text)
    return Spec(strategy.name, strategy.args, strategy.options, optimizer)


def split(text: str, separator: str) -> Iterator[str]:
    """Split a text at the separators outside quotes and parentheses.

    Args:
        text: The text.
        separator: One character.

    Yields:
        The parts in order, as written.

    Raises:
        SpecError: A quote or parenthesis is open.
    """
    depth, quote, begin = 0, "", 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                raise SpecError(
                    f"'{text}' closes a parenthesis that was not opened; remove it, or quote the value"
                )
        elif character == separator and depth == 0:
            yield text[begin:position]
            begin = position + 1
    if quote:
        raise SpecError(
            f"'{text}' has a quote ({quote}) that is never closed; quote the whole value with the other kind"
        )
    if depth:
        raise SpecError(
            f"'{text}' has a parenthesis that is never closed; quote the whole value if it is part of a path"
        )
    yield text[begin:]


def unquoted(text: str) -> str:
    """Return a value without its quotes.

    Args:
        text: The value as written. A value in parentheses stays as it is, since its members are read later.

    Returns:
        The value.

    Raises:
        SpecError: Only a part of the value is quoted.
    """
    text = text.strip()
    if text.startswith("(") or not any(quote in text for quote in "\"'"):
        return text
    quote = text[0]
    inside = text[1:-1]
    if len(text) < 2 or quote not in "\"'" or text[-1] != quote or quote in inside.replace(quote * 2, ""):
        raise SpecError(f"{text} is quoted in part; quote the whole value or none of it")
    return inside.replace(quote * 2, quote)


def quoted(text: str) -> str:
    """Quote a value where that is needed, so that :func:`unquoted` returns it.

    Args:
        text: Any value.

    Returns:
        The value as it has to be written.
    """
    if _reads_back(text):
        return text
    quote = "'" if '"' in text and "'" not in text else '"'
    return quote + text.replace(quote, quote * 2) + quote


def _parse_part(text: str, whole: str) -> Spec:
    name, *rest = split(text, ":")
    if not name.strip():
        raise SpecError(
            f"'{whole}' has an empty name; write names separated by single commas, such as full,mini:32"
        )
    args: list[str] = []
    options: dict[str, str] = {}
    for part in rest:
        match = _KEY.fullmatch(part)
        if match is None and options:
            raise SpecError(
                f"'{whole}': '{part}' comes after a key=value; give values without a key first, "
                "and quote a value that has '=' in it"
            )
        if match is None:
            args.append(unquoted(part))
        elif match[1] in options:
            raise SpecError(f"'{whole}' gives {match[1]} twice; give it once")
        else:
            options[match[1]] = unquoted(match[2])
    return Spec(unquoted(name), tuple(args), tuple(options.items()))


def _reads_back(text: str) -> bool:
    if not text or text != text.strip() or _KEY.fullmatch(text):
        return False
    if any(character in text for character in "\"'") and not text.startswith("("):
        return False
    try:
        return all(len(list(split(text, separator))) == 1 for separator in ",:@")
    except SpecError:
        return False
