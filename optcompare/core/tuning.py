"""Equal tuning: every arm tries as many learning rates, on seeds that no report uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..errors import ComparisonError
from .bounds import MAX_RATES, MAX_SEEDS, check_count

T = TypeVar("T")
FIRST_TUNING_SEED = 2**62
"""The smallest tuning seed; report seeds are smaller, so that no seed is ever both."""
GRID_FACTOR = 30.0
"""The default grid reaches from the recommended rate divided by this to that rate times this."""
MIN_FIRST_ROUND = 3
"""The fewest rates before a second round: two show on which side the best may lie, and not where."""


@dataclass(frozen=True)
class Repeat:
    """One of several tunings of the same arms.

    Attributes:
        rates: The learning rates that each arm tries, by its label.
        seeds: The tuning seeds.
        best: The best rate of each arm; empty until tuning has ended.
    """

    rates: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    best: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_unequal(self.rates)


@dataclass(frozen=True)
class Tuning:
    """The learning rates that each arm tries, and on how many seeds.

    Attributes:
        rates: The rates that each arm tries, by its label; with ``repeats``, the grid that these shift.
        seeds: The number of tuning seeds.
        closer: How many more rates each arm will try around its best one. When those are known they are among
            ``rates``, and this is 0.
        repeats: What each tuning tries, where arms are tuned several times.
    """

    rates: Mapping[str, tuple[float, ...]]
    seeds: int = 3
    closer: int = 0
    repeats: tuple[Repeat, ...] = ()

    def __post_init__(self) -> None:
        if check_count("rates closer to the best", self.closer, 0, MAX_RATES) % 2:
            raise ComparisonError(f"rates closer to the best must be an even number, got {self.closer!r}")
        check_count("--tune-seeds", self.seeds, 1, MAX_SEEDS)
        _refuse_unequal(self.rates)
        seeds = [seed for one in self.repeats for seed in one.seeds]
        if len(set(seeds)) < len(seeds) or min(seeds, default=FIRST_TUNING_SEED) < FIRST_TUNING_SEED:
            raise ComparisonError("each repeat must have tuning seeds of its own, from 2**62 on")
        for one in self.repeats:
            if one.rates.keys() != self.rates.keys():
                raise ComparisonError(
                    "every repeat must tune the same arms; equal tuning is what makes it fair"
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tuning:
        """Build a tuning from the values that ``dataclasses.asdict`` returns.

        Args:
            values: The values; ``closer`` and ``repeats`` may be missing.

        Raises:
            ComparisonError: The values are no equal tuning.
        """
        repeats = tuple(
            Repeat(_as_tuples(one["rates"]), tuple(one["seeds"]), dict(one["best"]))
            for one in values.get("repeats", ())
        )
        return cls(_as_tuples(values["rates"]), values["seeds"], values.get("closer", 0), repeats)

    @property
    def all_repeats(self) -> tuple[Repeat, ...]:
        """Return the repeats; where there are none, the only tuning as one of them."""
        return self.repeats or (
            Repeat(self.rates, tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))),
        )

    @property
    def rate_count(self) -> int:
        """Return the number of rates that each arm tries in a repeat, those closer to the best included."""
        return max(len(rates) for rates in self.all_repeats[0].rates.values()) + self.closer

    @property
    def trial_count(self) -> int:
        """Return the number of trials that tuning needs, those around the best rates included."""
        return sum(
            len(one.seeds) * sum(len(rates) + self.closer for rates in one.rates.values())
            for one in self.all_repeats
        )

    def seed_list(self) -> tuple[int, ...]:
        """Return the tuning seeds of all repeats."""
        return tuple(seed for one in self.all_repeats for seed in one.seeds)

    def with_second_round(self, best: Sequence[Mapping[str, float]]) -> Tuning:
        """Add the rates of the second round, which are :func:`closer_rates`.

        Args:
            best: The best rate of the first round by arm, for each repeat.

        Returns:
            The tuning with all its rates, so that ``closer`` is 0.
        """
        found = tuple(
            replace(
                one, rates={label: self._refined(tried, chosen[label]) for label, tried in one.rates.items()}
            )
            for one, chosen in zip(self.all_repeats, best, strict=True)
        )
        if self.repeats:
            return replace(self, closer=0, repeats=found)
        return replace(self, closer=0, rates=found[0].rates)

    def _refined(self, tried: tuple[float, ...], best: float) -> tuple[float, ...]:
        return (*tried, *closer_rates(tried, self.closer, best))

    def with_best(self, best: Sequence[Mapping[str, float]]) -> Tuning:
        """Record the best rates.

        Args:
            best: The best rate by arm, for each repeat.

        Returns:
            The tuning with them.
        """
        return replace(
            self,
            repeats=tuple(replace(one, best=rates) for one, rates in zip(self.repeats, best, strict=True)),
        )

    def relabelled(self, labels: Mapping[str, str]) -> Tuning:
        """Change the labels of arms.

        Args:
            labels: New labels by old ones; other arms keep theirs.

        Returns:
            The tuning with the new labels.
        """

        def renamed(values: Mapping[str, T]) -> dict[str, T]:
            return {labels.get(label, label): value for label, value in values.items()}

        repeats = tuple(
            replace(one, rates=renamed(one.rates), best=renamed(one.best)) for one in self.repeats
        )
        return replace(self, rates=renamed(self.rates), repeats=repeats)

    def merged(self, other: Tuning) -> Tuning:
        """Add the arms of another run's tuning; an arm in both keeps the values of this one.

        Args:
            other: A tuning with as many repeats.

        Returns:
            The tuning of the arms of both.
        """
        repeats = tuple(
            replace(one, rates={**other_repeat.rates, **one.rates}, best={**other_repeat.best, **one.best})
            for one, other_repeat in zip(self.repeats, other.repeats, strict=True)
        )
        return replace(self, rates={**other.rates, **self.rates}, repeats=repeats)


def split_rate_count(count: int) -> tuple[int, int]:
    """Split a number of rates into those tried widely and those tried closer to the best of them.

    Closer are as many as can lie evenly on both sides of the best: the largest even number up to half of
    them. Below five rates all are tried widely, since it takes three to see where the best may lie: 2+0, 3+0,
    4+0, 3+2, 4+2, 5+2, 4+4, 5+4, ….

    Args:
        count: Rates that each arm tries in all.

    Returns:
        The number of rates of the first round, and of the second.
    """
    closer = count // 4 * 2
    return (count - closer, closer) if count - closer >= MIN_FIRST_ROUND else (count, 0)


def rate_grid(
    count: int, reference: float, limits: tuple[float, float] | None = None, shift: float = 0.0
) -> tuple[float, ...]:
    """Return log-spaced learning rates, by default from a thirtieth to thirty times the reference.

    They are rounded to four digits, which is finer than any grid and can be read and typed again.

    Args:
        count: The number of rates.
        reference: The rate in the middle.
        limits: Other ends of the grid; None for the default.
        shift: The part of a step by which the whole grid is moved up.

    Returns:
        The rates, rising.

    Raises:
        ComparisonError: There are fewer than two rates, or the limits are no range.
    """
    if count < 2:
        raise ComparisonError(f"tuning needs at least 2 learning rates, got --tune {count}; give --tune 5")
    low, high = limits or (reference / GRID_FACTOR, reference * GRID_FACTOR)
    if not (0 < low < high < math.inf):
        raise ComparisonError(f"--tune-range must be LO,HI with 0 < LO < HI, got {low:g},{high:g}")
    step = (high / low) ** (1 / (count - 1))
    return tuple(_rounded(low * step ** (i + shift)) for i in range(count))


def closer_rates(tried: Sequence[float], count: int, best: float) -> tuple[float, ...]:
    """Further rates on both sides of the best, evenly in the logarithm, up to its neighbours.

    Where the best is the smallest or the largest that was tried, half of them lie beyond it.

    Args:
        tried: The log-spaced rates of the first round.
        count: The number of rates to add, an even number.
        best: The best of ``tried``.

    Returns:
        The rates, rising.
    """
    half = count // 2
    step = (max(tried) / min(tried)) ** (1 / ((len(tried) - 1) * (half + 1)))
    return tuple(_rounded(best * step**k) for k in range(-half, half + 1) if k)


def scale_lr(reference: float, rule: str, batch_size: int, reference_batch: int | None) -> float:
    """Scale a reference learning rate to another batch size.

    Args:
        reference: The rate for ``reference_batch``.
        rule: ``linear`` in the batch size, with its square root (``sqrt``), or ``none``.
        batch_size: The batch size of the arm.
        reference_batch: The batch size of the workload; None where it has none.

    Returns:
        The rate for ``batch_size``.

    Raises:
        ComparisonError: A rule needs a reference batch size, and there is none.
    """
    if rule == "none":
        return reference
    if reference_batch is None:
        raise ComparisonError(
            f"--lr-scaling {rule} needs the workload's batch_size, for which its lr is recommended; it has "
            "none"
        )
    ratio = batch_size / reference_batch
    return reference * (ratio if rule == "linear" else math.sqrt(ratio))


def _as_tuples(rates: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {label: tuple(tried) for label, tried in rates.items()}


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")


def _refuse_unequal(rates: Mapping[str, tuple[float, ...]]) -> None:
    if len({len(tried) for tried in rates.values()}) > 1:
        raise ComparisonError(
            "every arm must try the same number of learning rates; equal tuning is what makes it fair"
        )
    for label, tried in rates.items():
        if len(tried) < 2:
            raise ComparisonError(
                f"arm {label}: tuning needs at least 2 learning rates, got {len(tried)}; give --tune 5"
            )
        if not all(math.isfinite(rate) and rate > 0 for rate in tried):
            raise ComparisonError(
                f"arm {label}: learning rates must be positive and finite, got {list(tried)}"
            )
