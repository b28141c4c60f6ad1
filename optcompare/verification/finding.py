"""Findings: the results of verification, and phrases for their details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.comparison import Trial

TableRow = Mapping[str, Any]
"""One row of a table of the run directory, by column."""
TrialRows = Sequence[tuple[Trial, TableRow]]
"""Trials, each with its row in ``trials.parquet``."""
_SHOWN = 3
"""The most differences that a finding names; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """Hold the result of one check.

    Attributes:
        name: The name of the check.
        held: Whether the check holds; None if it could not be made.
        detail: The evidence in words.
    """

    name: str
    held: bool | None
    detail: str


def name_of(trial: Trial) -> str:
    """Name a trial; a trial of tuning with its learning rate."""
    tuned = f", tuning lr {trial.arm.lr:g}" if trial.phase == "tune" else ""
    return f"{trial.name}{tuned}"


def trials_of(number: int) -> str:
    """Return ``1 trial`` or ``10 trials``."""
    return f"{number:,} trial{'s' * (number != 1)}"


def some(found: Sequence[str]) -> str:
    """Return the first differences in one line, and the number of the others."""
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def shortened(value: Any) -> str:
    """Return the first digits of a fingerprint, or the ``repr`` of any other value."""
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
