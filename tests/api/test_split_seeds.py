"""With --split-seeds the seeds of a comparison are trained and measured on several splits of the same data,
in turn.
"""

from __future__ import annotations

import itertools

import pandas as pd
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, WorkloadError, compare, load
from optcompare.report.loading import load_all
from optcompare.storage import journal
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import Press, same
from tests.helpers.workloads import held_out, small_workload

KINDS = ["tensors", "mapping", "Dataset"]
QUESTION = {"strategies": ["full", "mini:6"], "seeds": 4, "epochs": 2, "split_seeds": 2}


def final_losses(result, arm, seed, number):
    """Training, validation and test loss of a trial's final weights on a split, in one pass each."""
    model = nn.Linear(3, 2)
    weights = {name.removeprefix("out."): value for name, value in result.weights[arm, seed, 0].items()}
    model.load_state_dict(weights)
    sets = held_out(number).sets.values()
    return [nn.functional.cross_entropy(model(x), y).item() for x, y in sets]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_each_seed_is_trained_and_measured_on_its_split(kind, trainer):
    result = compare(held_out(kind=kind), **QUESTION, trainer=trainer)
    assert result.trials["split"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert (result.records["split"] == result.records["seed"] % 2).all()
    assert str(result.records["split"].dtype) == "int64"
    last = result.records.groupby(["arm", "seed"]).tail(1)
    for row in last.to_dict("records"):
        losses = final_losses(result, row["arm"], row["seed"], row["split"])
        assert [row["train_loss"], row["valid_loss"], row["test_loss"]] == pytest.approx(losses, rel=1e-5)
    assert all(check.held for check in result.certificate)
    (split,) = [check for check in result.certificate if check.name == "identical split of the data"]
    assert split.detail == "one of 2 splits of the data a seed, in turn, over all arms"


def test_a_trial_is_what_it_would_be_with_that_split_as_the_workloads_own():
    """The batches are by (seed, epoch, N), and N is the same."""
    on_splits = compare(held_out(), "mini:6", seeds=2, epochs=3, split_seeds=2, trainer="loop")
    alone = compare(held_out(1), "mini:6", seeds=[1], epochs=3, trainer="loop")
    columns = ["update", "train_loss", "valid_loss", "test_loss", "test_accuracy"]
    mine = on_splits.records[on_splits.records["seed"] == 1]
    pd.testing.assert_frame_equal(
        mine[columns].reset_index(drop=True), alone.records[columns], check_exact=True
    )
    prints = ["weights_sha256", "order_sha256", "batches_sha256", "final_sha256"]
    assert on_splits.trials.iloc[1][prints].tolist() == alone.trials.iloc[0][prints].tolist()


@pytest.mark.parametrize("kind", ["tensors", "mapping"])
def test_lanes_train_each_split_apart_and_as_the_loop_does(kind):
    lanes, loop = both(held_out(kind=kind), ["full", "mini:6"], seeds=6, epochs=3, split_seeds=3)
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)
    pd.testing.assert_series_equal(lanes.trials["split"], loop.trials["split"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_other_processes_train_on_the_same_splits(kind):
    same(
        compare(held_out(kind=kind), **QUESTION, trainer="loop", jobs=2),
        compare(held_out(kind=kind), **QUESTION, trainer="loop"),
    )


def test_without_it_nothing_is_split_and_there_is_no_column():
    def never(number):
        raise AssertionError("it was split")

    result = compare(held_out(resplit=never), "full", seeds=2, epochs=1)
    assert "split" not in result.records
    assert "split" not in result.trials
    assert "splits_sha256" not in result.environment
    assert result.comparison.split_seeds == 1


def test_tuning_takes_the_splits_in_turn_and_says_what_that_shows_it():
    result = compare(held_out(), **QUESTION, tune=2, tune_seeds=3, trainer="loop")
    tuned = result.trials[result.trials["phase"] == "tune"].drop_duplicates("seed")
    assert tuned["split"].tolist() == [0, 1, 0]
    (note,) = [note for note in result.notes if "tuning" in note]
    assert note.startswith(
        "tuning seeds take the 2 splits in turn, so that rows on which a report trial is measured (test"
    )


def test_few_splits_are_kept_where_they_are_large_and_give_the_same(monkeypatch):
    whole = compare(held_out(), "mini:6", seeds=6, epochs=1, split_seeds=3, trainer="loop")
    monkeypatch.setattr("optcompare.training.splits._KEPT_BYTES", 1)
    same(compare(held_out(), "mini:6", seeds=6, epochs=1, split_seeds=3, trainer="loop"), whole)


def test_a_trained_module_is_made_by_the_workload_on_its_split():
    """Its third layer has as many outputs as the split's number says."""

    def wider(number=0):
        return held_out(
            number,
            model=lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2 + number)),
            resplit=wider,
        )

    result = compare(wider(), "full", seeds=2, epochs=1, split_seeds=2)
    assert [result.model("full", seed)[2].out_features for seed in (0, 1)] == [2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
@pytest.mark.parametrize("at", [4, 13])
def test_an_interrupted_run_goes_on_on_the_same_splits(tmp_path, monkeypatch, trainer, at):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    asked = {**QUESTION, "trainer": trainer, "dtype": "float64"}
    cut = compare(held_out(), **asked, out=tmp_path / "run", observer=Press(at))
    assert cut.status == "interrupted"
    result = compare(held_out(), **asked, resume=tmp_path / "run")
    whole = compare(held_out(), **asked)
    assert result.trials["split"].tolist() == whole.trials["split"].tolist()
    assert result.records["valid_loss"].tolist() == pytest.approx(
        whole.records["valid_loss"].tolist(), rel=1e-12
    )
    if trainer == "loop":
        same(result, whole)


@pytest.mark.slow
def test_more_seeds_leave_the_earlier_ones_on_their_splits(tmp_path):
    asked = {**QUESTION, "trainer": "loop", "seeds": 3}
    compare(held_out(), **asked, out=tmp_path / "run")
    seen = Press()
    more = compare(held_out(), **{**asked, "seeds": 6}, resume=tmp_path / "run", observer=seen)
    assert {seed for _, seed in seen.ended} == {3, 4, 5}
    assert more.trials["split"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]
    assert load(tmp_path / "run").comparison.split_seeds == 2


@pytest.mark.slow
def test_seeds_in_another_order_would_change_their_splits_and_are_refused(tmp_path):
    compare(held_out(), "full", seeds=[0, 1], epochs=1, split_seeds=2, out=tmp_path / "run")
    with pytest.raises(
        ComparisonError, match="seed 0 was trained on split 0 of the data, and would be on split 1; list"
    ):
        compare(held_out(), "full", seeds=[7, 0, 1], epochs=1, split_seeds=2, resume=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("splits", [1, 3])
def test_another_number_of_splits_is_another_question(tmp_path, splits):
    compare(held_out(), "full", seeds=3, epochs=1, split_seeds=2, out=tmp_path / "run")
    with pytest.raises(
        ComparisonError, match="this is not the comparison that is to be resumed; different: split_seeds"
    ):
        compare(held_out(), "full", seeds=3, epochs=1, split_seeds=splits, resume=tmp_path / "run")


@pytest.mark.slow
def test_another_second_split_is_other_data_when_a_run_goes_on(tmp_path):
    compare(held_out(), "full", seeds=2, epochs=1, split_seeds=2, out=tmp_path / "run")
    other = held_out(resplit=lambda number: held_out(5 * number))
    with pytest.raises(
        ComparisonError, match="since this run began, other splits of the workload's data changed"
    ):
        compare(other, "full", seeds=4, epochs=1, split_seeds=2, resume=tmp_path / "run")


@pytest.mark.slow
def test_runs_are_merged_where_their_splits_agree(tmp_path):
    asked = {"epochs": 1, "split_seeds": 2}
    compare(held_out(), "full", seeds=4, **asked, out=tmp_path / "a")
    compare(held_out(), "mini:6", seeds=4, **asked, out=tmp_path / "b")
    compare(held_out(), "full", seeds=[4, 5], **asked, out=tmp_path / "c")
    (merged,) = load_all([tmp_path / name for name in "abc"])
    assert (merged.trials["split"] == merged.trials["seed"] % 2).all()
    assert merged.comparison.split_seeds == 2


@pytest.mark.slow
def test_seeds_that_would_change_their_splits_are_not_merged(tmp_path):
    compare(held_out(), "full", seeds=3, epochs=1, split_seeds=2, out=tmp_path / "a")
    compare(held_out(), "full", seeds=[3, 4], epochs=1, split_seeds=2, out=tmp_path / "b")
    with pytest.raises(
        ComparisonError,
        match="seed 3 is on another split of the data than it would be in the merged run",
    ):
        load_all([tmp_path / "a", tmp_path / "b"])


@pytest.mark.slow
def test_other_numbers_of_splits_are_not_merged(tmp_path):
    compare(held_out(), "full", seeds=2, epochs=1, split_seeds=2, out=tmp_path / "a")
    compare(held_out(), "mini:6", seeds=2, epochs=1, out=tmp_path / "b")
    with pytest.raises(ComparisonError, match="split_seeds is 2 in one and 1 in the other"):
        load_all([tmp_path / "a", tmp_path / "b"])


def another(number):
    return held_out(number, train=tuple(part[:20] for part in held_out(number).train))


def without_accuracy(number):
    return held_out(number, metrics={})


def failing(number):
    raise ValueError("no rows")


turns = itertools.count(1)


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        (small_workload(), "cannot be split again, since it has no resplit; leave out split_seeds"),
        (
            held_out(resplit=lambda number: held_out()),
            r"resplit\(1\) returns its own split; let the split depend on the",
        ),
        (
            held_out(resplit=lambda number: held_out(next(turns))),
            r"resplit\(1\), called twice, returns two splits",
        ),
        (
            held_out(resplit=lambda number: held_out(number + 1)),
            r"resplit\(0\) returns another split than the workload has",
        ),
        (
            held_out(resplit=another),
            r"resplit\(1\) must keep the metrics and the size of each set; the workload has .*24",
        ),
        (
            held_out(resplit=without_accuracy),
            r"must keep the metrics .*\['accuracy'\], and it returned .*\[\]",
        ),
        (held_out(resplit=failing), r"resplit\(1\) failed: ValueError: no rows"),
        (held_out(resplit=lambda number: number), r"resplit\(1\) must return a Workload, got a int"),
    ],
)
def test_a_workload_that_gives_no_splits_of_its_own_data_is_refused_in_a_line(workload, message, tmp_path):
    with pytest.raises(WorkloadError, match=message):
        compare(workload, "full", seeds=2, epochs=1, split_seeds=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_split_may_be_drawn_from_the_global_generators(tmp_path):
    """They are seeded by its number, so that it is the same in each process."""

    def drawn(number):
        return held_out(0 if number == 0 else int(torch.randint(1, 1000, ()).item()))

    asked = {**QUESTION, "trainer": "loop"}
    same(compare(held_out(resplit=drawn), **asked), compare(held_out(resplit=drawn), **asked, jobs=2))


def test_rows_of_another_split_that_do_not_pass_are_named_before_training():
    def broken(number=0):
        x, y = held_out(number).valid
        return held_out(number, valid=(x / (number == 0), y), resplit=broken)

    with pytest.raises(WorkloadError, match=r"the inputs of valid hold .* infinite"):
        compare(broken(), "full", seeds=2, epochs=1, split_seeds=2)


def test_resplit_is_a_function():
    with pytest.raises(WorkloadError, match="resplit must be a function, got 3"):
        held_out(resplit=3)
