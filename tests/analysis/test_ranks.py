"""Ranks of arms over workloads, the test of whether they differ, and the critical difference, by hand and
published.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis import ranks
from optcompare.analysis.ranks import RankTest, critical_difference, mean_ranks, rank_test, rank_words
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN

VALUES = pd.DataFrame(
    {"a": [10.0, 30.0, INF, INF], "b": [20.0, 10.0, 50.0, INF], "c": [100.0, 10.0, INF, INF]},
    index=["w1", "w2", "w3", "nobody's"],
)


def alike(arms: int, workloads: int) -> pd.DataFrame:
    """All workloads rank the arms in the same order."""
    return pd.DataFrame(np.tile(np.arange(arms, dtype=float), (workloads, 1)))


def ranked(*rows: str) -> pd.DataFrame:
    """A row of ranks for each text such as ``132``."""
    return pd.DataFrame([[float(rank) for rank in row] for row in rows])


def test_ranks_are_averaged_over_workloads_ties_sharing_theirs():
    """w1: 1, 2, 3; w2: 3, 1.5, 1.5; w3: 2.5, 1, 2.5 (two misses tie); nobody's: 2 each."""
    assert mean_ranks(VALUES).to_dict() == {"a": 8.5 / 4, "b": 6.5 / 4, "c": 9 / 4}
    assert mean_ranks(VALUES.replace(INF, NAN)).to_dict() == mean_ranks(VALUES).to_dict()


def test_arms_that_all_workloads_rank_alike_have_the_smallest_p():
    """Rank sums 4, 8, 12: χ² = 12/(4·3·4)·(16 + 64 + 144) - 3·4·4 = 8 = N(k-1), so F is infinite, and p =
    1/6³.
    """
    test = rank_test(pd.DataFrame([[1.0, 2.0, INF]] * 4))
    assert (test.chi2, test.f, test.exact, test.differ) == (8, INF, True, True)
    assert test.p == pytest.approx(1 / 216)
    assert test.floor == pytest.approx(1 / 216)


def test_statistics_and_p_with_ties():
    """Rank sums 8.5, 6.5, 9 of 4 workloads: Σ(R_j - 8)² = 0.25 + 2.25 + 1 = 3.5, so χ² = 12·3.5/(4·3·4) =
    0.875, over 1 - ΣΣ(t³-t)/(N(k³-k)) = 1 - (6 + 6 + 24)/(4·24) = 0.625: 1.4. F = 3·1.4/(4·2 - 1.4) = 7/11.

    The odd ranks of w2 and w3 stand on arms i and j in 9 equally likely ways. Less 2, the rank sums are those
    of w1, (-1, 0, 1), and 1.5 more at i and less at j: Σ(R_j - 8)² = 2 where i = j, else 6.5 + 3(i - j), of
    which 5 are ≥ 3.5.
    """
    test = rank_test(VALUES)
    assert (test.chi2, test.f) == pytest.approx((1.4, 7 / 11))
    assert test.p == pytest.approx(5 / 9)


def by_counting(values: pd.DataFrame) -> float:
    """The share of all orders of all ranks with at least the observed sum of squared rank sums."""
    table = values.fillna(INF).rank(axis=1).to_numpy(float)
    sums = [
        sum(map(np.array, rows))
        for rows in itertools.product(*(itertools.permutations(row) for row in table))
    ]
    return float(np.mean([(found**2).sum() >= (table.sum(axis=0) ** 2).sum() - 1e-9 for found in sums]))


@pytest.mark.parametrize(
    ("rows", "chi2", "p"),
    [
        (("123", "123", "123"), 6.0, 0.028),
        (("123", "123", "132"), 14 / 3, 0.194),
        (("123", "123", "123", "132"), 6.5, 0.042),
        (("1234", "1234"), 6.0, 0.042),
        (("1234", "1234", "1324"), 8.2, 0.017),
    ],
)
def test_exact_p_is_the_published_one(rows, chi2, p):
    """Friedman 1937, JASA 32, tables V and VI."""
    test = rank_test(ranked(*rows))
    assert test.exact
    assert test.chi2 == pytest.approx(chi2)
    assert test.p == pytest.approx(p, abs=5e-4)


def test_statistics_of_the_published_example():
    """Demšar 2006, table 6: χ² = 9.28, without the correction 1 - ΣΣ(t³-t)/(N(k³-k)) = 1 - (3·6 + 60)/840 for
    ties, which makes it larger, and F with it.
    """
    rows = (
        "4 3 2 1, 1 2 3 4, 4 1 2 3, 4 1 3 2, 4 2 3 1, 1 2.5 4 2.5, 3 2 4 1, 2.5 2.5 4 1, 4 3 2 1, 1 1 1 1, "
    )
    rows += "4 2.5 1 2.5, 3 2 4 1, 4 1 2 3, 3 1 4 2"
    test = rank_test(pd.DataFrame([list(map(float, row.split())) for row in rows.split(", ")]))
    assert test.chi2 * (1 - 78 / 840) == pytest.approx(9.28, abs=0.005)
    assert test.f == pytest.approx(13 * test.chi2 / (14 * 3 - test.chi2))


@pytest.mark.parametrize(("arms", "workloads"), [(2, 6), (3, 4), (4, 3), (5, 2)])
@pytest.mark.parametrize("kinds", [3, 1000], ids=["ties", "no ties"])
def test_exact_p_counts_every_order_of_every_workload(arms, workloads, kinds):
    values = pd.DataFrame(np.random.default_rng(arms).integers(0, kinds, (workloads, arms)).astype(float))
    assert rank_test(values).p == pytest.approx(by_counting(values))


def test_two_arms_are_tested_by_signs():
    """Six of six: 2/2⁶; five of six: 2·(1 + 6)/2⁶; a tie takes no part."""
    assert rank_test(alike(2, 6)).p == 2 / 64
    assert rank_test(ranked("12", "12", "12", "12", "12", "21")).p == 14 / 64
    assert rank_test(ranked("12", "12", "11", "12")).p == 2 / 8


def test_arms_that_tie_everywhere_do_not_differ():
    test = rank_test(pd.DataFrame([[1.0, 1.0, 1.0], [INF, INF, NAN]]))
    assert (test.chi2, test.f, test.p) == (0, 0, 1)


def test_p_of_too_many_orders_to_count_comes_from_random_ones(monkeypatch):
    """The same table both ways; a p of .2 from 99,999 orders has a standard error of .0013."""
    values = pd.DataFrame(np.random.default_rng(5).normal(size=(4, 4)) + 0.5 * np.arange(4))
    counted = rank_test(values)
    monkeypatch.setattr(ranks, "MOST_SUMS", 1000)
    drawn = rank_test(values)
    assert (counted.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(counted.p, abs=0.006)
    assert rank_test(values) == drawn
    assert "from 99,999 random orders; Friedman's χ²(3) = " in rank_words(drawn)


def test_p_from_random_orders_is_never_0():
    test = rank_test(alike(11, 3))
    assert (test.exact, test.f) == (False, INF)
    assert test.p == 1e-5
    assert rank_words(test) == (
        "The arms differ in rank (p < 0.0001 from 99,999 random orders; Friedman's χ²(10) = 30, "
        "Iman and Davenport's F(10, 20) = ∞)."
    )


@pytest.mark.parametrize("shape", [(5, 1), (1, 3)])
def test_a_test_of_ranks_needs_two_arms_and_two_workloads(shape):
    message = f"needs at least 2 arms and 2 workloads, got {shape[1]} and {shape[0]}$"
    with pytest.raises(ComparisonError, match=message):
        rank_test(pd.DataFrame(np.ones(shape)))


def test_words_where_the_arms_differ():
    assert rank_words(rank_test(alike(3, 4))) == (
        "The arms differ in rank (exact p = 0.00463; Friedman's χ²(2) = 8, Iman and Davenport's F(2, 6) = ∞)."
    )


def test_words_where_they_do_not_differ_tell_no_two_apart():
    assert rank_words(rank_test(ranked("123", "123", "132"))) == (
        "No difference in rank is found (exact p = 0.194; Friedman's χ²(2) = 4.67, Iman and Davenport's "
        "F(2, 4) = 7), "
        "so no difference between two arms is claimed."
    )


def test_words_say_that_the_workloads_are_too_few_for_any_difference():
    """3 arms on 2 workloads: p is 1/6 at least; 2 arms on 5: 2/2⁵. One workload more and the words are
    gone.
    """
    three, two = rank_words(rank_test(alike(3, 2))), rank_words(rank_test(alike(2, 5)))
    assert three.endswith(
        "claimed: 2 workloads are too few for 3 arms, since the smallest possible p is 0.167."
    )
    assert two == (
        "No difference in rank is found (sign test, exact p = 0.0625): "
        "5 workloads are too few for 2 arms, since the smallest possible p is 0.0625."
    )
    assert "too few" not in rank_words(rank_test(alike(3, 3))) + rank_words(rank_test(alike(2, 6)))


def test_words_where_the_arms_differ_but_no_two_by_the_critical_difference():
    """Mean ranks 1, 2, 10/3, 11/3: 8/3 apart, and the critical difference is 2.569·√(4·5/(6·3)) = 2.708."""
    test = rank_test(ranked("1234", "1234", "1243"))
    assert (test.spread, test.critical) == (pytest.approx(8 / 3), pytest.approx(2.708, abs=1e-3))
    assert rank_words(test).endswith("), but no two of them by more than the critical difference.")


def test_p_of_exactly_the_level_counts_as_a_difference():
    """The level may be reached as a sum of shares, which rounding leaves a little above it."""
    assert RankTest(5, 2, 3.5, 7.2, 9.0, math.nextafter(0.05, 1), exact=True).differ
    assert not RankTest(5, 2, 3.5, 7.2, 9.0, 0.0501, exact=True).differ


def test_a_critical_difference_is_given_only_where_more_than_two_arms_differ():
    assert rank_test(alike(3, 4)).critical == critical_difference(3, 4)
    assert math.isnan(rank_test(ranked("123", "123", "132")).critical)
    assert math.isnan(rank_test(alike(2, 6)).critical)


@pytest.mark.parametrize(
    ("arms", "q"),
    [
        (2, 1.960),
        (3, 2.343),
        (4, 2.569),
        (5, 2.728),
        (6, 2.850),
        (7, 2.949),
        (8, 3.031),
        (9, 3.102),
        (10, 3.164),
    ],
)
def test_critical_difference_has_the_published_q(arms, q):
    """Demšar 2006, table 5(a), q.05 of the Nemenyi test to three digits after the point."""
    assert critical_difference(arms, 14) / math.sqrt(arms * (arms + 1) / (6 * 14)) == pytest.approx(
        q, abs=1.1e-3
    )


def test_critical_difference_of_the_published_example():
    """Demšar 2006, section 3.2.2: 4 classifiers on 14 data sets, CD = 1.25 at .05 and 1.12 at .10."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(("arms", "workloads"), [(1, 5), (3, 0)])
def test_critical_difference_needs_something_to_compare(arms, workloads):
    message = f"needs at least 2 arms and 1 workload, got {arms} and {workloads}$"
    with pytest.raises(ComparisonError, match=message):
        critical_difference(arms, workloads)
