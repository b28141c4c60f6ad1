"""What tuning tries: shifts and seeds of repeats are functions of the first seed, the repeat and the arm."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from optcompare.core.comparison import Arm, Part
from optcompare.core.tuning import FIRST_TUNING_SEED, rate_grid
from optcompare.errors import ComparisonError
from optcompare.planning.tuning_grids import grid_shift, plan_tuning, repeat_seeds


def arm(label: str, lr: float = 1.0) -> Arm:
    return Arm(label, Part(label, label), Part("sgd", "sgd"), {}, lr, 64)


ARMS = [arm("full"), arm("mini:4")]


def test_an_only_tuning_has_the_unshifted_grid_and_the_first_tuning_seeds():
    tuning = plan_tuning(ARMS, 4, seeds=2)
    assert tuning.repeats == ()
    assert tuning.rates == {"full": rate_grid(4, 1.0), "mini:4": rate_grid(4, 1.0)}
    assert tuning.seed_list() == (FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1)


def test_a_shift_is_a_number_that_its_names_give():
    """By NumPy alone: the stream of (8, first seed, repeat, CRC-32 of the label); parts above a half count
    down.
    """
    for seed, repeat, label in ((0, 1, "full"), (0, 2, "full"), (7, 1, "mini:4")):
        words = np.random.SeedSequence([8, seed, repeat, zlib.crc32(label.encode())])
        part = np.random.Generator(np.random.PCG64(words)).random()
        assert grid_shift(seed, repeat, label) == (part if part < 0.5 else part - 1)
    assert round(grid_shift(0, 1, "full"), 4) == -0.4932


def test_shifts_are_uniform_over_a_step():
    """Of 1,000 the mean lies within 4 standard errors, 4·√(1/12/1000) = .037, of 0; each tenth holds about
    100.
    """
    shifts = np.array([grid_shift(0, repeat, "full") for repeat in range(1, 1001)])
    assert abs(shifts.mean()) < 0.037
    assert ((shifts >= -0.5) & (shifts < 0.5)).all()
    counts, _ = np.histogram(shifts, 10, (-0.5, 0.5))
    assert counts.min() > 60


def test_every_arm_and_repeat_has_a_shift_of_its_own():
    tuning = plan_tuning(ARMS, 5, repeats=3, first_seed=4)
    for number, one in enumerate(tuning.repeats, 1):
        for label, rates in one.rates.items():
            assert rates == rate_grid(3, 1.0, shift=grid_shift(4, number, label))
    assert len({rates for one in tuning.repeats for rates in one.rates.values()}) == 6
    assert tuning.closer == 2


def test_an_arm_has_the_same_grids_beside_other_arms():
    one, other = (plan_tuning(arms, 5, repeats=2) for arms in (ARMS, [arm("single"), ARMS[0]]))
    assert [tried.rates["full"] for tried in one.repeats] == [tried.rates["full"] for tried in other.repeats]


def test_no_two_repeats_share_a_tuning_seed():
    tuning = plan_tuning(ARMS, 3, seeds=4, repeats=20)
    seeds = tuning.seed_list()
    assert len(set(seeds)) == 80
    assert FIRST_TUNING_SEED + 2**40 <= min(seeds) <= max(seeds) < 2**63
    assert repeat_seeds(0, 1, 4) == tuning.repeats[0].seeds != repeat_seeds(1, 1, 4)


@pytest.mark.parametrize("repeats", [0, -1, 1.5, 2**16 + 1])
def test_a_number_of_repeats_that_is_none_is_refused(repeats):
    with pytest.raises(
        ComparisonError, match=r"--tune-repeats must be (a whole number|at least 1|at most 65,536), got "
    ):
        plan_tuning(ARMS, 3, repeats=repeats)


@pytest.mark.parametrize(("count", "limits"), [(4, (0.01, 0.010001)), (8, (1.0, 1.005))])
def test_rates_that_rounding_would_make_the_same_are_refused(count, limits):
    """From 1 to 1.005 four rates differ in four digits, and the four closer to one of them would not."""
    with pytest.raises(ComparisonError, match=f"is too narrow for {count} different rates of four digits"):
        plan_tuning(ARMS, count, limits)
