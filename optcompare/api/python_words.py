"""Error messages in the words of Python: arguments in place of options such as ``--eval-chunk``."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar

from ..errors import OptcompareError

P = ParamSpec("P")
T = TypeVar("T")
_OPTION = re.compile(
    r"(?<![\w-])(?<!optcompare run )--(?P<no>no-)?(?P<name>[a-z]+(?:-[a-z]+)*)"
    r"(?: (?P<number>-?\d(?:[\d.,e+-]*\d)?|[A-Z]+\b)"
    r"| (?P<text>\w+=\d[\d.]*|(?:float32|float64|cpu|linear|sqrt|loop|lanes)\b))?"
)
"""An option that is not part of a whole command, with its value: a number, a placeholder or a text."""
_RENAMED = {"plugin": "plugins"}


def with_python_words(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that its errors name its arguments in place of options.

    Args:
        function: A function with arguments that are named like the options.

    Returns:
        The function. Its errors keep their type and their traceback; messages of :class:`OptcompareError`
        and of an interruption change.
    """
    parameters = inspect.signature(function).parameters.values()
    flags = {parameter.name for parameter in parameters if "bool" in str(parameter.annotation)}
    names = {parameter.name for parameter in parameters}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (OptcompareError, KeyboardInterrupt) as error:
            if error.args:
                error.args = (in_python_words(str(error), names, flags),)
            raise

    return call


def in_python_words(message: str, names: Collection[str], flags: Collection[str] = ()) -> str:
    """Replace options in a message by arguments.

    Args:
        message: The message with the options of the command line.
        names: Names of arguments; other options stay as they are.
        flags: Names of arguments that are true or false.

    Returns:
        The message: ``--tune 5`` becomes ``tune=5``, ``--no-recalibrate`` becomes ``recalibrate=False``.
    """

    def argument(match: re.Match[str]) -> str:
        name = match["name"].replace("-", "_")
        name = _RENAMED.get(name, name)
        if name not in names:
            return match[0]
        if name in flags:
            rest = match[0][match.end("name") - match.start() :]
            return f"{name}={not match['no']}{rest}"
        if match["text"]:
            return f'{name}="{match["text"]}"'
        if match["number"]:
            return f"{name}=({match['number']})" if "," in match["number"] else f"{name}={match['number']}"
        return name

    return _OPTION.sub(argument, message)
