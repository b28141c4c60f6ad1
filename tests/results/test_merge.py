"""Runs of one question become one result; runs of different questions are refused with the reason."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from optcompare import ComparisonError, compare
from optcompare.report.loading import load_all
from tests.helpers.workloads import held_out, small_workload, wandering


@pytest.mark.slow
def test_runs_of_one_question_are_merged(tmp_path):
    compare("line", ["full", "mini"], seeds=2, epochs=3, out=tmp_path / "a")
    compare("line", ["full", "single"], seeds=[1, 2, 3], epochs=3, out=tmp_path / "b")
    (merged,) = load_all([tmp_path / "a", tmp_path / "b"])
    assert [arm.label for arm in merged.comparison.arms] == ["full", "mini:2", "single"]
    assert merged.comparison.seeds == (0, 1, 2, 3)
    assert merged.trials.groupby("arm")["seed"].nunique().to_dict() == {"full": 4, "mini:2": 2, "single": 3}
    assert not merged.trials.duplicated(["arm", "seed"]).any()
    assert not merged.records.duplicated(["arm", "seed", "update"]).any()


OTHER = {
    "another budget": ({"epochs": 4}, "budget is 3 epochs in one and 4 epochs in the other"),
    "another dtype": ({"dtype": "float64"}, "dtype is float32 in one and float64 in the other"),
    "another learning rate": ({"lr": 0.005}, "the arm full has other settings"),
    "tuned": ({"tune": 2, "tune_seeds": 1}, "an arm was tuned with 0 trials in one and 2 in the other"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHER)
def test_runs_of_different_questions_are_refused_with_the_reason(tmp_path, case):
    changes, reason = OTHER[case]
    compare("line", "full", seeds=1, epochs=3, out=tmp_path / "a")
    compare("line", "full", **{"seeds": 1, "epochs": 3, "out": tmp_path / "b", **changes})
    with pytest.raises(ComparisonError, match=f"did not ask the same question: {reason}"):
        load_all([tmp_path / "a", tmp_path / "b"])


CHOSEN = {
    "rows measured": ({"measure_rows": 40}, {}, r"--measure-rows is 40 in one and all in the other.*same"),
    "rows in a pass": (
        {"eval_chunk": 64},
        {"eval_chunk": 100},
        r"--eval-chunk is 64 in one and 100 in the other, .* from the model .*the same",
    ),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_runs_that_measure_otherwise_are_refused_with_the_option_that_makes_them_alike(tmp_path, case):
    one, other, message = CHOSEN[case]
    workload = small_workload(n=100)
    compare(workload, "full", seeds=1, epochs=1, **one, out=tmp_path / "a")
    compare(workload, "mini:50", seeds=1, epochs=1, **other, out=tmp_path / "b")
    with pytest.raises(ComparisonError, match=message):
        load_all([tmp_path / "a", tmp_path / "b"])


@pytest.mark.slow
def test_runs_whose_dropout_masks_come_from_elsewhere_are_refused(tmp_path):
    for trainer in ("loop", "lanes"):
        compare(
            small_workload(model=wandering),
            "full",
            seeds=1,
            epochs=1,
            trainer=trainer,
            out=tmp_path / trainer,
        )
    with pytest.raises(ComparisonError, match="masks is generator in one and counter in the other"):
        load_all([tmp_path / "loop", tmp_path / "lanes"])


@pytest.mark.slow
def test_runs_with_and_without_a_test_set_are_refused(tmp_path):
    compare(held_out(), "full", seeds=1, epochs=1, out=tmp_path / "a")
    compare(held_out(test=None), "mini:6", seeds=1, epochs=1, out=tmp_path / "b")
    with pytest.raises(ComparisonError, match="one was measured on a test set and the other was not"):
        load_all([tmp_path / "a", tmp_path / "b"])


def test_runs_that_started_from_other_weights_are_refused(tmp_path):
    compare("line", "full", seeds=2, epochs=3, out=tmp_path / "a")
    compare("line", "mini", seeds=2, epochs=3, out=tmp_path / "b")
    trials = pd.read_parquet(tmp_path / "b" / "trials.parquet")
    trials["weights_sha256"] = "0" * 64
    trials.to_parquet(tmp_path / "b" / "trials.parquet", index=False)
    with pytest.raises(ComparisonError, match=r"seed 0 has another initial weights \(their SHA-256 differ\)"):
        load_all([tmp_path / "a", tmp_path / "b"])


@pytest.mark.slow
def test_an_order_of_samples_that_differs_is_refused(tmp_path):
    compare("line", "full", seeds=1, epochs=3, out=tmp_path / "a", order=lambda seed, epoch, n: range(n))
    compare(
        "line", "mini", seeds=1, epochs=3, out=tmp_path / "b", order=lambda seed, epoch, n: range(n)[::-1]
    )
    with pytest.raises(ComparisonError, match="seed 0 has another order of samples"):
        load_all([tmp_path / "a", tmp_path / "b"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other", "labels", "shared", "note"),
    [
        (
            ("full,mini", "sgd"),
            ("full,mini:2@sgd:lr=0.002", "sgd"),
            ["full", "mini:2", "mini:2@sgd:lr=0.002"],
            "full",
            "full: full@sgd in .*b, whose settings are the same",
        ),
        (
            ("full", "sgd"),
            ("full", "adam,sgd"),
            ["full", "full@adam"],
            "full",
            "full: full@sgd in .*b, whose settings are the same",
        ),
        (
            ("full", "sgd,adam"),
            ("full,mini", "adam"),
            ["full@sgd", "full@adam", "mini:2"],
            "full@adam",
            "full@adam: full in .*b, whose settings are the same",
        ),
    ],
)
def test_arms_of_equal_settings_are_one_whatever_their_labels(tmp_path, one, other, labels, shared, note):
    settings = {"epochs": 3, "device": "cpu"}
    compare("line", *one, seeds=[0, 1], out=tmp_path / "a", **settings)
    compare("line", *other, seeds=[1, 2], out=tmp_path / "b", **settings)
    (merged,) = load_all([tmp_path / "a", tmp_path / "b"])
    assert [arm.label for arm in merged.comparison.arms] == labels
    assert [*merged.summary()["arm"]] == labels
    assert set(merged.trials["arm"]) == set(merged.records["arm"]) == set(labels)
    assert merged.trials["arm"].value_counts()[shared] == 3
    assert not merged.trials.duplicated(["arm", "seed"]).any()
    assert any(re.fullmatch(note, line) for line in merged.notes)


@pytest.mark.slow
def test_a_label_that_means_two_arms_is_refused(tmp_path):
    settings = {"seeds": 1, "epochs": 3, "device": "cpu"}
    compare("line", "full", lr=0.01, out=tmp_path / "a", **settings)
    compare("line", "full", lr=0.02, out=tmp_path / "b", **settings)
    with pytest.raises(
        ComparisonError, match="did not ask the same question: the arm full has other settings"
    ):
        load_all([tmp_path / "a", tmp_path / "b"])
    compare("line", "full@adam,full@sgd", out=tmp_path / "c", **settings)
    other = tmp_path / "d"
    compare("line", "full@adam", out=other, **settings)
    path = other / "comparison.json"  # as if the labels had been given the other way round
    values = json.loads(path.read_text())
    values["comparison"]["arms"][0]["label"] = values["comparison"]["baseline"] = "full@sgd"
    path.write_text(json.dumps(values))
    (other / "paths.parquet").unlink()
    for name in ("records", "trials"):
        table = pd.read_parquet(other / f"{name}.parquet")
        table.assign(arm="full@sgd").to_parquet(other / f"{name}.parquet", index=False)
    (merged,) = load_all([tmp_path / "c", other])
    assert merged.trials["arm"].tolist() == ["full@adam", "full@sgd"]
