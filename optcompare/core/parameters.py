"""Typed parameters: the values of a :class:`~optcompare.core.grammar.Spec` become a factory's arguments.

A factory is anything with an annotated signature: a dataclass, a function, a ``torch.optim`` class. Its
annotations decide how each text is read.
"""

from __future__ import annotations

import difflib
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from ..errors import SpecError, shorten
from .bounds import MAX_INT, MIN_INT
from .file_paths import join_path_parts, quoting_hint
from .grammar import Spec, quoted, split, unquoted
from .type_hints import type_hints

REQUIRED = inspect.Parameter.empty
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a factory.

    Attributes:
        name: The name of the parameter.
        type: The annotation; Any if there is none.
        default: The default; :data:`REQUIRED` if there is none.
    """

    name: str
    type: Any
    default: Any

    def __str__(self) -> str:
        return self.name if self.default is REQUIRED else f"{self.name}={write_value(self.default)}"


def parameters(factory: Callable[..., Any], skip: int = 0) -> list[Parameter]:
    """Return the named parameters of a factory.

    Args:
        factory: A callable with a signature.
        skip: The number of first parameters to leave out, such as 1 for a model.

    Returns:
        The parameters in order.
    """
    hints = type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    found = [
        Parameter(p.name, hints.get(p.name, Any), p.default)
        for p in inspect.signature(factory).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return found[skip:]


def bind(known: list[Parameter], spec: Spec, *, kind: str) -> dict[str, Any]:
    """Convert the values of a spec to the arguments of a factory.

    Args:
        known: The parameters of the factory.
        spec: The spec with its values as text.
        kind: What the spec names, such as ``strategy``, for messages.

    Returns:
        The arguments by name; those that the spec leaves out are left out.

    Raises:
        SpecError: A parameter is unknown, repeated or missing, there are too many values, or a value does not
            fit the type; the message names parameter, type and value.
    """
    if not known or known[0].type is not Path:
        return _bind_values(known, spec, kind)
    spec = join_path_parts(spec)
    try:
        return _bind_values(known, spec, kind)
    except SpecError as error:
        raise SpecError(f"{error}{quoting_hint(spec, [parameter.name for parameter in known])}") from error


def _bind_values(known: list[Parameter], spec: Spec, kind: str) -> dict[str, Any]:
    who = f"{kind} {spec.name}"
    if len(spec.args) > len(known):
        raise SpecError(
            f"{who} has {_count(len(known), 'parameter')}{_names(known)}, got "
            f"{_count(len(spec.args), 'value')}: {', '.join(spec.args)}"
        )
    by_name = {parameter.name: parameter for parameter in known}
    texts: dict[str, str] = {parameter.name: text for parameter, text in zip(known, spec.args, strict=False)}
    for key, text in spec.options:
        if key not in by_name:
            known_names = f"its parameters are{_names(known)}" if known else "it has none"
            raise SpecError(f"{who} has no parameter '{key}'{suggestion(key, by_name)}; {known_names}")
        if key in texts:
            raise SpecError(f"{who}: {key} is given twice ({texts[key]} and {text}); give it once")
        texts[key] = text
    for parameter in known:
        if parameter.default is REQUIRED and parameter.name not in texts:
            first = parameter is known[0] and parameter.type is Path
            example = (
                Spec(spec.name, (parameter.name.upper(),), spec.options)
                if first
                else f"{spec}:{parameter.name}=…"
            )
            raise SpecError(f"{who} needs {parameter.name}; write {example}")
    placed = [parameter.name for parameter, _ in zip(known, spec.args, strict=False)]
    return {
        name: _read_named(by_name[name], text, who, known if name in placed and len(known) > 1 else [])
        for name, text in texts.items()
    }


def _read_named(parameter: Parameter, text: str, who: str, known: list[Parameter]) -> Any:
    """Read the value of a parameter; where its place gave it, an error lists the ``known`` parameters."""
    try:
        return read_value(text, parameter.type, f"{who}: {parameter.name}")
    except SpecError as error:
        raise SpecError(f"{error}; the parameters are{_names(known)}" if known else str(error)) from None


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the nearest of some names, as a hint in a message.

    Args:
        name: The unknown name.
        names: The known names.

    Returns:
        Such as `` (did you mean 'mini'?)``; "" where none is near.
    """
    close = difflib.get_close_matches(name, list(names), 1, 0.55)
    return f" (did you mean '{close[0]}'?)" if close else ""


def read_value(text: str, type_: Any, what: str) -> Any:
    """Convert a text to a value of a type.

    Args:
        text: The text, without quotes around it.
        type_: An annotation of a parameter.
        what: The parameter, with which the message begins.

    Returns:
        The value.

    Raises:
        SpecError: The text is no value of this type.
    """
    try:
        return _read(text, type_)
    except (ValueError, RecursionError):
        beyond = (
            " (whole numbers end at 2**63)"
            if text.strip().lstrip("+-").isdecimal() and len(text) > 18
            else ""
        )
        raise SpecError(f"{what} must be {_describe(type_)}, got '{shorten(text)}'{beyond}") from None


def write_value(value: Any) -> str:
    """Write a value in the form of the grammar, quoted where that is needed.

    Args:
        value: None, a bool, number, text, path, tuple or list.

    Returns:
        The text, which :func:`read_value` reads.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "(" + ",".join(map(write_value, value)) + ")"
    if isinstance(value, float):
        return repr(value)
    return quoted(str(value))


def shortest(value: float) -> str:
    """Format a number as briefly as is possible without changing it: 10, 0.001, 1e-08.

    Args:
        value: Any number.
    """
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def as_spec(name: str, values: Mapping[str, Any]) -> Spec:
    """Return the spec that gives values by key.

    Args:
        name: The name of the spec.
        values: The values by parameter.

    Returns:
        The spec, whose values are text.
    """
    return Spec(name, (), tuple((key, unquoted(write_value(value))) for key, value in values.items()))


def _read(text: str, type_: Any) -> Any:
    origin, args = typing.get_origin(type_), typing.get_args(type_)
    if origin in (Union, types.UnionType):
        return _read_union(text, args)
    if origin is Literal:
        for choice in args:
            if text in (str(choice), write_value(choice)):
                return choice
        raise ValueError(text)
    if type_ in (tuple, list) or origin in (tuple, list):
        return _read_sequence(text, origin or type_, args)
    if type_ is type(None):
        if text.lower() != "none":
            raise ValueError(text)
        return None
    if type_ is bool:
        if text.lower() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.lower()]
    if type_ is int:
        return _read_whole(text)
    if type_ in (float, str):
        return type_(text)
    if type_ is Path:
        return _read_path(text)
    if type_ is Any:
        return _read_union(text, (type(None), bool, int, float, tuple, str))
    raise ValueError(text)


def _read_whole(text: str) -> int:
    value = int(text)
    if not MIN_INT <= value <= MAX_INT:
        raise ValueError(text)
    return value


def _read_path(text: str) -> Path:
    """Read a path; that of an unknown user stays as it is, as in shells."""
    if not text.strip():  # Path("") would be the current directory
        raise ValueError(text)
    return Path(os.path.expanduser(text))


def _read_union(text: str, members: tuple[Any, ...]) -> Any:
    order = {type(None): 0, bool: 1, int: 2, float: 3, str: 9}
    for member in sorted(members, key=lambda member: order.get(member, 5)):
        try:
            return _read(text, member)
        except ValueError:
            continue
    raise ValueError(text)


def _read_sequence(text: str, kind: type, members: tuple[Any, ...]) -> Any:
    if not (text.startswith("(") and text.endswith(")")):
        raise ValueError(text)
    inside = text[1:-1].strip()
    try:
        items = [unquoted(item) for item in split(inside.removesuffix(","), ",")] if inside else []
    except SpecError as error:
        raise ValueError(text) from error
    if kind is list or not members or members[-1] is ...:
        return kind(_read(item, members[0] if members else Any) for item in items)
    if len(items) != len(members):
        raise ValueError(text)
    return tuple(_read(item, member) for item, member in zip(items, members, strict=True))


def _describe(type_: Any) -> str:
    origin, args = typing.get_origin(type_), typing.get_args(type_)
    if origin in (Union, types.UnionType):
        return " or ".join(
            _describe(member)
            for member in args
            if member in (int, float, bool, str, Path, type(None)) or typing.get_origin(member)
        )
    if origin is Literal:
        return " or ".join(map(write_value, args))
    if origin is tuple:
        return f"a tuple such as {_example(args)}"
    names = {
        int: "an int",
        float: "a float",
        bool: "true or false",
        str: "text",
        Path: "a path",
        type(None): "none",
    }
    return names.get(type_, str(getattr(type_, "__name__", type_)))


def _example(members: tuple[Any, ...]) -> str:
    """Write a tuple of such members, as it can be typed."""
    if members[-1] is ...:
        members = (members[0], members[0])
    values = {int: ("2", "4"), float: ("0.5", "0.9"), bool: ("true", "false"), str: ("a", "b")}
    typed = []
    for place, member in enumerate(members):
        known = [each for each in (member, *typing.get_args(member)) if each in values]
        typed.append(values[known[0]][place % 2] if known else "…")
    return f"({','.join(typed)})"


def _count(number: int, noun: str) -> str:
    return f"no {noun}s" if number == 0 else f"{number} {noun}{'s' if number > 1 else ''}"


def _names(known: list[Parameter]) -> str:
    return f" ({', '.join(map(str, known))})" if known else ""
