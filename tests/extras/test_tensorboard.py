"""Curves as TensorBoard reads them back."""

from __future__ import annotations

import pytest

from optcompare import ComparisonError, compare
from tests.helpers.workloads import small_workload

pytestmark = pytest.mark.tensorboard


@pytest.fixture
def read():
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(path):
        found = EventAccumulator(str(path))
        found.Reload()
        return found

    return read


def test_every_trial_is_a_run_with_its_curves_over_samples(read, tmp_path):
    result = compare(
        small_workload(), ["full", "mini:5"], seeds=2, epochs=3, out=tmp_path / "run", track="tensorboard"
    )
    logs = tmp_path / "run" / "tensorboard"
    for arm, folder in (("full", "full"), ("mini:5", "mini-5")):
        for seed in (0, 1):
            rows = result.records[(result.records["arm"] == arm) & (result.records["seed"] == seed)]
            for column in ("train_loss", "update", "seconds"):
                curve = read(logs / folder / f"seed-{seed}").Scalars(column)
                assert [point.step for point in curve] == rows["samples"].tolist()
                assert [point.value for point in curve] == pytest.approx(rows[column].tolist(), rel=1e-6)
    whole = read(logs)
    assert whole.Tags()["images"] == ["comparison"]
    (said,) = whole.Tensors("verdict/text_summary")
    assert said.tensor_proto.string_val[0].decode() == "\n\n".join(result.verdict())


@pytest.mark.slow
def test_tuning_and_trials_that_diverge_stand_apart(read, tmp_path):
    logs = tmp_path / "logs"
    compare(
        small_workload(),
        ["full"],
        seeds=1,
        epochs=20,
        lr=1e20,
        tune=2,
        tune_seeds=1,
        track=f"tensorboard:{logs}",
    )
    assert len(list(logs.glob("tune/full/lr=*/seed-*"))) == 2
    (said,) = read(logs / "full" / "seed-0").Tensors("ended/text_summary")
    assert said.tensor_proto.string_val[0].decode().startswith("diverged: ")


@pytest.mark.slow
def test_trials_of_each_tuning_repeat_stand_apart(read, tmp_path):
    logs, tuned = tmp_path / "logs", {"tune": 2, "tune_seeds": 1, "tune_repeats": 2}
    compare(small_workload(), ["full"], seeds=1, epochs=2, **tuned, track=f"tensorboard:{logs}")
    assert sorted(path.name for path in (logs / "full").iterdir()) == ["seed-0-repeat-1", "seed-0-repeat-2"]
    assert len(list(logs.glob("tune/full/lr=*/seed-*"))) == 4


def test_without_a_directory_it_asks_for_one():
    pytest.importorskip("tensorboard")
    with pytest.raises(
        ComparisonError, match=r"tracker tensorboard does not know where to write; give tensorboard:LOGDIR"
    ):
        compare(small_workload(), "full", seeds=1, epochs=1, track="tensorboard")
