"""The interval of one arm: over seeds, and over tuning repeats where there are several."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optcompare.analysis.arm_intervals import arm_interval
from optcompare.analysis.pairing import crossed_interval
from optcompare.analysis.statistics import mean_interval
from optcompare.analysis.summary import summarize
from tests.helpers.tables import INF, ended, in_repeats


def values(*repeats: list[float]) -> pd.DataFrame:
    """One value for each repeat and seed."""
    rows = [("a", seed, repeat, x) for repeat, row in enumerate(repeats, 1) for seed, x in enumerate(row)]
    return pd.DataFrame(rows, columns=["arm", "seed", "repeat", "final"])


def test_without_repeats_it_is_students_t_over_seeds():
    table = values([1.0, 2.0, 6.0]).drop(columns="repeat")
    assert arm_interval(table, "final") == mean_interval([1.0, 2.0, 6.0])


def test_over_repeats_and_seeds_it_is_the_crossed_interval_in_any_order_of_rows():
    rows = [[1.0, 2.0], [3.0, 4.5], [2.0, 2.5], [5.0, 5.5], [4.0, 6.0]]
    found = arm_interval(values(*rows).sample(frac=1, random_state=0), "final")
    assert found == pytest.approx(crossed_interval(pd.DataFrame(rows).to_numpy()))
    assert found[0] == pytest.approx(3.55)
    assert found[1] < 3.55 < found[2]


def test_below_five_repeats_there_is_a_mean_alone():
    mean, low, high = arm_interval(values([1.0, 2.0], [3.0, 4.0]), "final")
    assert mean == 2.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_a_lost_trial_leaves_no_mean():
    assert all(map(math.isnan, arm_interval(values([1.0, 2.0], [3.0, INF]), "final")))


def test_a_trial_that_is_missing_leaves_the_mean_of_the_others():
    table = values(*[[1.0, 2.0]] * 5).iloc[:-1]
    mean, low, _ = arm_interval(table, "final")
    assert mean == pytest.approx(13 / 9)
    assert math.isnan(low)


def test_the_summary_has_trials_repeats_and_their_rates():
    repeats = [
        (records.assign(lr=rate), trials.assign(lr=rate))
        for rate, (records, trials) in zip(
            (0.2, 0.1, 0.4),
            [ended({"a": [1.0, 3.0]}), ended({"a": [2.0, 4.0]}), ended({"a": [3.0, 5.0]})],
            strict=True,
        )
    ]
    records, trials = in_repeats(*repeats)
    (row,) = summarize(records.assign(strategy="full", optimizer="sgd"), trials).to_dict("records")
    assert (row["seeds"], row["repeats"], row["trials"]) == (2, 3, 6)
    assert (row["lr_min"], row["lr"], row["lr_max"]) == (0.1, 0.2, 0.4)
    assert (row["final_train_loss"], row["final_train_loss_min"], row["final_train_loss_max"]) == (
        3.0,
        1.0,
        5.0,
    )
