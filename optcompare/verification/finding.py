"""What verification says of a run: findings, and the words that they share."""

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
"""So many differences are named; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: What was checked.
        held: Whether it holds; None where it could not be checked.
        detail: The evidence in words.
    """

    name: str
    held: bool | None
    detail: str


def name_of(trial: Trial) -> str:
    """Name a trial, with its learning rate where it is one of tuning."""
    tuned = f", tuning lr {trial.arm.lr:g}" if trial.phase == "tune" else ""
    return f"{trial.name}{tuned}"


def trials_of(number: int) -> str:
    """Return ``1 trial`` or ``10 trials``."""
    return f"{number:,} trial{'s' * (number != 1)}"


def some(found: Sequence[str]) -> str:
    """Return the first differences in one line, and how many more there are."""
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def shortened(value: Any) -> str:
    """Return the first digits of a fingerprint, or the ``repr`` of any other value."""
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
