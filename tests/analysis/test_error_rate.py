"""Holm's correction, the levels of looks, and the fewest seeds: numbers by hand."""

from __future__ import annotations

import math

import pytest

from optcompare.analysis.error_rate import ALPHA, holm, look_level, not_excluded, seeds_needed
from tests.helpers.tables import NAN


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        # 4·0.005, then 3·0.01, 2·0.03 and 1·0.04, which may not fall below 0.06
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.03], [0.03]),
        ([0.5, 0.9, 0.4], [1.0, 1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.01, NAN, 0.03], [0.03, NAN, 0.06]),  # the comparison that could not be made counts
        ([NAN, NAN], [NAN, NAN]),
        ([], []),
    ],
)
def test_holm(p, corrected):
    assert list(holm(p)) == pytest.approx(corrected, rel=1e-6, nan_ok=True)


def test_levels_of_all_looks_sum_to_5_in_100():
    """SCIENCE.md, Looks: Σ 1/k² = π²/6, of which the first 100,000 terms lack 1/100,000."""
    assert [look_level(1), look_level(2), look_level(3)] == pytest.approx(
        [0.035, 0.0091189, 0.0022797], rel=1e-4
    )
    assert math.fsum(map(look_level, range(1, 100_001))) == pytest.approx(ALPHA, rel=1e-5)


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (3, 8), (4, 8), (8, 9), (16, 10)])
def test_seeds_needed_at_the_first_look(comparisons, seeds):
    assert seeds_needed(comparisons) == seeds
    assert comparisons * 2 / 2**seeds <= 0.035 < comparisons * 2 / 2 ** (seeds - 1)


def test_later_looks_take_more_seeds():
    """2/2⁸ = .0078 is the first below .0091, 2/2¹⁰ = .00195 the first below .0023."""
    assert [seeds_needed(1, look_level(look)) for look in (1, 2, 3)] == [6, 8, 10]


def test_what_no_seed_showed_is_not_excluded():
    """A failure on 26% of seeds shows on none of 10 with a chance of .74¹⁰ = .05."""
    assert not_excluded(10) == pytest.approx(0.2589, abs=1e-4)
    assert (1 - not_excluded(10)) ** 10 == pytest.approx(0.05)
    assert not_excluded(1) == pytest.approx(0.95)
