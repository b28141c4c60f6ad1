"""Performance profiles across workloads and their scores, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.profiles import (
    performance_profile,
    ratios_to_best,
    scores,
)
from tests.helpers.tables import INF, NAN

TIMES = pd.DataFrame(
    {"a": [10.0, 30.0, INF, INF], "b": [20.0, 10.0, 50.0, INF], "c": [100.0, 10.0, INF, INF]},
    index=["w1", "w2", "w3", "nobody's"],
)


def test_ratios_are_to_the_best_arm_of_each_workload():
    assert ratios_to_best(TIMES).to_numpy().tolist() == [
        [1, 2, 10],
        [3, 1, 1],
        [INF, 1, INF],
        [INF, INF, INF],
    ]


def test_ratio_where_the_goal_held_at_the_start():
    assert ratios_to_best(
        pd.DataFrame({"a": [0.0], "b": [0.0], "c": [5.0], "d": [INF]})
    ).to_numpy().tolist() == [[1, 1, INF, INF]]


def test_time_that_is_unknown_is_a_miss():
    assert ratios_to_best(pd.DataFrame({"a": [NAN, NAN], "b": [5.0, NAN]})).to_numpy().tolist() == [
        [INF, 1],
        [INF] * 2,
    ]


def test_profile_steps_where_another_workload_comes_within_reach():
    found = performance_profile(TIMES)
    assert found.to_numpy().tolist() == [
        ["a", 1.0, 0.25],
        ["a", 3.0, 0.5],
        ["b", 1.0, 0.5],
        ["b", 2.0, 0.75],
        ["c", 1.0, 0.25],
        ["c", 10.0, 0.5],
    ]
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
    times = pd.DataFrame(rng.lognormal(0, 1, (20, 4)), columns=list("abcd")).mask(
        rng.random((20, 4)) < 0.2, INF
    )
    profile = performance_profile(times)
    for arm, score in scores(times).items():
        of_arm = profile[profile["arm"] == arm]
        ends = np.append(of_arm["ratio"].to_numpy()[1:], INF).clip(max=4)
        assert score == pytest.approx(
            float(((ends - of_arm["ratio"].clip(upper=4)) * of_arm["share"]).sum() / 3)
        )


@pytest.mark.parametrize(("ratio", "score"), [(1.0, 1.0), (2.5, 0.5), (4.0, 0.0), (8.0, 0.0), (INF, 0.0)])
def test_score_of_one_workload(ratio, score):
    assert scores(pd.DataFrame({"best": [7.0], "other": [7.0 * ratio]}))["other"] == score
