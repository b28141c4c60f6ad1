"""Read values of options that are written as text, or raise an error that describes the fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..core.bounds import MAX_AMOUNT, MAX_JOBS, parse_count
from ..core.choices import MeasureRows
from ..core.comparison_checks import FEWEST_MEASURE_ROWS
from ..core.parameters import suggestion
from ..errors import ComparisonError

T = TypeVar("T")


class Nearest(click.Choice[str]):
    """One of some names; the error for another one suggests the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return click's message with a suggestion.

        Args:
            value: The value that the user typed.
            ctx: The click context of the command.

        Returns:
            The message.
        """
        message = super().get_invalid_choice_message(value, ctx)
        return message.removesuffix(".") + suggestion(str(value), self.choices)


def read_by(
    read: Callable[[str, str], T],
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make the callback of an option from a function that reads its text.

    Args:
        read: A function of the text and the option's name (for error messages) that returns the value.

    Returns:
        The callback; it leaves None as it is.
    """

    def callback(ctx: click.Context, parameter: click.Parameter, text: str | None) -> T | None:
        return None if text is None else read(text, parameter.opts[0])

    return callback


def learning_rates(text: str, option: str) -> float | tuple[float, ...]:
    """Read ``0.1``, or several rates that are separated by commas.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The rate, or a tuple of several.

    Raises:
        ComparisonError: One is no number.
    """
    rates = _floats(text, option)
    return rates[0] if len(rates) == 1 else rates


def rate_range(text: str, option: str) -> tuple[float, float]:
    """Read ``LO,HI``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        Both ends.

    Raises:
        ComparisonError: These are not two numbers.
    """
    ends = _floats(text, option)
    if len(ends) != 2:
        raise ComparisonError(f"{option} takes LO,HI, such as 0.001,1; got {text}")
    return ends[0], ends[1]


def batch_sizes(text: str, option: str) -> tuple[int, ...]:
    """Read ``1,16,256``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The sizes, as they were typed.

    Raises:
        ComparisonError: One is no whole number from 1 on.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal() or part.strip("0") == "":
            raise ComparisonError(
                f"{option} takes whole numbers from 1 on, separated by commas, got '{part}'"
            )
    return tuple(parse_count(option, part) for part in parts)


def plot_formats(text: str, option: str) -> tuple[str, ...]:
    """Read ``png,svg,pdf,html``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The formats.

    Raises:
        ComparisonError: One is unknown; the message suggests the nearest.
    """
    from ..report.result import FORMATS

    formats = tuple(part.strip().lower() for part in text.split(","))
    for name in formats:
        if name not in FORMATS:
            known = f"give {', '.join(FORMATS)}, separated by commas"
            raise ComparisonError(f"unknown plot format '{name}'{suggestion(name, FORMATS)}; {known}")
    return formats


def state_bytes(text: str, option: str) -> float:
    """Read ``2GB``, or ``0`` for none.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        Bytes.

    Raises:
        ComparisonError: It is no size.
    """
    import torch

    from ..training.lanes.memory import memory_limit

    if text.strip() == "0":
        return 0.0
    try:
        if "%" not in text:
            return memory_limit(text, torch.device("cpu"))
    except ComparisonError:
        pass
    raise ComparisonError(f"{option} takes a size, such as 2GB or 0, got {text!r}")


def memory(text: str, option: str) -> str:
    """Check ``4GB`` or ``25%`` of what is free, which is computed where trials are trained.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The text.

    Raises:
        ComparisonError: It is no size and no share.
    """
    import torch

    from ..training.lanes.memory import memory_limit

    memory_limit(text, torch.device("cpu"))
    return text


def measured_rows(text: str, option: str) -> MeasureRows:
    """Read how many rows are measured, a number or ``all``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The number, or "all".

    Raises:
        ComparisonError: It is neither.
    """
    rows = _count_or("all", text, option, "a number of rows", FEWEST_MEASURE_ROWS)
    return "all" if rows is None else rows


def job_count(text: str, option: str) -> int | str:
    """Read a number of jobs, or ``auto``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        The number, or ``auto``.

    Raises:
        ComparisonError: It is neither.
    """
    jobs = _count_or("auto", text, option, "a whole number from 1 on", 1, MAX_JOBS)
    return "auto" if jobs is None else jobs


def trial_sample(text: str, option: str) -> int | None:
    """Read how many trials are trained again, a number or ``all``.

    Args:
        text: The value that the user typed.
        option: The name of the option, for error messages.

    Returns:
        How many; None: all.

    Raises:
        ComparisonError: It is neither.
    """
    return _count_or("all", text, option, "how many to train again", 0)


def _count_or(word: str, text: str, option: str, what: str, least: int, most: int = MAX_AMOUNT) -> int | None:
    """Return a count, or None for a word in its place; ``what`` describes the count in the error."""
    if text == word:
        return None
    if not text.isdecimal():
        raise ComparisonError(f"{option} takes {what}, or {word}; got '{text}'")
    return parse_count(option, text, least, most)


def _floats(text: str, option: str) -> tuple[float, ...]:
    """Return the numbers of a list that is separated by commas."""
    numbers = []
    for part in text.split(","):
        try:
            numbers.append(float(part))
        except ValueError:
            raise ComparisonError(f"{option} takes numbers separated by commas, got '{part}'") from None
    return tuple(numbers)
