"""Runs of one question become one result; runs of different questions are refused with the reason."""

from __future__ import annotations

import pytest

from optcompare import ComparisonError, compare
from optcompare.report.result import load_all


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


@pytest.mark.parametrize("case", OTHER)
def test_runs_of_different_questions_are_refused_with_the_reason(tmp_path, case):
    changes, reason = OTHER[case]
    compare("line", "full", seeds=1, epochs=3, out=tmp_path / "a")
    compare("line", "full", **{"seeds": 1, "epochs": 3, "out": tmp_path / "b", **changes})
    with pytest.raises(ComparisonError, match=f"did not ask the same question: {reason}"):
        load_all([tmp_path / "a", tmp_path / "b"])


def test_runs_that_started_from_other_weights_are_refused(tmp_path):
    compare("line", "full", seeds=2, epochs=3, out=tmp_path / "a")
    compare("line", "mini", seeds=2, epochs=3, out=tmp_path / "b")
    import pandas as pd

    trials = pd.read_parquet(tmp_path / "b" / "trials.parquet")
    trials["weights_sha256"] = "0" * 64
    trials.to_parquet(tmp_path / "b" / "trials.parquet", index=False)
    with pytest.raises(ComparisonError, match=r"seed 0 has another initial weights \(their SHA-256 differ\)"):
        load_all([tmp_path / "a", tmp_path / "b"])


def test_an_order_of_samples_that_differs_is_refused(tmp_path):
    compare("line", "full", seeds=1, epochs=3, out=tmp_path / "a", order=lambda seed, epoch, n: range(n))
    compare("line", "mini", seeds=1, epochs=3, out=tmp_path / "b", order=lambda seed, epoch, n: range(n)[::-1])
    with pytest.raises(ComparisonError, match="seed 0 has another order of samples"):
        load_all([tmp_path / "a", tmp_path / "b"])
