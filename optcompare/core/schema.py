"""Check plain values, such as those of JSON, with functions that are combined to a schema.

A check is a function of a value and of its place, such as ``notes[0]``. It returns what is wrong with the
value, in words, or "".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .bounds import MAX_INT, MIN_INT

Check = Callable[[Any, str], str]
_DEEPEST = 24
_LONGEST = 2**20
_SHOWN = 40


def find_fault(check: Check, value: Any) -> str:
    """Return the fault of a value, in words.

    Before ``check`` is called, it is checked that lists and objects are nested at most 24 deep, that texts
    hold no NUL, no surrogate and at most a million characters, and that whole numbers have at most 64 bits.

    Args:
        check: The check of the whole value.
        value: A value as ``json.loads`` returns it.

    Returns:
        The fault with its place; "" where there is none.
    """
    return _unfit(value) or check(value, "")


def anything(value: Any, where: str) -> str:
    """Accept any value.

    Args:
        value: The value to check.
        where: The place of the value in the file, for the message.

    Returns:
        The fault, in words; "" where there is none.
    """
    return ""


def text(value: Any, where: str) -> str:
    """Check that a value is a text.

    Args:
        value: The value to check.
        where: The place of the value in the file, for the message.

    Returns:
        The fault, in words; "" where there is none.
    """
    return "" if isinstance(value, str) else _not(where, "a text", value)


def boolean(value: Any, where: str) -> str:
    """Check that a value is true or false.

    Args:
        value: The value to check.
        where: The place of the value in the file, for the message.

    Returns:
        The fault, in words; "" where there is none.
    """
    return "" if isinstance(value, bool) else _not(where, "true or false", value)


def number(value: Any, where: str) -> str:
    """Check that a value is a finite number.

    Args:
        value: The value to check.
        where: The place of the value in the file, for the message.

    Returns:
        The fault, in words; "" where there is none.
    """
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return "" if fits else _not(where, "a finite number", value)


def any_number(value: Any, where: str) -> str:
    """Check that a value is a number, infinities and nan included.

    Args:
        value: The value to check.
        where: The place of the value in the file, for the message.

    Returns:
        The fault, in words; "" where there is none.
    """
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if fits else _not(where, "a number", value)


def whole(least: int = 0) -> Check:
    """Return a check of whole numbers.

    Args:
        least: The smallest allowed value.
    """

    def check(value: Any, where: str) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return "" if fits else _not(where, f"a whole number from {least} on", value)

    return check


def one_of(*choices: str) -> Check:
    """Return a check that a value is one of some texts.

    Args:
        *choices: The allowed texts.
    """

    def check(value: Any, where: str) -> str:
        return (
            ""
            if isinstance(value, str) and value in choices
            else _not(where, f"one of {', '.join(choices)}", value)
        )

    return check


def optional(inner: Check) -> Check:
    """Return a check that accepts null, too.

    Args:
        inner: The check of other values.
    """
    return lambda value, where: "" if value is None else inner(value, where)


def list_of(inner: Check) -> Check:
    """Return a check of lists.

    Args:
        inner: The check of each value of the list.
    """

    def check(value: Any, where: str) -> str:
        if not isinstance(value, list):
            return _not(where, "a list", value)
        return next((found for i, each in enumerate(value) if (found := inner(each, f"{where}[{i}]"))), "")

    return check


def map_of(inner: Check) -> Check:
    """Return a check of objects with any names.

    Args:
        inner: The check of each value of the object.
    """

    def check(value: Any, where: str) -> str:
        if not isinstance(value, dict):
            return _not(where, "an object", value)
        return next((found for key, each in value.items() if (found := inner(each, _in(where, key)))), "")

    return check


def object_of(
    needed: Mapping[str, Check], further: Mapping[str, Check] | None = None, *, closed: bool = False
) -> Check:
    """Return a check of objects with known names.

    Args:
        needed: The checks of values that must be there, by name.
        further: The checks of values that may be there, by name.
        closed: Whether other names are a fault.
    """
    known = {**needed, **(further or {})}

    def check(value: Any, where: str) -> str:
        if not isinstance(value, dict):
            return _not(where, "an object", value)
        missing = [name for name in needed if name not in value]
        if missing:
            return f"{f'{where} ' if where else 'it '}lacks {', '.join(missing)}"
        unknown = [name for name in value if name not in known] if closed else []
        if unknown:
            return f"{_in(where, unknown[0])} is not known to this version"
        return next(
            (
                found
                for key, inner in known.items()
                if key in value and (found := inner(value[key], _in(where, key)))
            ),
            "",
        )

    return check


def _in(where: str, key: str) -> str:
    name = key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…"
    return f"{where}.{name}" if where else name


def _not(where: str, what: str, value: Any) -> str:
    kinds = {dict: "an object", list: "a list", type(None): "null", bool: str(value).lower()}
    written = kinds.get(type(value)) or repr(value)
    written = written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"
    return f"{where or 'it'} must be {what}, got {written}"


def _unfit(value: Any) -> str:
    """Return the reason why a value fits no schema, in words.

    Without recursion, since values may be nested deeper than Python's stack.
    """
    level = [value]
    for _ in range(_DEEPEST):
        texts = [each for each in level if isinstance(each, str)]
        texts += [key for each in level if isinstance(each, dict) for key in each]
        found = next(filter(None, map(_unfit_text, texts)), "")
        if found:
            return found
        if any(isinstance(each, int) and not MIN_INT <= each <= MAX_INT for each in level):
            return "it holds a whole number of more than 64 bits"
        level = [
            one
            for each in level
            if isinstance(each, (list, dict))
            for one in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return ""
    return f"its lists and objects are nested more than {_DEEPEST} deep"


def _unfit_text(value: str) -> str:
    if "\0" in value:
        return "it holds a text with a NUL character"
    if len(value) > _LONGEST:
        return f"it holds a text of {len(value):,} characters"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "it holds a text with half a character (a surrogate)"
    return ""
