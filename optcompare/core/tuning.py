"""Equal tuning: every arm gets the same number of learning rates on seeds that no report ever uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..errors import ComparisonError
from .bounds import MAX_RATES, MAX_SEEDS, check_count

T = TypeVar("T")
FIRST_TUNING_SEED = 2**62
"""Report seeds lie below it and tuning seeds from it on, so that none is ever both, however many are added.
"""
GRID_FACTOR = 30.0
"""The default grid spans the recommended rate divided and multiplied by this."""
MIN_FIRST_ROUND = 3
"""Rates from which a second round can start: two say on which side the best may lie, and not where."""


@dataclass(frozen=True)
class Repeat:
    """One of several tunings of the same arms: the rates that each arm tries, by its label, and the seeds
    that it has for it.

    ``best``: the rate that was best in it, by arm; empty until tuning has ended.
    """

    rates: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]
    best: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_unequal(self.rates)


@dataclass(frozen=True)
class Tuning:
    """The rates that each arm tries, by its label, and on how many tuning seeds each.

    ``closer``: how many more each will try around the best of these; once they are known they stand among the
    rates. ``repeats``: where arms are tuned several times, what each repeat tries; ``rates`` is then the grid
    that they shift.
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
            raise ComparisonError("each repeat needs tuning seeds of its own, from 2**62 on")
        for one in self.repeats:
            if one.rates.keys() != self.rates.keys():
                raise ComparisonError(
                    "every repeat must tune the same arms; equal tuning is what makes it fair"
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tuning:
        """From the values that ``dataclasses.asdict`` gives; without repeats or a second round where they are
        missing.
        """
        repeats = tuple(
            Repeat(_tuples(one["rates"]), tuple(one["seeds"]), dict(one["best"]))
            for one in values.get("repeats", ())
        )
        return cls(_tuples(values["rates"]), values["seeds"], values.get("closer", 0), repeats)

    @property
    def rounds(self) -> tuple[Repeat, ...]:
        """What is tried: the repeats, or the only tuning as one of them."""
        return self.repeats or (
            Repeat(self.rates, tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))),
        )

    @property
    def count(self) -> int:
        """How many rates each arm tries in a repeat, those closer to the best included."""
        return max(len(rates) for rates in self.rounds[0].rates.values()) + self.closer

    @property
    def trial_number(self) -> int:
        """How many trials tuning takes, those around the best included."""
        return sum(
            len(one.seeds) * sum(len(rates) + self.closer for rates in one.rates.values())
            for one in self.rounds
        )

    def seed_list(self) -> tuple[int, ...]:
        """The tuning seeds of all repeats."""
        return tuple(seed for one in self.rounds for seed in one.seeds)

    def closer_to(self, best: Sequence[Mapping[str, float]]) -> Tuning:
        """With the rates of the second round, which are :func:`closer_rates`, and none to come.

        Args:
            best: For each repeat, by arm, the best rate of the first round.

        Returns:
            The tuning with all its rates.
        """
        found = tuple(
            replace(
                one, rates={label: self._refined(tried, chosen[label]) for label, tried in one.rates.items()}
            )
            for one, chosen in zip(self.rounds, best, strict=True)
        )
        if self.repeats:
            return replace(self, closer=0, repeats=found)
        return replace(self, closer=0, rates=found[0].rates)

    def _refined(self, tried: tuple[float, ...], best: float) -> tuple[float, ...]:
        return (*tried, *closer_rates(tried, self.closer, best))

    def with_best(self, best: Sequence[Mapping[str, float]]) -> Tuning:
        """With the rates that were found, by arm, one mapping for each repeat."""
        return replace(
            self,
            repeats=tuple(replace(one, best=rates) for one, rates in zip(self.repeats, best, strict=True)),
        )

    def relabelled(self, labels: Mapping[str, str]) -> Tuning:
        """The same with other labels of arms; those that are not named keep theirs."""

        def renamed(values: Mapping[str, T]) -> dict[str, T]:
            return {labels.get(label, label): value for label, value in values.items()}

        repeats = tuple(
            replace(one, rates=renamed(one.rates), best=renamed(one.best)) for one in self.repeats
        )
        return replace(self, rates=renamed(self.rates), repeats=repeats)

    def joined(self, other: Tuning) -> Tuning:
        """With the arms of another run too; an arm that both have is as it is here."""
        repeats = tuple(
            replace(one, rates={**theirs.rates, **one.rates}, best={**theirs.best, **one.best})
            for one, theirs in zip(self.repeats, other.repeats, strict=True)
        )
        return replace(self, rates={**other.rates, **self.rates}, repeats=repeats)


def split_rate_count(count: int) -> tuple[int, int]:
    """How many of ``count`` rates are tried widely, and how many closer to the best of those.

    Closer are as many as can lie evenly on both sides of the best: the largest even number up to half of
    them. Below five rates all are tried widely, for it takes three to see where the best may lie: 2+0, 3+0,
    4+0, 3+2, 4+2, 5+2, 4+4, 5+4, …

    Args:
        count: Rates that each arm tries in all.

    Returns:
        Rates of the first round, and of the second.
    """
    closer = count // 4 * 2
    return (count - closer, closer) if count - closer >= MIN_FIRST_ROUND else (count, 0)


def rate_grid(
    count: int, reference: float, limits: tuple[float, float] | None = None, shift: float = 0.0
) -> tuple[float, ...]:
    """Log-spaced learning rates, by default from a thirtieth to thirty times the reference.

    Rounded to four digits, which is finer than any grid and can be read and typed again.

    Args:
        count: How many.
        reference: The rate in the middle.
        limits: Other ends of the grid.
        shift: The part of a step by which the whole grid is moved up.

    Returns:
        The rates, rising.

    Raises:
        ComparisonError: Fewer than two rates, or limits that are no range.
    """
    if count < 2:
        raise ComparisonError(f"tuning needs at least 2 learning rates, got --tune {count}; give --tune 5")
    low, high = limits or (reference / GRID_FACTOR, reference * GRID_FACTOR)
    if not (0 < low < high < math.inf):
        raise ComparisonError(f"--tune-range takes LO,HI with 0 < LO < HI, got {low:g},{high:g}")
    step = (high / low) ** (1 / (count - 1))
    return tuple(_rounded(low * step ** (i + shift)) for i in range(count))


def closer_rates(tried: Sequence[float], count: int, best: float) -> tuple[float, ...]:
    """Further rates on both sides of the best, evenly in the logarithm, up to its neighbours.

    Where the best is the smallest or the largest that was tried, half of them lie beyond it.

    Args:
        tried: The log-spaced rates of the first round.
        count: How many rates are added, an even number.
        best: The best of ``tried``.

    Returns:
        The rates, rising.
    """
    half = count // 2
    step = (max(tried) / min(tried)) ** (1 / ((len(tried) - 1) * (half + 1)))
    return tuple(_rounded(best * step**k) for k in range(-half, half + 1) if k)


def scale_lr(reference: float, rule: str, batch_size: int, reference_batch: int | None) -> float:
    """A reference learning rate for another batch size: ``linear`` in it, with its square root (``sqrt``), or
    as it is.
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


def _tuples(rates: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
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
