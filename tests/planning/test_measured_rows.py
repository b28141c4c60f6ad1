"""Measuring costs a bounded part of training, counted in rows of forward passes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, compare
from optcompare.core.budget import Budget
from optcompare.planning.estimates import Estimate
from optcompare.planning.measured_rows import (
    bounded_rows,
    choose_rows,
    planned_samples,
    points_between,
)
from tests.helpers.workloads import small_workload

LARGE = {"n": 4000, "valid": (torch.randn(900, 3), torch.randn(900, 1)), "epochs": 2}


def estimates(*batch_sizes: float) -> list[Estimate]:
    """Estimates of arms that differ in the samples of an update alone."""
    return [Estimate(arm=None, updates=None, measurements=0, batch_size=b) for b in batch_sizes]


def test_points_are_doublings_of_the_first_epoch_and_then_every_epoch_without_start_and_end():
    assert points_between(8, 8, 1) == 3, "1, 2 and 4"
    assert points_between(16, 8, 1) == 4, "8 too"
    assert points_between(3, 8, 1) == 2, "1 and 2"
    assert points_between(16, 8, 0) == 0
    assert points_between(1, 8, 1) == 0


def test_the_bound_is_shared_by_all_points_and_both_sets():
    assert bounded_rows((60_000, 10_000), 10, 50_000) == 2500, "5,000 rows a point, half of each set"
    assert bounded_rows((60_000, 10_000), 2, 90_000) == 35_000, "45,000 a point, 10,000 of the smaller set"
    assert bounded_rows((60_000,), 10, 50_000) == 5000
    assert bounded_rows((60_000, 10_000), 1, 70_000) is None, "the bound is no bound"
    assert bounded_rows((60_000, 10_000), 0, 0) is None, "nothing is measured between the ends"


def test_at_least_1024_rows_are_measured_if_that_saves_half():
    assert bounded_rows((60_000, 10_000), 100, 10) == 1024
    assert bounded_rows((2048, 100), 100, 10) == 1024
    assert bounded_rows((2047, 100), 100, 10) is None
    assert bounded_rows((2047, 100), 10, 16_000) is None, "1,500 of 2,047 rows would save less than half"


def test_recalibration_doubles_the_forward_passes_and_has_rows_of_its_own():
    assert bounded_rows((60_000, 10_000), 10, 140_000, recalibration=2000) == 3000, "(14,000 - 2,000) / 2 / 2"


def test_the_training_of_the_median_arm_is_what_counts():
    settings = {"choice": None, "sizes": (60_000, 10_000), "measure": 1}
    by_updates = choose_rows(**settings, budget=Budget("updates", 4000), estimates=estimates(1, 64, 1000))
    assert by_updates is not None
    points = points_between(4_000_000, 60_000, 1)
    assert by_updates == int(0.25 * 3 * 4000 * 64 / points / 2), "256,000 samples of the arm of 64"
    by_epochs = [
        choose_rows(**settings, budget=Budget("epochs", 1), estimates=estimates(*sizes))
        for sizes in ((1,), (1, 60_000))
    ]
    assert by_epochs[0] == by_epochs[1] == int(0.25 * 3 * 60_000 / 16 / 2)


@pytest.mark.parametrize(
    ("unit", "amount", "samples"),
    [("epochs", 3, 30), ("updates", 7, 28), ("samples", 25, 25), ("seconds", 9, 10)],
)
def test_samples_are_planned_by_the_budget(unit, amount, samples):
    assert planned_samples(Budget(unit, amount), batch_size=4, n=10) == samples


def test_a_run_measures_within_the_bound_on_equal_rows_for_all_arms():
    result = compare(small_workload(**LARGE), ["mini:64", "mini:500", "full"], seeds=1)
    records, rows = result.records, result.comparison.measure_rows
    assert rows == 1024
    for _, own in records.groupby("arm"):
        assert set(own["train_rows"].iloc[1:-1]) == {1024}
        assert own["train_rows"].iloc[[0, -1]].tolist() == [4000, 4000]
    assert set(records["valid_rows"]) == {900}


def test_small_data_and_all_are_measured_whole_to_the_same_bits():
    small = compare(small_workload(n=1500, epochs=3), "mini:50", seeds=1)
    assert small.comparison.measure_rows is None
    assert set(small.records["train_rows"]) == {1500}
    assert "valid_rows" not in small.records
    sampled, whole = (
        compare(small_workload(**LARGE), "mini:64", seeds=1, measure_rows=rows) for rows in (None, "all")
    )
    assert set(whole.records["train_rows"]) == {4000}
    columns = ["train_loss", "valid_loss", "mark"]
    for end in (0, -1):
        assert sampled.records[columns].iloc[end].tolist() == whole.records[columns].iloc[end].tolist()
    assert sampled.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()


def test_a_number_of_rows_is_kept_and_one_beyond_the_data_is_all():
    sampled = compare(small_workload(**LARGE), "mini:64", seeds=1, epochs=1, measure_rows=200)
    assert sampled.records["train_rows"].tolist()[1:-1] == [200] * (len(sampled.records) - 2)
    assert sampled.records["valid_rows"].tolist()[1:-1] == [200] * (len(sampled.records) - 2)
    beyond = compare(small_workload(**LARGE), "mini:64", seeds=1, epochs=1, measure_rows=4000)
    assert beyond.comparison.measure_rows is None


def test_a_loss_that_needs_all_rows_at_once_is_measured_on_all():
    def objective(model, batch):
        x, y = batch
        return nn.functional.mse_loss(model(x), y) / y.std()

    workload = dataclasses.replace(small_workload(n=4000, epochs=2), loss=None, objective=objective)
    result = compare(workload, "mini:500", seeds=1, measure_rows=100)
    assert result.comparison.measure_rows is None
    assert any("--measure-rows 100 does not apply" in note for note in result.notes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("most", r"measure_rows takes a number of rows, or 'all', got 'most'"),
        (True, r"measure_rows takes a number of rows, or 'all', got True"),
        (1.5, r"measure_rows takes a number of rows, or 'all', got 1\.5"),
        (5, r"measure_rows must be .*32.*5"),
    ],
)
def test_other_values_are_refused_before_anything_is_trained(value, message):
    with pytest.raises(ComparisonError, match=message):
        compare(small_workload(), "full", measure_rows=value)
