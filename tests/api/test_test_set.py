"""A test set is measured once, at the end of each report trial, and nothing selects on it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, WorkloadError, compare, load
from optcompare.storage import journal
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.strategies import Growing
from tests.helpers.trials import Press, same
from tests.helpers.workloads import held_out, small_workload

KINDS = ["tensors", "mapping", "Dataset"]
TESTED = ["test_loss", "test_accuracy"]


def last_alone(result) -> bool:
    """Whether the columns of the test set hold a value in each trial's last record and in no other."""
    records = result.records[result.records["phase"] == "report"]
    last = records.groupby(["arm", "seed"])["update"].transform("max") == records["update"]
    return bool(
        records.loc[last, TESTED].notna().all(axis=None) and records.loc[~last, TESTED].isna().all(axis=None)
    )


def measured_again(result, workload, arm, seed) -> tuple[float, float]:
    """Loss and accuracy of a trial's final weights on the test set, in one pass."""
    x, y = held_out().test
    model = workload.model()
    model.load_state_dict(result.weights[arm, seed, 0])
    output = model(x, y) if isinstance(workload.test, dict) else model(x)
    return nn.functional.cross_entropy(output, y).item(), (output.argmax(1) == y).float().mean().item()


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_record_of_each_trial_alone_holds_loss_and_metrics(kind):
    workload = held_out(kind=kind)
    result = compare(workload, ["full", "mini:6"], seeds=2, epochs=3, trainer="loop")
    assert last_alone(result)
    last = result.records.groupby(["arm", "seed"]).tail(1).set_index(["arm", "seed"])
    for key, row in last.iterrows():
        assert row[TESTED].tolist() == pytest.approx(measured_again(result, workload, *key), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tensors", "mapping"])
def test_lanes_measure_what_the_loop_measures(kind):
    lanes, loop = both(held_out(kind=kind), ["full", "mini:6"], epochs=3)
    assert trainers(lanes) == {"lanes"}
    assert last_alone(lanes)
    agree(lanes, loop)


def test_lanes_that_have_a_dataset_as_their_test_set_alone_go_to_the_loop():
    result = compare(
        held_out(test=held_out(kind="Dataset").test),
        "full",
        seeds=3,
        epochs=2,
        trainer="lanes",
        progress=False,
    )
    assert trainers(result) == {"loop"}
    assert last_alone(result)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_other_processes_give_the_same_records(kind):
    question = {"strategies": ["full", "mini:6"], "seeds": 2, "epochs": 2, "trainer": "loop"}
    same(compare(held_out(kind=kind), **question, jobs=2), compare(held_out(kind=kind), **question))


@pytest.mark.slow
@pytest.mark.parametrize(
    "question",
    [
        {"strategies": ["mini:6"], "epochs": 2},
        {"strategies": ["mini:7", "full"], "updates": 5},
        {"strategies": ["mini:6", "full"], "samples": 60},
        {"strategies": [Growing(), "mini:5"], "samples": 53},
        {"strategies": ["full"], "optimizers": ["lbfgs:max_iter=4"], "epochs": 10},
        {"strategies": ["mini:6"], "seconds": 0.02},
    ],
)
def test_the_end_is_measured_wherever_tasks_are_cut(monkeypatch, tmp_path, question):
    """With a budget of samples the last record may be made in the task before the one that finds nothing left
    to do.
    """
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    result = compare(held_out(), **question, seeds=2, trainer="loop", out=tmp_path / "run")
    assert set(result.trials["status"]) == {"finished"}
    assert last_alone(result)
    assert last_alone(load(tmp_path / "run"))


def test_lanes_are_measured_wherever_tasks_are_cut(monkeypatch):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    for budget in ({"epochs": 2}, {"updates": 5}, {"samples": 60}):
        result = compare(held_out(), ["mini:6", "full"], seeds=3, trainer="lanes", **budget)
        assert trainers(result) == {"lanes"}
        assert last_alone(result)


@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_tuning_trials_are_never_measured_on_it(trainer):
    result = compare(held_out(), ["full", "mini:6"], seeds=2, epochs=2, tune=3, tune_seeds=2, trainer=trainer)
    assert result.records.loc[result.records["phase"] == "tune", TESTED].isna().all(axis=None)
    assert last_alone(result)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_the_rates_that_tuning_finds_do_not_depend_on_it(trainer):
    question = {
        "strategies": ["full", "mini:6"],
        "seeds": 1,
        "epochs": 2,
        "tune": 4,
        "tune_seeds": 2,
        "trainer": trainer,
    }
    turned = held_out(test=(held_out().test[0], 1 - held_out().test[1]))
    one, other = compare(held_out(), **question), compare(turned, **question)
    assert [arm.lr for arm in one.comparison.arms] == [arm.lr for arm in other.comparison.arms]
    assert one.records["valid_loss"].tolist() == pytest.approx(other.records["valid_loss"].tolist(), rel=1e-6)


@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_trials_that_diverged_are_not_measured_and_count_as_the_worst(trainer):
    workload = small_workload(test=small_workload(4).train)
    result = compare(workload, "full", seeds=3, epochs=30, lr=1e8, trainer=trainer)
    assert set(result.trials["status"]) == {"diverged"}
    assert result.records["test_loss"].isna().all()
    assert result.summary(wide=True)["final_test_loss_median"].tolist() == [math.inf]


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_trials_that_stop_at_their_goal_are_measured_there(trainer):
    from optcompare import batch_size_study

    result = batch_size_study(
        held_out(),
        "train_loss=0.65",
        batch_sizes=[6, 24],
        tune=2,
        tune_seeds=1,
        seeds=2,
        max_epochs=9,
        trainer=trainer,
    )
    assert result.trials.loc[result.trials["phase"] == "report", "reason"].str.startswith("reached").all()
    assert last_alone(result)


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 6])
def test_an_interrupted_trial_is_measured_once_it_has_been_resumed(tmp_path, monkeypatch, at):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    question = {"strategies": ["mini:6", "full"], "seeds": 2, "epochs": 3, "trainer": "loop"}
    cut = compare(held_out(), **question, out=tmp_path / "run", observer=Press(at))
    interrupted = cut.trials.loc[cut.trials["status"] == "interrupted", ["arm", "seed"]]
    assert len(interrupted) == 1
    assert cut.records.merge(interrupted)["test_loss"].isna().all()
    resumed = compare(held_out(), **question, resume=tmp_path / "run")
    same(resumed, compare(held_out(), **question))


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
@pytest.mark.parametrize("kept", [True, False])
def test_with_more_epochs_the_values_at_the_earlier_end_are_dropped_and_that_is_said(tmp_path, trainer, kept):
    question = {"strategies": ["mini:6", "full"], "seeds": 2, "trainer": trainer, "dtype": "float64"}
    compare(held_out(), **question, epochs=2, out=tmp_path / "run")
    for path in () if kept else (tmp_path / "run" / "states").iterdir():
        path.unlink()
    longer = compare(held_out(), **question, epochs=4, resume=tmp_path / "run")
    whole = compare(held_out(), **question, epochs=4)
    assert last_alone(longer)
    assert longer.records["test_loss"].tolist() == pytest.approx(
        whole.records["test_loss"].tolist(), nan_ok=True
    )
    (note,) = [note for note in longer.notes if "test set" in note]
    assert note.startswith("4 trials had ended, and been measured on the test set, with a smaller budget")


@pytest.mark.parametrize("goal", ["test_loss=0.2", "test_accuracy=0.9"])
def test_a_goal_on_it_is_refused_with_the_reason(goal):
    with pytest.raises(
        ComparisonError, match=r"the test set is measured once, when a trial has ended, so that nothing"
    ):
        compare(held_out(), "full", seeds=1, epochs=1, goal=goal)


def test_a_goal_on_one_that_is_not_there_is_no_metric():
    with pytest.raises(ComparisonError, match="there is no metric 'test_loss'; there are train_loss"):
        compare(small_workload(), "full", seeds=1, epochs=1, goal="test_loss=0.2")


def labels(last: int) -> torch.Tensor:
    return torch.tensor([0, 1, 0, 1, 0, 1, 0, last])


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ((torch.ones(8, 4), labels(1)), "the first 5 rows of test do not pass: .*shape"),
        (
            (torch.ones(8, 3), labels(7)),
            "Target 7 is out of bounds.*; look for rows or classes that train does not",
        ),
        ((torch.full((8, 3), math.nan), labels(1)), "the inputs of test hold 24 NaN in 8 of 8 rows"),
        ((torch.ones(8, 3),), "test must be a tuple of tensors"),
        ((torch.ones(0, 3), labels(1)[:0]), "test needs tensors of one length of at least 1"),
        (iter([]), "test is a list_iterator; give a tuple of tensors or a map-style Dataset"),
    ],
)
def test_one_on_which_the_loss_fails_is_refused_before_anything_is_trained(test, message, tmp_path):
    with pytest.raises(WorkloadError, match=message):
        compare(held_out(test=test), "full", seeds=1, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_mean_over_its_rows_is_refused():
    def uneven(output, y):
        return nn.functional.cross_entropy(output, y) * (2 if len(y) < 5 and bool((y == 1).all()) else 1)

    test = held_out().test[0].repeat(20, 1), torch.ones(160, dtype=torch.long)
    with pytest.raises(WorkloadError, match="as the weighted mean of its parts"):
        compare(held_out(test=test, loss=uneven), "full", seeds=1, epochs=1)


def test_without_one_there_are_no_such_columns():
    result = compare(held_out(test=None), "full", seeds=1, epochs=1)
    assert not [name for name in (*result.records, *result.summary(wide=True)) if "test" in name]


def test_the_summary_holds_its_final_values_alone():
    names = [
        name for name in compare(held_out(), "full", seeds=2, epochs=1).summary(wide=True) if "test" in name
    ]
    ends = ["", "_low", "_high", "_median", "_min", "_max"]
    assert names == [f"final_{column}{end}" for column in TESTED for end in ends]


@pytest.mark.slow
def test_another_test_set_is_other_data_when_a_run_goes_on(tmp_path):
    compare(held_out(), "full", seeds=1, epochs=1, out=tmp_path / "run")
    other = held_out(test=held_out(1).test)
    with pytest.raises(ComparisonError, match="since this run began, the workload's data changed"):
        compare(other, "full", seeds=2, epochs=1, resume=tmp_path / "run")
