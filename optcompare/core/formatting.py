"""Format numbers and durations for people."""

from __future__ import annotations

import math

FINISHING = "finishing…"
"""What progress shows while statistics, tables and figures are made."""


def number(value: float) -> str:
    """Format a number with three significant digits, without a long exponent where commas do.

    Args:
        value: Any number.

    Returns:
        Such as ``0.123``, ``12,345``, ``1.2e+06``, ``∞``, or ``–`` for nan.
    """
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Format a duration in the unit that fits it.

    Args:
        seconds: The duration, in seconds.

    Returns:
        Such as ``0.4 ms``, ``0.8 s``, ``42 s``, ``3 min 05 s`` ``2 h 10 min``; ``0 s`` below 1 µs.
    """
    if seconds < 1e-3:
        return f"{seconds * 1e3:.2g} ms" if seconds >= 1e-6 else "0 s"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def time_left(seconds: float) -> str:
    """Format the time that is left.

    Args:
        seconds: The time, in seconds.

    Returns:
        Such as ``about 42 s left``; ``finishing…`` where less than 0.05 s are left.
    """
    if seconds < 0.05:
        return FINISHING
    if seconds < 1:
        return "less than 1 s left"
    return f"about {f'{seconds:.0f} s' if seconds < 10 else duration(seconds)} left"


def probability(p: float, floor: float = 0.0) -> str:
    """Format a p value for a table: ``0.0156``, ``1``, ``< 0.0001``, ``–``.

    Three significant digits with a leading zero, as of all other numbers. Below 0.0001 only the bound is
    shown.

    Args:
        p: A probability; nan where there was no test.
        floor: The smallest p that the test can give. A smaller p, which an approximation may compute, is
            shown as this.

    Returns:
        The number alone; see :func:`p_value` for a sentence.
    """
    if math.isnan(p):
        return "–"
    shown = max(p, floor)
    return "< 0.0001" if shown < 1e-4 else f"{shown:.3g}"


def p_value(p: float, floor: float = 0.0) -> str:
    """Format a p value for a sentence: ``p = 0.0156``, ``p < 0.0001``.

    Args:
        p: A probability; nan where there was no test.
        floor: The smallest p that the test can give.

    Returns:
        The number with ``p`` before it.
    """
    text = probability(p, floor)
    return f"p {text}" if text.startswith(("<", "–")) else f"p = {text}"


def percent(share: float) -> str:
    """Format a share as percent.

    Args:
        share: A share, from 0 to 1.

    Returns:
        Such as ``59%``, ``5.2%``, ``less than 0.1%`` or ``0%``.
    """
    if share == 0:
        return "0%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 1e-3 else "less than 0.1%"
