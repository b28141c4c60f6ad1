"""A sample of rows between the first and the last record, and all rows where a goal may be reached."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from optcompare import Workload, accuracy, batch_size_study, compare
from optcompare.analysis.certificate import Agreement, Evidence
from optcompare.analysis.time_to_goal import time_to_goal
from optcompare.training.measurement.evaluation_rows import PartValues, _drawn
from optcompare.verification.verify import verify
from tests.helpers.workloads import Pairs

N, VALID = 3000, 1200


def data(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two overlapping classes, sorted by class, as files often are."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) * 2 // rows
    return torch.randn(rows, 4, generator=generator) + 1.2 * y[:, None], y


def classes(**changes) -> Workload:
    """Logistic regression on them."""
    settings = {
        "model": lambda: nn.Linear(4, 2),
        "train": data(N, 0),
        "valid": data(VALID, 1),
        "loss": nn.functional.cross_entropy,
        "metrics": {"accuracy": accuracy},
        "lr": 0.02,
        "epochs": 3,
    }
    return Workload(**{**settings, **changes})


def sampled(workload: Workload | None = None, rows: int = 400, **settings):
    """A comparison on a sample, with the loop unless another trainer is wanted."""
    question = {"strategies": "mini:50", "seeds": 2, "trainer": "loop", **settings}
    return compare(workload or classes(), measure_rows=rows, **question)


def test_the_standard_error_is_that_of_the_mean_of_a_sample_without_replacement():
    parts = PartValues("valid_loss", size=100)
    for value in (1.0, 2.0, 3.0, 6.0):
        parts.add(value, weight=5.0, rows=5)
    # s² of the four values is 14/3; with 20 of 100 rows the variance of the mean is (1 - 0.2)·(14/3)/4
    assert parts.standard_error() == pytest.approx(math.sqrt(0.8 * 14 / 3 / 4), rel=1e-12)


def test_one_part_and_parts_that_fail_give_no_standard_error():
    parts = PartValues("valid_auc", size=100)
    parts.add(0.5, weight=10.0, rows=10)
    assert math.isnan(parts.standard_error())
    parts.add(math.nan, weight=10.0, rows=10)
    assert math.isnan(parts.standard_error())


def test_the_standard_error_covers_the_difference_to_all_rows():
    """Of 300 samples, about 99.7% lie within three standard errors; with 16 parts t makes it 99.1%."""
    values = np.random.default_rng(0).exponential(size=5000)
    inside = 0
    for seed in range(300):
        chosen = np.random.default_rng([1, seed]).choice(values, 640, replace=False)
        parts = PartValues("train_loss", size=5000)
        for part in np.split(chosen, 16):
            parts.add(float(part.mean()), weight=40.0, rows=40)
        inside += abs(chosen.mean() - values.mean()) <= 3 * parts.standard_error()
    assert inside >= 292


def test_a_goal_is_reached_on_all_rows_alone():
    for goal in ("valid_loss=0.45", "valid_accuracy=0.78", "train_loss=0.42"):
        result = sampled(goal=goal, measure=8)
        name, value = goal.split("=")
        rows, whole = (f"{name.partition('_')[0]}_rows", N if name.startswith("train") else VALID)
        falls = name.endswith("loss")
        for _, records in result.records.groupby("seed"):
            values = records[name] if falls else -records[name]
            at = values <= (float(value) if falls else -float(value))
            assert at.any(), goal
            first = records[at].iloc[0]
            assert first[rows] == whole
            assert first["update"] not in (0, records["update"].max()), "between the ends"
            assert set(records[rows].iloc[1:4]) == {400}, "far from the goal the sample is enough"


def test_after_the_goal_the_sample_is_enough_again():
    records = sampled(goal="valid_loss=0.6", measure=10, seeds=1).records
    reached = records[records["valid_loss"] <= 0.6].iloc[0]
    later = records[(records["update"] > reached["update"])].iloc[:-1]
    assert len(later) > 5
    assert set(later["valid_rows"]) == {400}


def test_the_update_that_reaches_the_goal_is_that_of_all_rows_at_every_point():
    """Where a sample could decide otherwise, all rows decide: the goal lies at the value of a point."""
    whole = sampled(rows="all", measure=8, seeds=1)
    for place in (8, 10, 13, 20):
        value = float(whole.records["valid_loss"].iloc[place])
        goal = f"valid_loss={value!r}"
        on_sample, on_all = (sampled(rows=rows, measure=8, seeds=1, goal=goal) for rows in (400, "all"))
        times = [
            time_to_goal(result.records, result.trials, result.goal)["updates"].tolist()
            for result in (on_sample, on_all)
        ]
        assert times[0] == times[1] != [math.inf]


def test_trials_that_stop_at_the_goal_stop_at_the_update_of_all_rows():
    ends = [
        batch_size_study(
            classes(), "valid_loss=0.5", batch_sizes=[50], tune=2, seeds=3, max_epochs=3, measure_rows=rows
        ).trials
        for rows in (400, "all")
    ]
    columns = ["phase", "lr", "seed", "status", "updates"]
    pd.testing.assert_frame_equal(ends[0][columns], ends[1][columns])
    assert (ends[0]["goal_updates"] - ends[1]["goal_updates"]).abs().max() <= 2


def test_lanes_measure_the_same_rows():
    loop, lanes = (
        sampled(trainer=trainer, seeds=4, goal="valid_accuracy=0.9", measure=4).records
        for trainer in ("loop", "lanes")
    )
    assert set(lanes["clock"]) == {"estimated"}
    columns = ["seed", "update", "train_rows", "valid_rows"]
    ordered = [table.sort_values(["seed", "update"], ignore_index=True) for table in (loop, lanes)]
    pd.testing.assert_frame_equal(ordered[0][columns], ordered[1][columns])
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        np.testing.assert_allclose(ordered[0][name], ordered[1][name], rtol=2e-5)


def test_a_dataset_is_measured_on_the_same_rows_as_tensors():
    tensors = sampled(seeds=1).records
    dataset = sampled(classes(train=Pairs(*data(N, 0)), valid=Pairs(*data(VALID, 1))), seeds=1).records
    np.testing.assert_allclose(dataset["train_loss"], tensors["train_loss"], rtol=1e-6)
    assert dataset["train_rows"].tolist() == tensors["train_rows"].tolist()


def test_a_metric_of_all_rows_at_once_can_be_the_goal():
    def spread(output, y):
        """The standard deviation of the scores, a number of all rows at once."""
        return float(output[:, 0].std())

    result = sampled(classes(metrics={"spread": spread}), goal="valid_spread=0.8", measure=4, seeds=1)
    records = result.records
    first = records[records["valid_spread"] >= 0.8].iloc[0]
    assert first["valid_rows"] == VALID


def test_a_trial_that_diverges_has_a_last_record_of_all_rows():
    result = sampled(regression(), lr=1e30, seeds=1)
    assert result.trials["status"].tolist() == ["diverged"]
    assert result.records["train_rows"].iloc[-1] == N
    assert not math.isfinite(result.records["train_loss"].iloc[-1])


def test_all_rows_find_a_divergence_that_the_sample_missed():
    """One row of the data has an infinite loss once the weights have moved."""
    workload = regression()
    seen = set(_drawn(N, 400, 0, 0).tolist())
    workload.train[0][next(row for row in range(N) if row not in seen)] = 1e38
    result = sampled(workload, updates=2, seeds=1)
    assert result.trials["status"].tolist() == ["diverged"]
    assert result.trials["reason"].tolist() == ["train_loss was inf at update 2"]
    assert result.records["train_loss"].tolist()[1] < 10, "the sample had missed it"


@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_a_sample_without_a_labelled_row_is_no_divergence(trainer):
    """Few rows have a label, and none of the sample: all rows are measured in its place."""
    x, y = data(N, 0)
    seen = set(_drawn(N, 64, 0, 0).tolist())
    labelled = [row for row in range(N) if row not in seen][::30]
    few = torch.full_like(y, -100)
    few[labelled] = y[labelled]
    result = sampled(classes(train=(x, few)), rows=64, strategies="mini:1500", seeds=2, trainer=trainer)
    assert set(result.trials["status"]) == {"finished"}
    assert set(result.trials["trainer"]) == {trainer}
    assert np.isfinite(result.records["train_loss"]).all()
    assert set(result.records["train_rows"]) == {N}
    assert set(result.records["valid_rows"].iloc[1:3]) == {64}


def regression() -> Workload:
    """Linear regression from weights of zero, with which each row has a finite loss."""

    def model():
        model = nn.Linear(4, 1)
        nn.init.zeros_(model.weight)
        return model

    x, y = data(N, 0)
    return Workload(model=model, train=(x, y[:, None].float()), loss=nn.functional.mse_loss, lr=0.01)


def test_a_prolonged_run_has_the_records_of_one_that_was_never_stopped(tmp_path):
    question = {
        "strategies": "mini:50",
        "seeds": 2,
        "trainer": "loop",
        "measure_rows": 400,
        "goal": "valid_loss=0.42",
    }
    whole = compare(classes(), **question, epochs=4)
    compare(classes(), **question, epochs=2, out=tmp_path / "run")
    resumed = compare(classes(), **question, epochs=4, resume=tmp_path / "run")
    columns = [name for name in whole.records if name not in ("seconds", "clock")]
    order = ["arm", "seed", "update"]
    pd.testing.assert_frame_equal(
        resumed.records.sort_values(order, ignore_index=True)[columns],
        whole.records.sort_values(order, ignore_index=True)[columns],
    )
    assert resumed.certificate == whole.certificate


def test_a_resumed_run_keeps_the_rows_of_its_beginning(tmp_path):
    x, y = torch.randn(6000, 3), torch.randn(6000, 1)
    workload = Workload(
        model=lambda: nn.Linear(3, 1), train=(x, y), loss=nn.functional.mse_loss, lr=0.01, batch_size=500
    )
    first = compare(workload, "mini", seeds=1, epochs=1, out=tmp_path / "run", trainer="loop")
    resumed = compare(workload, "mini", seeds=1, epochs=30, resume=tmp_path / "run", trainer="loop")
    assert first.comparison.measure_rows == resumed.comparison.measure_rows == 1024


def test_the_certificate_says_so_and_finds_a_last_record_of_a_sample(tmp_path):
    result = sampled(out=tmp_path / "run")
    (check,) = [each for each in result.certificate if each.name == "equal measurements"]
    assert check.held
    assert check.detail == (
        "all arms on a sample of 400 of 3,000 training and 400 of 1,200 validation rows, the same for each; "
        "first and last values on all rows"
    )
    assert not [each for each in sampled(rows="all").certificate if each.name == "equal measurements"]
    (found,) = [each for each in verify(tmp_path / "run", trust=True) if each.name == "certificate"]
    assert found.held
    evidence, trial = Evidence(result.comparison, []), result.comparison.trials()[1]
    evidence.first_record(trial, {"train_loss": 1.0, "train_rows": N, "valid_rows": VALID})
    evidence.last_record(trial, {"train_loss": 0.5, "train_rows": N, "valid_rows": 400})
    checks = {check.name: check for check in evidence.certificate(Agreement(0, 0.0, 0.0))}
    assert not checks["equal measurements"].held
    assert checks["equal measurements"].detail == "differs for seed 1"
