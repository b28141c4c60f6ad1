"""Plan tuning before it begins: rounds, the grid of each arm, repeats and their shifts."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ..core.bounds import MAX_RATES, MAX_SEEDS, check_count, refuse_too_many_trials
from ..core.comparison import Arm
from ..core.rng import GRID_SHIFT, TUNING_SEEDS, seed_sequence
from ..core.tuning import (
    FIRST_TUNING_SEED,
    GRID_FACTOR,
    Repeat,
    Tuning,
    closer_rates,
    rate_grid,
    split_rate_count,
)
from ..errors import ComparisonError

_APART = 2**40
"""The distance from the tuning seeds of one repeat to those of the next, which begin in its first 2³²."""
_MOST_REPEATS = 2**16


def plan_tuning(
    arms: Sequence[Arm],
    count: int,
    limits: tuple[float, float] | None = None,
    seeds: int = 3,
    repeats: int = 1,
    first_seed: int = 0,
) -> Tuning:
    """Decide which learning rates each arm tries first, and on which seeds.

    Args:
        arms: The arms to tune; the rate of each is its reference.
        count: The number of rates that each arm tries in each repeat, including those around the best one.
        limits: Ends of the grid; by default a thirtieth and thirty times the reference.
        seeds: The number of tuning seeds in each repeat.
        repeats: The number of times that each arm is tuned. If there are several, each has its own seeds,
            and grids that are shifted at random.
        first_seed: The seed from which the shifts and seeds of the repeats are drawn.

    Returns:
        The tuning with its first round; the second is added later.

    Raises:
        ComparisonError: A number is out of its range, or the range is too narrow for so many rates.
    """
    if count < 2:
        raise ComparisonError(f"tuning needs at least 2 learning rates, got --tune {count}; give --tune 5")
    check_count("--tune", count, 2, MAX_RATES)
    check_count("--tune-seeds", seeds, 1, MAX_SEEDS)
    check_count("--tune-repeats", repeats, 1, _MOST_REPEATS)
    refuse_too_many_trials({"tuning trials": len(arms) * count * seeds * repeats})
    widely, closer = split_rate_count(count)
    grids = {arm.label: rate_grid(widely, arm.lr, limits) for arm in arms}
    drawn = tuple(
        Repeat(
            {
                arm.label: rate_grid(widely, arm.lr, limits, grid_shift(first_seed, one, arm.label))
                for arm in arms
            },
            repeat_seeds(first_seed, one, seeds),
        )
        for one in (range(1, repeats + 1) if repeats > 1 else ())
    )
    planned = Tuning(grids, seeds, closer, drawn)
    for arm in arms:
        for one in planned.all_repeats:
            _refuse_too_narrow(
                one.rates[arm.label], closer, limits or (arm.lr / GRID_FACTOR, arm.lr * GRID_FACTOR), count
            )
    return planned


def grid_shift(first_seed: int, repeat: int, arm: str) -> float:
    """Draw the part of a step by which the grid of an arm is moved in a repeat.

    It is uniform from half a step down to half a step up. A part u is drawn from [0, 1); u and u - 1 give the
    same log-spaced lattice, and the one nearer to 0 is taken, so that the grid stays around its reference.

    Args:
        first_seed: The first of the report seeds.
        repeat: The number of the repeat, from 1.
        arm: The arm's label.

    Returns:
        A number from -0.5 up to, but without, 0.5.
    """
    words = seed_sequence(GRID_SHIFT, first_seed, repeat, zlib.crc32(arm.encode()))
    part = float(np.random.Generator(np.random.PCG64(words)).random())
    return part if part < 0.5 else part - 1


def repeat_seeds(first_seed: int, repeat: int, count: int) -> tuple[int, ...]:
    """List the tuning seeds of a repeat, successive ones that no other repeat and no report has.

    Args:
        first_seed: The first of the report seeds.
        repeat: The number of the repeat, from 1.
        count: The number to return.

    Returns:
        The seeds, rising.
    """
    drawn = int(seed_sequence(TUNING_SEEDS, first_seed, repeat).generate_state(1)[0])
    first = FIRST_TUNING_SEED + repeat * _APART + drawn
    return tuple(range(first, first + count))


def _refuse_too_narrow(tried: Sequence[float], closer: int, limits: tuple[float, float], count: int) -> None:
    """Refuse a range in which rounding would make two rates of a round the same."""
    rounds = [[*tried, *closer_rates(tried, closer, best)] for best in tried]
    if any(len(set(rates)) < len(rates) for rates in rounds):
        low, high = limits
        raise ComparisonError(
            f"--tune-range {low:g},{high:g} is too narrow for {count} different rates of four digits"
        )
