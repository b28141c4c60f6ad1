"""A run in a real MLflow store on SQLite, as MLflow reads it back."""

from __future__ import annotations

import math

import pytest

from optcompare import ComparisonError, compare
from tests.helpers.workloads import small_workload

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # MLflow's own use of SQLAlchemy


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The address of a store that is not there yet, and a function that reads it."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
    address = f"sqlite:///{tmp_path}/deep/mlflow.db"

    def read():
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=address)
        (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
        runs = client.search_runs([experiment.experiment_id])
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        return client, experiment, parents, [run for run in runs if run not in parents]

    return address, read


def test_a_comparison_is_a_run_with_a_run_for_each_trial_in_it(store, tmp_path):
    address, read = store
    settings = {"optimizers": "sgd:momentum=0.9", "seeds": 2, "epochs": 3, "out": "run"}
    result = compare(small_workload(name="mine"), ["full", "mini:5"], **settings, track=f"mlflow:{address}")
    client, experiment, (parent,), children = read()
    assert experiment.name == "optcompare/mine"
    assert parent.info.status == "FINISHED"
    assert parent.data.params["arms"] == ", ".join(arm.label for arm in result.comparison.arms)
    assert parent.data.tags["mlflow.note.content"] == "\n\n".join(result.verdict())
    assert parent.data.tags["optcompare.directory"] == str(tmp_path / "run")
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["comparison.png"]
    final = result.summary(wide=True).set_index("arm")["final_train_loss"]
    assert sorted(parent.data.metrics.values()) == pytest.approx(sorted(final))
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in children} == {"FINISHED"}
    assert {(run.data.params["arm"], run.data.params["seed"]) for run in children} == {
        (arm, str(seed)) for arm in final.index for seed in (0, 1)
    }
    for run in children:
        assert run.data.params["momentum"] == "0.9"
        arm, seed = run.data.params["arm"], int(run.data.params["seed"])
        rows = result.records[(result.records["arm"] == arm) & (result.records["seed"] == seed)]
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.step for point in history] == rows["samples"].tolist()
        assert [point.value for point in history] == pytest.approx(rows["train_loss"].tolist(), rel=1e-12)


@pytest.mark.slow
def test_a_trial_that_diverges_is_a_failed_run_with_its_reason(store):
    address, read = store
    compare(small_workload(), "full", lr=1e30, seeds=1, epochs=20, track=f"mlflow:{address}")
    _, _, (parent,), (run,) = read()
    assert (parent.info.status, run.info.status) == ("FINISHED", "FAILED")
    assert run.data.tags["optcompare.status"] == "diverged"
    assert run.data.tags["optcompare.reason"]
    assert (
        math.isnan(run.data.metrics["train_loss"])
        or math.isinf(run.data.metrics["train_loss"])
        or (run.data.metrics["train_loss"] > 1e300)
    )


@pytest.mark.slow
def test_more_values_than_a_store_takes_at_once_arrive(store):
    address, read = store
    compare(small_workload(300), "single", seeds=1, epochs=1, measure=300, track=f"mlflow:{address}")
    client, _, _, (run,) = read()
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 301


@pytest.mark.parametrize("address", ["nonsense://x", "sqlite:////proc/nothing/x.db"])
def test_a_store_that_is_not_there_is_one_line(store, address):
    with pytest.raises(ComparisonError, match=r"tracker mlflow .*") as caught:
        compare(small_workload(), "full", seeds=1, epochs=1, track=f"mlflow:{address}")
    assert len(str(caught.value).splitlines()) == 1
