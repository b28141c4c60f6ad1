"""How long trials train, in epochs, updates, samples or seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ComparisonError, brief
from .bounds import MOST_AMOUNT, shown

Unit = Literal["epochs", "updates", "samples", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True)
class Budget:
    """Say how long each trial trains; an update that would exceed it is not made.

    Args:
        unit: "epochs", "updates", "samples" or "seconds" of the trial's own training.
        amount: How many, above 0; a whole number but for seconds.

    Raises:
        ComparisonError: The unit is unknown, or the amount is not in its range.
    """

    unit: Unit
    amount: float

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ComparisonError(f"a budget is in {', '.join(UNITS)}, not in {self.unit}")
        if not isinstance(self.amount, (int, float)):
            raise ComparisonError(f"{self.unit} must be a number, got {self.amount!r}")
        if isinstance(self.amount, int) and self.amount > MOST_AMOUNT:
            raise ComparisonError(f"{self.unit} must be at most {MOST_AMOUNT:,}, got {shown(self.amount)}")
        if not (self.amount > 0 and self.amount < math.inf):
            raise ComparisonError(f"{self.unit} must be positive, got {brief(f'{self.amount}')}")
        if self.amount > MOST_AMOUNT:
            raise ComparisonError(f"{self.unit} must be at most {MOST_AMOUNT:,}, got {self.amount:g}")
        if self.unit != "seconds" and self.amount != int(self.amount):
            raise ComparisonError(f"{self.unit} must be a whole number, got {self.amount:g}")

    def share(self, updates: int, samples: int, n: int) -> float:
        """Return the share of a budget that is spent; a budget of seconds has none.

        Args:
            updates: Made so far.
            samples: Trained on so far.
            n: Training samples of the workload.

        Returns:
            From 0 on; 1 where all is spent.
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
    """Return the one budget that was given.

    Args:
        epochs: Passes over the training samples.
        updates: Optimizer steps.
        samples: Training samples.
        seconds: Of each trial's own training.

    Returns:
        The budget; None where none was given.

    Raises:
        ComparisonError: Several were given, or the amount is not in its range.
    """
    amounts: dict[Unit, float | None] = {
        "epochs": epochs,
        "updates": updates,
        "samples": samples,
        "seconds": seconds,
    }
    given = [(unit, amount) for unit, amount in amounts.items() if amount is not None]
    if len(given) > 1:
        raise ComparisonError(f"give one budget, not {len(given)}: {', '.join(unit for unit, _ in given)}")
    return Budget(*given[0]) if given else None
