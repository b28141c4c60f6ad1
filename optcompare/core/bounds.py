"""The largest counts that a comparison may have.

A larger count is an error at once, before anything is enumerated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ComparisonError

MAX_SEEDS = 100_000
MAX_TRIALS = 500_000
"""Trials of one comparison, tuning included: so many need seconds of planning and about 1 GB of tables."""
MAX_RATES = 100
"""Learning rates that an arm tries in one tuning."""
MAX_THREADS = MAX_JOBS = 1024
MAX_AMOUNT = 2**53
"""The largest budget, and number of rows in a forward pass or of measurements.

No machine gets through so many; up to it a float64 is exact.
"""
MIN_INT, MAX_INT = -(2**63), 2**63 - 1
"""The smallest and largest whole numbers that tensors and tables can hold."""


def check_count(what: str, value: Any, least: int = 1, most: int = MAX_AMOUNT) -> int:
    """Check that a value is a whole number within bounds.

    Args:
        what: The option or argument, with which the message begins.
        value: The value to check.
        least: The smallest allowed value.
        most: The largest allowed value.

    Returns:
        The value.

    Raises:
        ComparisonError: The value is no whole number, or is out of bounds.
    """
    if not isinstance(value, int):
        raise ComparisonError(f"{what} must be a whole number, got {value!r}")
    if value < least:
        raise ComparisonError(f"{what} must be at least {least}, got {format_count(value)}")
    if value > most:
        raise ComparisonError(f"{what} must be at most {most:,}, got {format_count(value)}")
    return value


def parse_count(what: str, text: str, least: int = 1, most: int = MAX_AMOUNT) -> int:
    """Parse a whole number within bounds.

    Args:
        what: The option or argument, with which the message begins.
        text: The digits; spaces around them are ignored.
        least: The smallest allowed value.
        most: The largest allowed value.

    Returns:
        The number.

    Raises:
        ComparisonError: The text is no whole number, or the number is out of bounds.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()):
        raise ComparisonError(f"{what} must be a whole number, got '{text}'")
    if len(digits.lstrip("0")) > len(str(most)):  # Python refuses to read thousands of digits
        raise ComparisonError(f"{what} must be at most {most:,}, got a number of {len(digits)} digits")
    return check_count(what, int(digits), least, most)


def refuse_too_many_trials(numbers: Mapping[str, int]) -> None:
    """Refuse a comparison with more than :data:`MAX_TRIALS` trials.

    Args:
        numbers: The number of trials, by what they are for, such as ``trials to tune``.

    Raises:
        ComparisonError: There are too many trials.
    """
    count = sum(numbers.values())
    if count > MAX_TRIALS:
        parts = " and ".join(f"{format_count(number)} {what}" for what, number in numbers.items() if number)
        raise ComparisonError(
            f"this makes {parts}, and a comparison has at most {MAX_TRIALS:,}; give fewer seeds, arms, "
            "rates or repeats"
        )


def format_count(value: int) -> str:
    """Format a count with commas, or a very long one by its number of digits.

    Args:
        value: Any whole number.

    Returns:
        Such as ``1,437`` or ``a number of 80 digits``.
    """
    return (
        f"{value:,}"
        if -(MAX_AMOUNT**2) < value < MAX_AMOUNT**2
        else f"a number of {value.bit_length() * 3 // 10} digits"
    )
