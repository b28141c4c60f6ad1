"""The summary as text: every cell can be read off the numbers by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optcompare.analysis.check import Check
from optcompare.analysis.paired import pairs
from optcompare.analysis.paired_tests import PairedTests
from optcompare.analysis.summary import short_summary
from optcompare.core.formatting import duration, number
from optcompare.core.goal import Goal
from optcompare.report.table import pair_cells, short_cells, summary_cells
from optcompare.report.table_text import aligned, certificate_lines
from tests.helpers.tables import tables, trial

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.123456, "0.123"),
        (0.9996, "1"),
        (12.34, "12.3"),
        (123.6, "124"),
        (-0.5, "-0.5"),
        (0.00012345, "0.000123"),
        (1.5e-7, "1.5e-07"),
        (INF, "∞"),
        (-INF, "-∞"),
        (NAN, "–"),
    ],
)
def test_number_has_three_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0123, "0.012 s"),
        (0.8, "0.8 s"),
        (3.14159, "3.1 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_duration_has_the_units_that_matter(seconds, text):
    assert duration(seconds) == text


def test_columns_are_aligned_left_then_right():
    assert aligned(["arm", "loss", "n"], [["full", "0.5", "1,000"], ["mini:256", "12.25", "3"]]) == [
        "arm        loss      n",
        "full        0.5  1,000",
        "mini:256  12.25      3",
    ]


def test_table_without_rows_is_its_header():
    assert aligned(["arm", "loss"], []) == ["arm  loss"]


def summary(**changes: object) -> pd.DataFrame:
    loss = {"": 0.5, "_low": 0.25, "_high": 0.75, "_median": 0.4}
    row = {
        "arm": "full",
        "strategy": "full",
        "optimizer": "sgd",
        "lr": 0.1,
        "seeds": 3,
        "diverged": 0,
        "failed": 0,
    }
    row |= {"interrupted": 0, "updates": 1200.0, "samples": 7200.4, "train_seconds": 0.8}
    row |= {f"final_train_loss{end}": value for end, value in loss.items()}
    return pd.DataFrame([row | changes])


def cells(**changes: object) -> dict[str, str]:
    header, (row,) = summary_cells(summary(**changes))
    return dict(zip(header, row, strict=True))


def test_row_of_an_arm():
    assert cells() == {
        "arm": "full",
        "final train loss": "0.5 ± 0.25",
        "updates": "1,200",
        "samples": "7,200",
        "train time": "0.8 s",
        "diverged": "0",
        "failed": "0",
    }


def test_a_metric_is_shown_on_validation_and_test_data_and_on_training_data_where_there_is_neither():
    ends = ("", "_low", "_high", "_median")

    def shown(*names: str) -> list[str]:
        columns = {f"final_{name}{end}": 0.5 for name in names for end in ends}
        return [title for title in cells(**columns) if title.startswith("final") and "accuracy" in title]

    assert shown("train_accuracy") == ["final train accuracy"]
    assert shown("train_accuracy", "test_accuracy") == ["final test accuracy"]
    names = ("train_accuracy", "valid_accuracy", "test_accuracy")
    assert shown(*names) == ["final valid accuracy", "final test accuracy"]


@pytest.mark.parametrize(
    ("mean", "low", "median", "text"),
    [
        (0.5, 0.25, 0.4, "0.5 ± 0.25"),
        (0.5, 0.5, 0.5, "0.5 ± 0"),
        (0.5, NAN, 0.5, "0.5"),
        (NAN, NAN, 0.4, "median 0.4"),
        (NAN, NAN, INF, "median ∞"),
        (NAN, NAN, NAN, "–"),
    ],
)
def test_mean_has_its_interval_and_the_median_stands_in_where_a_seed_was_lost(mean, low, median, text):
    changes = {"": mean, "_low": low, "_median": median}
    row = cells(**{f"final_train_loss{end}": value for end, value in changes.items()})
    assert row["final train loss"] == text


def test_what_is_not_known_is_a_dash():
    row = cells(updates=NAN, train_seconds=NAN)
    assert (row["updates"], row["train time"]) == ("–", "–")


def test_certificate_says_what_held_and_what_did_not():
    checks = [
        Check("equal budgets", True, "3 epochs"),
        Check("identical sample order", False, "differs for seed 1"),
    ]
    assert certificate_lines(checks) == [
        "✓ equal budgets: 3 epochs",
        "✗ identical sample order: differs for seed 1",
    ]


def test_ratio_with_a_miss_is_of_the_seeds_on_which_both_reached_the_goal_and_has_no_interval():
    made = [trial("full", seed, [9, 1], samples=[0, 100 + seed]) for seed in range(4)]
    made += [trial("mini", seed, [9, 1 if seed else 5], samples=[0, 50 + seed]) for seed in range(4)]
    header, (row,) = pair_cells(
        pairs(*tables(*made), PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))), "train_loss"
    )
    cells = dict(zip(header, row, strict=False))
    assert cells["samples to the goal, ratio (95%)"] == "0.51 among the 3 seeds on which both did"
    assert (cells["fewer"], cells["more"]) == ("3", "1")


def test_a_seed_that_starts_at_the_goal_is_left_out_of_the_ratio_and_not_called_a_miss():
    made = [trial("full", seed, [9 if seed else 1, 1], samples=[0, 100]) for seed in range(4)]
    made += [trial("mini", seed, [9 if seed else 1, 1], samples=[0, 50]) for seed in range(4)]
    header, (row,) = pair_cells(
        pairs(*tables(*made), PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))), "train_loss"
    )
    cells = dict(zip(header, row, strict=False))
    assert cells["samples to the goal, ratio (95%)"] == "0.5 among the 3 seeds that do not start at it"


def short(**changes: object) -> dict[str, str]:
    header, (row,) = short_cells(summary(**changes), ["train_loss", "train_loss"])
    return dict(zip(header, row, strict=True))


def test_the_short_row_has_what_the_verdict_speaks_of_and_no_zeros():
    others = {f"final_valid_accuracy{end}": 0.5 for end in ("", "_low", "_high", "_median")}
    assert short(**others) == {
        "arm": "full",
        "final train loss": "0.5 ± 0.25",
        "updates": "1,200",
        "train time": "0.8 s",
    }


def test_the_short_row_says_what_went_wrong():
    """Of 5 trials one diverged, which is a miss as well, one failed, one was interrupted, and 2 reached the
    goal.
    """
    row = short(seeds=5, diverged=1, failed=1, interrupted=1, goal_reached=2)
    assert list(row) == [
        "arm",
        "final train loss",
        "reached goal",
        "updates",
        "train time",
        "diverged",
        "failed",
        "interrupted",
        "missed",
    ]
    assert [row[name] for name in ("reached goal", "diverged", "failed", "interrupted", "missed")] == [
        "2 of 5",
        "1",
        "1",
        "1",
        "2",
    ]
    assert "missed" not in short(seeds=5, goal_reached=5)
    assert short(seeds=5, goal_reached=5)["reached goal"] == "5 of 5"


def test_columns_that_are_empty_or_zero_for_all_arms_are_left_out_of_the_short_summary():
    table = pd.concat([summary(), summary(arm="mini", diverged=2)])
    assert [*short_summary(table, ["train_loss"])] == [
        "arm",
        "final_train_loss",
        "final_train_loss_low",
        "final_train_loss_high",
        "updates",
        "train_seconds",
        "diverged",
    ]
    ends = {f"final_train_loss{end}": NAN for end in ("", "_low", "_high")}
    lost = summary(**ends, final_train_loss_median=INF, diverged=2)
    assert [*short_summary(lost, ["train_loss"])] == [
        "arm",
        "final_train_loss_median",
        "updates",
        "train_seconds",
        "diverged",
    ]
    assert short_summary(lost, ["train_loss"])["final_train_loss_median"].tolist() == [INF]
