"""What benchmarks of several rows print alike: goals, and the load of the machine."""

from __future__ import annotations

import os
from typing import Literal


def goal(value: float | None, sign: Literal["≥", "≤"], limit: float | None, of: str = "") -> str:
    """Return a goal as met or missed.

    Args:
        value: What was measured; None: nothing was.
        sign: Whether the value should be at least or at most the limit.
        limit: The limit; None: there is no goal.
        of: What was measured, where a row has several goals.

    Returns:
        A phrase such as ``JAX ≤1.1 met``; empty without a value or a limit.
    """
    if value is None or limit is None:
        return ""
    met = value >= limit if sign == "≥" else value <= limit
    return f"{of + ' ' if of else ''}{sign}{limit:g} {'met' if met else 'MISSED'}"


def load() -> str:
    """Return the load of the machine in words, since ratios of a busy machine are noise."""
    if not hasattr(os, "getloadavg"):
        return "load of the machine: unknown on this system"
    return f"load of the machine in the last minute: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
