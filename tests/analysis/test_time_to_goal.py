"""Goals, and when each trial reached them."""

from __future__ import annotations

import pandas as pd
import pytest

from optcompare.analysis.time_to_goal import time_to_goal
from optcompare.core.goal import Goal
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, tables, trial

GOAL = Goal("train_loss", 1.0)


def costs(*trials, goal: Goal = GOAL) -> list[list[float]]:
    """``samples, updates, seconds, resolution`` of each trial."""
    return (
        time_to_goal(*tables(*trials), goal)[["samples", "updates", "seconds", "resolution"]]
        .to_numpy()
        .tolist()
    )


def same(found, expected) -> bool:
    return [pytest.approx(row, nan_ok=True) for row in expected] == found


@pytest.mark.parametrize(
    ("text", "goal", "back"),
    [
        ("valid_loss=0.2", Goal("valid_loss", 0.2), "valid_loss=0.2"),
        (" train_loss = 1e-3 ", Goal("train_loss", 0.001), "train_loss=0.001"),
        ("train_accuracy=1.0", Goal("train_accuracy", 1.0), "train_accuracy=1"),
        ("train_loss=-3", Goal("train_loss", -3.0), "train_loss=-3"),
        ("train_loss=0.1234567891", Goal("train_loss", 0.1234567891), "train_loss=0.1234567891"),
    ],
)
def test_goal_is_read_and_written_back(text, goal, back):
    assert Goal.parse(text) == goal
    assert str(goal) == back
    assert Goal.parse(back) == goal


@pytest.mark.parametrize("text", ["valid_loss", "=0.2", "valid_loss=", "", "valid_loss<0.2"])
def test_goal_without_metric_or_value_is_refused(text):
    message = rf"^goal '{text}' must be a metric, '=' and its value, such as valid_loss=0\.2$"
    with pytest.raises(ComparisonError, match=message):
        Goal.parse(text)


def test_goal_that_is_no_number_is_refused():
    message = r"^goal 'valid_loss=low': 'low' is not a number; give one, as in valid_loss=0\.2$"
    with pytest.raises(ComparisonError, match=message):
        Goal.parse("valid_loss=low")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_goal_must_be_finite(value):
    message = rf"^goal valid_loss: its value must be a finite number, got {value}$"
    with pytest.raises(ComparisonError, match=message):
        Goal.parse(f"valid_loss={value}")


def test_goal_of_an_unknown_metric_lists_those_that_exist():
    columns = ["arm", "samples", "valid_accuracy", "valid_loss", "train_loss"]
    Goal("valid_accuracy", 0.9).check(columns)
    message = r"^goal loss=0\.2: there is no metric 'loss'; there are train_loss, valid_loss, valid_accuracy$"
    with pytest.raises(ComparisonError, match=message):
        Goal("loss", 0.2).check(columns)
    with pytest.raises(ComparisonError, match=r"there are none$"):
        Goal("loss", 0.2).check(["arm", "samples"])


def test_time_to_an_unknown_metric_is_refused():
    with pytest.raises(ComparisonError, match=r"there is no metric 'valid_loss'; there are train_loss$"):
        time_to_goal(*tables(trial("a", 0, [3, 1])), Goal("valid_loss", 1.0))


def test_costs_are_those_of_the_first_measurement_that_reached_the_goal():
    """The second update of the first trial, 20 samples after the start; the other rises above the goal
    again.
    """
    assert same(
        costs(trial("a", 0, [3, 2, 1, 0.5]), trial("b", 0, [3, 1, 2, 3])),
        [[20, 2, 1.0, 10], [10, 1, 0.5, 10]],
    )


def test_resolution_is_the_distance_from_the_measurement_before():
    assert same(costs(trial("a", 0, [3, 2, 1], samples=[0, 64, 100])), [[100, 2, 1.0, 36]])


def test_goal_that_holds_at_the_start_costs_nothing():
    assert same(costs(trial("a", 0, [1, 2])), [[0, 0, 0, 0]])


@pytest.mark.parametrize("status", ["finished", "diverged", "failed"])
def test_miss_costs_infinity_and_has_no_resolution(status):
    assert same(costs(trial("a", 0, [3, 2, 1.5], status)), [[INF, INF, INF, NAN]])


@pytest.mark.parametrize("status", ["diverged", "failed", "interrupted"])
def test_goal_that_was_reached_before_the_end_counts(status):
    assert same(costs(trial("a", 0, [3, 1, NAN], status)), [[10, 1, 0.5, 10]])


def test_interrupted_trial_that_has_not_reached_its_goal_is_no_miss():
    assert same(costs(trial("a", 0, [3, 2], "interrupted")), [[NAN] * 4])


def test_trial_that_failed_before_its_first_measurement_is_a_miss():
    assert same(
        costs(trial("a", 0, [3, 1]), trial("a", 1, [], "failed")), [[10, 1, 0.5, 10], [INF, INF, INF, NAN]]
    )
    assert same(
        costs(trial("a", 0, [], "failed"), trial("a", 1, [], "interrupted")),
        [[INF, INF, INF, NAN], [NAN] * 4],
    )


def test_loss_that_is_not_a_number_reaches_nothing():
    assert same(costs(trial("a", 0, [NAN, NAN])), [[INF, INF, INF, NAN]])


@pytest.mark.parametrize(
    ("first", "second", "falls", "expected"),
    [
        ([0.1, 0.7, 0.9], [0.2, 0.8, 0.7], False, [20, 10]),  # an accuracy rises to 0.8
        ([1.9, 1.0, 0.5], [1.5, 0.8, 0.9], True, [20, 10]),  # an error falls to it
        ([0.1, 0.7, 0.7], [0.2, 0.7, 0.7], False, [INF, INF]),
        ([0.9, 0.1, 0.1], [0.2, 0.7, 0.8], False, [0, 20]),  # the first starts beyond it
    ],
)
def test_metric_that_is_no_loss_rises_to_its_goal_unless_less_is_better(first, second, falls, expected):
    trials = (trial("a", seed, [3, 2, 1], valid_score=values) for seed, values in enumerate((first, second)))
    assert [row[0] for row in costs(*trials, goal=Goal("valid_score", 0.8, falls))] == expected


def test_goal_of_an_error_falls_whichever_data_it_is_measured_on():
    assert Goal.parse("valid_mae=2", ["mae"]).falls
    assert not Goal.parse("valid_accuracy=0.9", ["mae"]).falls
    assert Goal.parse("train_loss=2").falls


def test_loss_reaches_its_goal_from_above_even_where_it_starts_below():
    assert [row[0] for row in costs(trial("a", 0, [0.5, 2, 3]))] == [0]


def test_trials_keep_their_order_and_tables_stay_as_they_were():
    records, trials = tables(trial("z", 1, [3, 1]), trial("a", 1, [3, 2]), trial("z", 0, [3, 3]))
    before = records.copy(), trials.copy()
    found = time_to_goal(records, trials, GOAL)
    assert found.columns.tolist() == ["arm", "seed", "samples", "updates", "seconds", "resolution"]
    assert found[["arm", "seed"]].to_numpy().tolist() == [["z", 1], ["a", 1], ["z", 0]]
    pd.testing.assert_frame_equal(records, before[0])
    pd.testing.assert_frame_equal(trials, before[1])
