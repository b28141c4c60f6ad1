"""Numbers and durations as people read them."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Three significant digits, without the noise of a long exponent."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """``0.8 s``, ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """``59%``, ``5.2%``, ``less than 0.1%``, ``0%``."""
    if share == 0:
        return "0%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 1e-3 else "less than 0.1%"
