"""Records become numbers that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.statistics import (
    compared_column,
    final_columns,
    final_values,
    mean_interval,
    measured_columns,
    sample_sentence,
    verdict_column,
)
from optcompare.analysis.summary import summarize

INF, NAN = math.inf, math.nan
T_1, T_2 = 12.7062047362, 4.3026527297  # the 97.5% points of Student's t with 1 and 2 degrees of freedom


def run(*trials: tuple[Any, ...], **constant: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials of ``(arm, seed, status, train losses, further columns)``, an update between
    measurements.
    """
    records, outcomes = [], []
    for arm, seed, status, losses, *more in trials:
        columns = {"train_loss": losses, **(more[0] if more else {})}
        for update, values in enumerate(zip(*columns.values(), strict=True)):
            row = {"arm": arm, "strategy": arm, "optimizer": "sgd", "lr": 0.1, "seed": seed, "update": update}
            records.append(row | dict(zip(columns, map(float, values), strict=True)))
        made = max(0, len(losses) - 1)
        outcomes.append(
            {
                "arm": arm,
                "seed": seed,
                "status": status,
                "updates": made,
                "samples": 6 * made,
                "train_seconds": 0.5 * made,
            }
        )
    return pd.DataFrame(records), pd.DataFrame(outcomes)


def row_of(records: pd.DataFrame, trials: pd.DataFrame, arm: str = "a") -> dict[str, Any]:
    return summarize(records, trials).set_index("arm").loc[arm].to_dict()


def same(found: Any, expected: Any) -> bool:
    return found == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        # s² = ((1-2)² + (2-2)² + (3-2)²) / (3-1) = 1, so t·s/√n = 4.3026527297 · 1 / √3 = 2.4841377118
        ([1.0, 2.0, 3.0], 2.0, 2.4841377118),
        # s² = ((0-1)² + (2-1)²) / (2-1) = 2, so t·s/√n = 12.7062047362 · √2 / √2
        ([0.0, 2.0], 1.0, T_1),
        # no spread, no width
        ([0.5, 0.5, 0.5], 0.5, 0.0),
    ],
)
def test_interval_is_students_around_the_mean(values, mean, half):
    assert same(mean_interval(values), (mean, mean - half, mean + half))


def test_interval_of_ten_values_uses_nine_degrees_of_freedom():
    """0…9: mean 4.5, s² = 82.5 / 9; t(9, .975) = 2.2621571628, so ± 2.2621571628 · √(82.5 / 9 / 10)."""
    half = 2.2621571628 * math.sqrt(82.5 / 9 / 10)
    assert same(mean_interval(np.arange(10)), (4.5, 4.5 - half, 4.5 + half))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], (3.0, NAN, NAN)),
        ([], (NAN, NAN, NAN)),
        ([1.0, INF], (NAN, NAN, NAN)),
        ([1.0, NAN], (NAN, NAN, NAN)),
        ([INF], (NAN, NAN, NAN)),
    ],
)
def test_interval_is_left_out_where_there_is_none(values, expected):
    assert same(mean_interval(values), expected)


def test_measured_columns_are_losses_first_and_training_before_validation():
    names = [
        "arm",
        "seconds",
        "valid_accuracy",
        "train_accuracy",
        "valid_loss",
        "train_seconds",
        "train_loss",
        "lr",
    ]
    assert measured_columns(pd.DataFrame(columns=names)) == [
        "train_loss",
        "valid_loss",
        "train_accuracy",
        "valid_accuracy",
    ]
    assert measured_columns(pd.DataFrame()) == []


def test_final_is_the_last_measurement_and_best_the_lowest():
    records, trials = run(("a", 0, "finished", [4, 1, 3]), ("a", 1, "finished", [5, 2, 2]))
    found = final_values(records, trials, "train_loss")
    assert found[["seed", "final", "best"]].to_numpy().tolist() == [[0, 3, 1], [1, 2, 2]]


def test_best_of_a_metric_is_its_final_value_for_no_one_says_which_way_is_better():
    records, trials = run(("a", 0, "finished", [3, 2, 1], {"valid_accuracy": [0.1, 0.9, 0.8]}))
    found = final_values(records, trials, "valid_accuracy")
    assert found[["final", "best"]].to_numpy().tolist() == [[0.8, 0.8]]


@pytest.mark.parametrize("status", ["diverged", "failed"])
@pytest.mark.parametrize(("column", "worst"), [("train_loss", INF), ("valid_accuracy", NAN)])
def test_lost_trial_is_worst_whatever_it_measured_before(status, column, worst):
    records, trials = run(
        ("a", 0, "finished", [3, 1], {"valid_accuracy": [0.1, 0.9]}),
        ("a", 1, status, [3, 0.5], {"valid_accuracy": [0.1, 1.0]}),
    )
    lost = final_values(records, trials, column).set_index("seed").loc[1]
    assert same(lost[["final", "best"]].tolist(), [worst, worst])


def test_trial_that_failed_before_its_first_measurement_still_counts():
    records, trials = run(("a", 0, "finished", [3, 1]), ("a", 1, "failed", []))
    assert final_values(records, trials, "train_loss")["final"].tolist() == [1, INF]


@pytest.mark.parametrize("column", ["valid_loss", "valid_accuracy"])
def test_final_value_that_is_not_a_number_is_not_replaced_by_an_earlier_one(column):
    records, trials = run(("a", 0, "finished", [3, 2, 1], {column: [0.5, 0.4, NAN]}))
    assert math.isnan(final_values(records, trials, column)["final"].item())


def test_summary_has_a_row_an_arm_in_the_order_of_the_comparison():
    trials = [(arm, seed, "finished", [2, 1]) for seed in (0, 1) for arm in ("z", "a", "m")]
    assert summarize(*run(*trials))["arm"].tolist() == ["z", "a", "m"]


def test_summary_of_finished_seeds():
    """Finals 1, 2, 3: 2 ± 4.3026527297 / √3.

    Bests 1, 1, 1. Updates 2, 1, 1 of 6 samples and half a second each.
    """
    found = row_of(
        *run(("a", 0, "finished", [9, 4, 1]), ("a", 1, "finished", [1, 2]), ("a", 2, "finished", [1, 3])),
    )
    half = T_2 / math.sqrt(3)
    expected = {
        "lr": 0.1,
        "seeds": 3,
        "diverged": 0,
        "failed": 0,
        "interrupted": 0,
        "updates": 4 / 3,
        "samples": 8.0,
        "train_seconds": 2 / 3,
        "final_train_loss": 2.0,
        "final_train_loss_low": 2 - half,
        "final_train_loss_high": 2 + half,
        "final_train_loss_median": 2.0,
        "final_train_loss_min": 1.0,
        "final_train_loss_max": 3.0,
        "best_train_loss": 1.0,
        "best_train_loss_low": 1.0,
        "best_train_loss_high": 1.0,
        "best_train_loss_median": 1.0,
        "best_train_loss_min": 1.0,
        "best_train_loss_max": 1.0,
    }
    assert (found.pop("strategy"), found.pop("optimizer")) == ("a", "sgd")
    assert same(found, expected)


@pytest.mark.parametrize(
    ("lost", "median"),
    [
        (1, 3.0),  # of 2, 3, ∞
        (2, INF),  # of 2, ∞, ∞
        (3, INF),
    ],
)
def test_lost_seeds_leave_no_mean_and_count_as_infinite_in_the_median(lost, median):
    losses = {0: [9, 2], 1: [9, 3], 2: [9, 4]}
    statuses = ["finished"] * (3 - lost) + ["diverged"] * lost
    found = row_of(*run(*(("a", seed, statuses[seed], losses[seed]) for seed in losses)))
    assert found["diverged"] == lost
    assert found["seeds"] == 3
    for kind in ("final", "best"):
        assert same(found[f"{kind}_train_loss_median"], median)
        assert all(math.isnan(found[f"{kind}_train_loss{end}"]) for end in ("", "_low", "_high"))


def test_diverged_and_failed_seeds_are_counted_apart():
    found = row_of(*run(("a", 0, "diverged", [1, NAN]), ("a", 1, "failed", [1]), ("a", 2, "failed", [])))
    assert (found["diverged"], found["failed"], found["seeds"]) == (1, 2, 3)


def test_metric_of_a_lost_seed_leaves_neither_mean_nor_median():
    found = row_of(
        *run(
            ("a", 0, "finished", [2, 1], {"valid_accuracy": [0.5, 0.9]}),
            ("a", 1, "diverged", [2, NAN], {"valid_accuracy": [0.5, 0.1]}),
        )
    )
    assert math.isnan(found["final_valid_accuracy"])
    assert math.isnan(found["final_valid_accuracy_median"])
    assert "best_valid_accuracy" not in found


def test_single_seed_has_a_mean_without_an_interval():
    found = row_of(*run(("a", 0, "finished", [3, 1])))
    assert (found["final_train_loss"], found["final_train_loss_median"]) == (1.0, 1.0)
    assert math.isnan(found["final_train_loss_low"])
    assert math.isnan(found["final_train_loss_high"])


def test_median_of_an_even_number_of_seeds_lies_between_the_middle_two():
    found = row_of(*run(*(("a", seed, "finished", [9, loss]) for seed, loss in enumerate([1, 2, 4, 9]))))
    assert found["final_train_loss_median"] == 3.0


def test_summary_does_not_need_a_single_record():
    _, trials = run(("a", 0, "failed", []), ("b", 0, "failed", []))
    found = summarize(pd.DataFrame([]), trials)
    assert found[["arm", "failed"]].to_numpy().tolist() == [["a", 1], ["b", 1]]


def test_what_is_summarised_is_left_as_it_was():
    records, trials = run(("a", 0, "finished", [3, 1]), ("a", 1, "diverged", [3, NAN]))
    before = records.copy(), trials.copy()
    summarize(records, trials)
    pd.testing.assert_frame_equal(records, before[0])
    pd.testing.assert_frame_equal(trials, before[1])


@pytest.mark.parametrize(
    ("columns", "compared", "judged"),
    [
        (["train_loss"], "train_loss", "train_loss"),
        (["train_loss", "valid_loss", "valid_accuracy"], "valid_loss", "valid_loss"),
        (["train_loss", "valid_loss", "test_loss", "test_accuracy"], "valid_loss", "test_loss"),
        (["train_loss", "test_loss"], "train_loss", "test_loss"),
    ],
)
def test_what_is_selected_by_is_never_the_test_set_and_what_is_judged_by_is_where_there_is_one(
    columns, compared, judged
):
    records = pd.DataFrame(columns=columns)
    assert (compared_column(records), verdict_column(records)) == (compared, judged)
    assert measured_columns(records) == [name for name in columns if not name.startswith("test_")]
    assert final_columns(records) == [name for name in columns if name.startswith("test_")]


def test_the_final_value_on_a_test_set_is_the_one_that_there_is():
    values = {"test_loss": [NAN, NAN, 3.0]}
    records, trials = run(
        ("a", 0, "finished", [9, 8, 7], values),
        ("a", 1, "finished", [9, 8, 7], {"test_loss": [NAN, NAN, 5.0]}),
        ("b", 0, "diverged", [9, INF], {"test_loss": [NAN, NAN]}),
        ("b", 1, "interrupted", [9, 8], {"test_loss": [NAN, NAN]}),
    )
    assert final_values(records, trials, "test_loss")["final"].tolist() == [3, 5, INF]
    summary = summarize(records, trials).set_index("arm")
    assert summary.at["a", "final_test_loss"] == 4
    assert summary.at["a", "final_test_loss_low"] == pytest.approx(4 - T_1)
    assert summary.at["b", "final_test_loss_median"] == INF
    assert "best_test_loss" not in summary


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([4000, 1024, 4000], "Between first and last value: on a sample of 1,024 of 4,000 training rows."),
        ([4000, 4000], ""),
        ([math.nan, 1024, 1024, math.nan], ""),
        ([math.nan, math.nan], ""),
        ([], ""),
    ],
)
def test_sample_is_named_where_rows_differ_and_records_of_earlier_versions_have_none(rows, sentence):
    assert sample_sentence(pd.DataFrame({"train_rows": np.array(rows, float)})) == sentence
