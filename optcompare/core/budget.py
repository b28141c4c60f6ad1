"""Describe the budget of trials in epochs, updates, samples or seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ComparisonError, shorten
from .bounds import MAX_AMOUNT, format_count

Unit = Literal["epochs", "updates", "samples", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """Limit the training of each trial; an update that would exceed the limit is not made.

    Attributes:
        unit: ``epochs``, ``updates``, ``samples`` or ``seconds``.
        amount: The number of units; a whole number except for seconds.
    """

    unit: Unit
    amount: float

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ComparisonError(f"the unit of a budget must be one of {', '.join(UNITS)}, got {self.unit}")
        if not isinstance(self.amount, (int, float)):
            raise ComparisonError(f"{self.unit} must be a number, got {self.amount!r}")
        if isinstance(self.amount, int) and self.amount > MAX_AMOUNT:
            raise ComparisonError(
                f"{self.unit} must be at most {MAX_AMOUNT:,}, got {format_count(self.amount)}"
            )
        if not (self.amount > 0 and self.amount < math.inf):
            raise ComparisonError(f"{self.unit} must be positive, got {shorten(f'{self.amount}')}")
        if self.amount > MAX_AMOUNT:
            raise ComparisonError(f"{self.unit} must be at most {MAX_AMOUNT:,}, got {self.amount:g}")
        if self.unit != "seconds" and self.amount != int(self.amount):
            raise ComparisonError(f"{self.unit} must be a whole number, got {self.amount:g}")

    def share(self, updates: int, samples: int, n: int) -> float:
        """Return the share of the budget that is spent, from 0 on.

        Args:
            updates: Updates that were made.
            samples: Samples that were used.
            n: Training samples, which make an epoch.

        Returns:
            The spent part of the amount; 1 when the budget is spent.

        Raises:
            KeyError: The budget is in seconds, which only a clock measures.
        """
        spent = {"epochs": samples / n, "updates": updates, "samples": samples}[self.unit]
        return spent / self.amount

    def __str__(self) -> str:
        amount = f"{self.amount:g}" if self.unit == "seconds" else f"{int(self.amount):,}"
        return f"{amount} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"


def one_budget(
    *,
    epochs: int | None = None,
    updates: int | None = None,
    samples: int | None = None,
    seconds: float | None = None,
) -> Budget | None:
    """Return the only budget that is set.

    Args:
        epochs: Passes over the training samples.
        updates: The number of optimizer steps.
        samples: The number of training samples.
        seconds: The seconds of each trial's own training.

    Returns:
        The budget; None if none is set.

    Raises:
        ComparisonError: Several are set, or the amount is not in its range.
    """
    amounts: dict[Unit, float | None] = {
        "epochs": epochs,
        "updates": updates,
        "samples": samples,
        "seconds": seconds,
    }
    chosen = [(unit, amount) for unit, amount in amounts.items() if amount is not None]
    if len(chosen) > 1:
        raise ComparisonError(f"give one budget, not {len(chosen)}: {', '.join(unit for unit, _ in chosen)}")
    return Budget(*chosen[0]) if chosen else None
