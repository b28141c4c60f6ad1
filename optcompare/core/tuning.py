"""Equal tuning: every arm gets the same number of learning rates on seeds that no report ever uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ComparisonError

FIRST_TUNING_SEED = 2**62
"""Report seeds lie below it and tuning seeds from it on, so that none is ever both, however many are added."""
AROUND = 30.0
"""The default grid spans the recommended rate divided and multiplied by this."""


@dataclass(frozen=True)
class Tuning:
    """The rates that each arm tries, by its label, and on how many tuning seeds each.

    ``closer``: how many more each will try around the best of these; once they are known they stand among the rates.
    """

    rates: Mapping[str, tuple[float, ...]]
    seeds: int = 3
    closer: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.closer, int) or self.closer < 0 or self.closer % 2:
            raise ComparisonError(f"rates closer to the best must be an even number, got {self.closer!r}")
        if not isinstance(self.seeds, int) or self.seeds < 1:
            raise ComparisonError(f"--tune-seeds must be at least 1, got {self.seeds!r}")
        if len({len(rates) for rates in self.rates.values()}) > 1:
            raise ComparisonError(
                "every arm must try the same number of learning rates; equal tuning is what makes it fair"
            )
        for label, rates in self.rates.items():
            if len(rates) < 2:
                raise ComparisonError(
                    f"arm {label}: tuning needs at least 2 learning rates, got {len(rates)}; give --tune 5"
                )
            if not all(math.isfinite(rate) and rate > 0 for rate in rates):
                raise ComparisonError(f"arm {label}: learning rates must be positive and finite, got {list(rates)}")

    def closer_to(self, best: Mapping[str, float]) -> Tuning:
        """With the second round's rates: evenly in the logarithm on either side of the best, up to its neighbours.

        Where the best is the smallest or the largest of the first round, half of them lie beyond it.
        """
        half, rates = self.closer // 2, {}
        for label, tried in self.rates.items():
            step = (max(tried) / min(tried)) ** (1 / ((len(tried) - 1) * (half + 1)))
            sides = [k for k in range(-half, half + 1) if k]
            rates[label] = (*tried, *(float(f"{best[label] * step**k:.4g}") for k in sides))
        return Tuning(rates, self.seeds)

    def seed_list(self) -> tuple[int, ...]:
        """The tuning seeds."""
        return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))


def rate_grid(count: int, reference: float, limits: tuple[float, float] | None = None) -> tuple[float, ...]:
    """``count`` log-spaced learning rates, by default from a thirtieth to thirty times the reference.

    Rounded to four digits, which is finer than any grid and can be read and typed again.
    """
    if count < 2:
        raise ComparisonError(f"tuning needs at least 2 learning rates, got --tune {count}; give --tune 5")
    low, high = limits or (reference / AROUND, reference * AROUND)
    if not (0 < low < high < math.inf):
        raise ComparisonError(f"--tune-range takes LO,HI with 0 < LO < HI, got {low:g},{high:g}")
    step = (high / low) ** (1 / (count - 1))
    rates = tuple(float(f"{low * step**i:.4g}") for i in range(count))
    if len(set(rates)) < count:
        raise ComparisonError(f"--tune-range {low:g},{high:g} is too narrow for {count} different rates of four digits")
    return rates


def scaled(reference: float, rule: str, batch_size: int, reference_batch: int | None) -> float:
    """A reference learning rate for another batch size: ``linear`` in it, with its square root (``sqrt``), or as it is."""
    if rule == "none":
        return reference
    if reference_batch is None:
        raise ComparisonError(
            f"--lr-scaling {rule} needs the workload's batch_size, for which its lr is recommended; it has none"
        )
    ratio = batch_size / reference_batch
    return reference * (ratio if rule == "linear" else math.sqrt(ratio))
