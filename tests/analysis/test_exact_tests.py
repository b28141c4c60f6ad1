"""Exact p values counted by hand, against scipy's, and what they promise against simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from optcompare.analysis.exact_tests import DRAWN, EXACT_UP_TO, sign_flip_p, sign_p


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 1.0, 1.0], 2 / 8),  # of all eight patterns only +++ and --- reach a sum of 3
        ([-1.0, -2.0, -3.0], 2 / 8),
        ([1.0, 2.0, -3.0], 1.0),  # sums to 0, which all reach
        ([3.0, 2.0, -1.0], 4 / 8),  # 4 is reached by +++ 6, ++- 4, and their opposites
        ([2.0, 0.0], 1.0),  # ±2, whatever the sign of 0
        ([0.0, 0.0], 1.0),
        ([5.0], 1.0),
    ],
)
def test_sign_flips_counted_by_hand(differences, p):
    assert sign_flip_p(np.array(differences)) == p


def test_one_sided_flips_counted_by_hand():
    """Of 3, 2, -1 the sum is 4: +++ and ++- reach it; the sums of all but +++ are at most 4."""
    differences = np.array([3.0, 2.0, -1.0])
    assert (sign_flip_p(differences, "greater"), sign_flip_p(differences, "less")) == (2 / 8, 7 / 8)
    assert sign_flip_p(np.zeros(0)) != sign_flip_p(np.zeros(0))  # nan


@pytest.mark.parametrize("n", [4, 7, 10])
def test_p_is_that_of_a_count_over_all_patterns_and_of_scipy(n):
    differences = np.random.default_rng(n).normal(0.4, size=n)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=n)]
    assert sign_flip_p(differences) == np.mean([each >= abs(differences.sum()) - 1e-12 for each in sums])
    theirs = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=10_000, vectorized=True
    )
    assert sign_flip_p(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_equal_sums_in_other_rounding_count_as_reached():
    """.1 + .2 + .3 and .3 + .2 + .1 differ in their last bit; a strict comparison would count one of them
    out.
    """
    for order in itertools.permutations([0.1, 0.2, 0.3]):
        assert sign_flip_p(np.array(order)) == 2 / 8


def test_huge_and_tiny_differences_overflow_nowhere():
    assert sign_flip_p(np.array([1e308, 1e308, 1e308])) == 2 / 8
    assert sign_flip_p(np.array([1e-320, 1e-320, 1e-320])) == 2 / 8


def test_above_the_exact_count_signs_are_drawn_and_p_is_never_0():
    same = np.ones(EXACT_UP_TO + 1)
    assert sign_flip_p(same) == 1 / (DRAWN + 1)
    assert sign_flip_p(same) == sign_flip_p(same[::-1])
    mixed = np.random.default_rng(1).normal(0.3, size=EXACT_UP_TO + 10)
    exact = 2 * (1 - 0.5 * (1 + math.erf(abs(mixed.sum()) / math.sqrt(2 * (mixed**2).sum()))))
    assert sign_flip_p(mixed) == pytest.approx(exact, abs=0.02)  # of a normal approximation, .04 there


@pytest.mark.parametrize(("wins", "losses"), [(10, 0), (8, 2), (5, 5), (0, 6), (1, 0)])
def test_wins_against_losses_by_the_binomial_test(wins, losses):
    n = wins + losses
    assert sign_p(wins, losses) == pytest.approx(binomtest(wins, n).pvalue, abs=1e-15)
    assert sign_p(wins, losses, "greater") == pytest.approx(
        binomtest(wins, n, alternative="greater").pvalue, abs=1e-15
    )
    assert sign_p(wins, losses, "less") == pytest.approx(
        binomtest(wins, n, alternative="less").pvalue, abs=1e-15
    )


def test_ties_alone_show_nothing():
    assert sign_p(0, 0) == 1.0


@pytest.mark.parametrize("shape", ["normal", "heavy-tailed", "rounded", "one outlier in ten"])
def test_false_rejections_are_at_most_the_level_whatever_the_shape(shape):
    """Differences of exchangeable arms, n = 8: p ≤ .035 in at most that share of experiments, within Monte
    Carlo error.
    """
    rng, draws = np.random.default_rng(3), 4000
    arms = (
        rng.normal(size=(draws, 2, 8))
        if shape in ("normal", "rounded")
        else rng.standard_t(1.2, size=(draws, 2, 8))
    )
    if shape == "one outlier in ten":
        arms = np.where(rng.random((draws, 2, 8)) < 0.1, 100.0, 0.0) + rng.exponential(size=(draws, 2, 8))
    arms = np.round(arms) if shape == "rounded" else arms
    rejected = np.mean([sign_flip_p(a - b) <= 0.035 for a, b in arms])
    assert rejected <= 0.035 + 3 * math.sqrt(0.035 * 0.965 / draws)


@pytest.mark.slow
def test_two_thousand_seeds_are_tested_without_overflow():
    """Of 2,000 the chance of 1,100 wins or more is that of 4.45 standard deviations, 8.6e-6, by the normal
    distribution.
    """
    assert sign_p(1100, 900) == pytest.approx(math.erfc(99.5 / math.sqrt(500) / math.sqrt(2)), rel=0.02)
    assert sign_p(600, 400) == pytest.approx(sign_p_by_scipy(600, 400), rel=1e-9)
    assert sign_p(2000, 0) == pytest.approx(0, abs=1e-300)
    assert sign_p(0, 2000, "greater") == 1
    values = np.linspace(-1, 1.1, 2000)
    assert sign_flip_p(values) == pytest.approx(
        math.erfc(values.sum() / math.sqrt((values**2).sum()) / math.sqrt(2)), rel=0.2
    )


def sign_p_by_scipy(wins: int, losses: int) -> float:
    return float(binomtest(wins, wins + losses).pvalue)
