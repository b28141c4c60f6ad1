"""Performance profiles and ranks across workloads, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.profiles import (
    critical_difference,
    friedman,
    mean_ranks,
    performance_profile,
    ratios_to_best,
    scores,
)
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN

TIMES = pd.DataFrame(
    {"a": [10.0, 30.0, INF, INF], "b": [20.0, 10.0, 50.0, INF], "c": [100.0, 10.0, INF, INF]},
    index=["w1", "w2", "w3", "nobody's"],
)


def test_ratios_are_to_the_best_arm_of_each_workload():
    assert ratios_to_best(TIMES).to_numpy().tolist() == [[1, 2, 10], [3, 1, 1], [INF, 1, INF], [INF, INF, INF]]


def test_ratio_where_the_goal_held_at_the_start():
    assert ratios_to_best(pd.DataFrame({"a": [0.0], "b": [0.0], "c": [5.0], "d": [INF]})).to_numpy().tolist() == [
        [1, 1, INF, INF]
    ]


def test_time_that_is_unknown_is_a_miss():
    assert ratios_to_best(pd.DataFrame({"a": [NAN, NAN], "b": [5.0, NAN]})).to_numpy().tolist() == [[INF, 1], [INF] * 2]


def test_profile_steps_where_another_workload_comes_within_reach():
    found = performance_profile(TIMES)
    assert found.to_numpy().tolist() == [
        ["a", 1.0, 0.25], ["a", 3.0, 0.5],
        ["b", 1.0, 0.5], ["b", 2.0, 0.75],
        ["c", 1.0, 0.25], ["c", 10.0, 0.5],
    ]  # fmt: skip
    assert found.columns.tolist() == ["arm", "ratio", "share"]


def test_profile_of_an_arm_that_is_never_best_starts_at_0():
    found = performance_profile(pd.DataFrame({"a": [1.0], "b": [2.0], "c": [INF]}))
    assert found.to_numpy().tolist() == [["a", 1, 1], ["b", 1, 0], ["b", 2, 1], ["c", 1, 0]]


def test_score_is_the_mean_of_what_is_left_of_the_ratios_up_to_4():
    """a: (3/3 + 1/3 + 0 + 0)/4 = 1/3; b: (2/3 + 1 + 1 + 0)/4 = 2/3; c: (0 + 1 + 0 + 0)/4 = 1/4."""
    assert scores(TIMES).to_dict() == pytest.approx({"a": 1 / 3, "b": 2 / 3, "c": 1 / 4})


def test_score_is_the_area_under_the_profile():
    """The steps of the profile summed from 1 to 4, with random times and misses."""
    rng = np.random.default_rng(0)
    times = pd.DataFrame(rng.lognormal(0, 1, (20, 4)), columns=list("abcd")).mask(rng.random((20, 4)) < 0.2, INF)
    profile = performance_profile(times)
    for arm, score in scores(times).items():
        of_arm = profile[profile["arm"] == arm]
        ends = np.append(of_arm["ratio"].to_numpy()[1:], INF).clip(max=4)
        assert score == pytest.approx(float(((ends - of_arm["ratio"].clip(upper=4)) * of_arm["share"]).sum() / 3))


@pytest.mark.parametrize(("ratio", "score"), [(1.0, 1.0), (2.5, 0.5), (4.0, 0.0), (8.0, 0.0), (INF, 0.0)])
def test_score_of_one_workload(ratio, score):
    assert scores(pd.DataFrame({"best": [7.0], "other": [7.0 * ratio]}))["other"] == score


def test_ranks_are_averaged_over_workloads_ties_sharing_theirs():
    """w1: 1, 2, 3; w2: 3, 1.5, 1.5; w3: 2.5, 1, 2.5 (two misses tie); nobody's: 2 each."""
    assert mean_ranks(TIMES).to_dict() == {"a": 8.5 / 4, "b": 6.5 / 4, "c": 9 / 4}
    assert mean_ranks(TIMES.replace(INF, NAN)).to_dict() == mean_ranks(TIMES).to_dict()


def test_friedman_of_arms_that_always_rank_alike():
    """Rank sums 4, 8, 12: χ² = 12/(4·3·4)·(16 + 64 + 144) - 3·4·4 = 8, and p = exp(-8/2) with 2 degrees of freedom."""
    assert friedman(pd.DataFrame([[1.0, 2.0, INF]] * 4)) == pytest.approx((8.0, math.exp(-4)))


def test_friedman_with_ties():
    """Rank sums 8.5, 6.5, 9 of 4 workloads: Σ(R_j - 8)² = 0.25 + 2.25 + 1 = 3.5, so χ² = 12·3.5/(4·3·4) = 0.875, over
    1 - ΣΣ(t³-t)/(N(k³-k)) = 1 - (6 + 6 + 24)/(4·24) = 0.625: 1.4, and p = exp(-0.7)."""
    assert friedman(TIMES) == pytest.approx((1.4, math.exp(-0.7)))


def test_friedman_where_all_tie_everywhere_finds_nothing():
    assert friedman(pd.DataFrame([[1.0, 1.0, 1.0], [INF, INF, NAN]])) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(5, 2), (1, 3)])
def test_friedman_needs_three_arms_and_two_workloads(shape):
    message = rf"needs at least 3 arms and 2 workloads, got {shape[1]} and {shape[0]}; compare 2 arms in pairs$"
    with pytest.raises(ComparisonError, match=message):
        friedman(pd.DataFrame(np.ones(shape)))


@pytest.mark.parametrize(
    ("arms", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_critical_difference_has_the_published_q(arms, q):
    """Demšar 2006, table 5(a), q.05 of the Nemenyi test to three digits after the point."""
    assert critical_difference(arms, 14) / math.sqrt(arms * (arms + 1) / (6 * 14)) == pytest.approx(q, abs=1.1e-3)


def test_critical_difference_of_the_published_example():
    """Demšar 2006, section 3.2.2: 4 classifiers on 14 data sets, CD = 1.25 at .05 and 1.12 at .10."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(("arms", "workloads"), [(1, 5), (3, 0)])
def test_critical_difference_needs_something_to_compare(arms, workloads):
    message = f"needs at least 2 arms and 1 workload, got {arms} and {workloads}$"
    with pytest.raises(ComparisonError, match=message):
        critical_difference(arms, workloads)
