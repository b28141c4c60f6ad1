"""Learning rates: lists, grids, scaling, and tuning with equal budgets on seeds of its own."""

from __future__ import annotations

import math

import pytest
from torch import nn

from optcompare import ComparisonError, compare, load
from optcompare.core.tuning import FIRST_TUNING_SEED, Tuning, rate_grid, scale_lr
from tests.helpers.workloads import small_workload


def test_a_grid_is_log_spaced_from_a_thirtieth_to_thirty_times_the_rate():
    """0.1/30, then steps of √30: 0.003333, 0.01826, 0.1, 0.5477, 3."""
    assert rate_grid(5, 0.1) == (0.003333, 0.01826, 0.1, 0.5477, 3.0)
    assert rate_grid(3, 0.1, (0.001, 10.0)) == (0.001, 0.1, 10.0)


@pytest.mark.parametrize(
    "limits", [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (0.1, math.inf)]
)
def test_a_range_that_is_none_is_refused(limits):
    with pytest.raises(ComparisonError, match="--tune-range must be LO,HI with 0 < LO < HI, got"):
        rate_grid(3, 0.1, limits)


@pytest.mark.parametrize("count", [1, 0, -2])
def test_tuning_needs_two_rates(count):
    with pytest.raises(ComparisonError, match=f"tuning needs at least 2 learning rates, got tune={count}"):
        compare(small_workload(), "full", seeds=1, epochs=1, tune=count)


def test_arms_cannot_be_tuned_unequally():
    with pytest.raises(ComparisonError, match="every arm must try the same number of learning rates"):
        Tuning({"a": (0.1, 0.2), "b": (0.1, 0.2, 0.3)})
    with pytest.raises(ComparisonError, match="--tune-seeds must be at least 1, got 0"):
        Tuning({"a": (0.1, 0.2)}, seeds=0)


def test_no_report_seed_is_ever_a_tuning_seed():
    assert min(Tuning({"a": (0.1, 0.2)}, seeds=5).seed_list()) == FIRST_TUNING_SEED
    with pytest.raises(ComparisonError, match=r"seeds must lie between 0 and 2\*\*62-1"):
        compare(small_workload(), "full", seeds=[FIRST_TUNING_SEED], epochs=1)


@pytest.fixture(scope="module")
def tuned():
    return compare(small_workload(), ["full", "mini:4"], seeds=3, epochs=5, tune=4, tune_seeds=2)


def test_every_arm_tries_as_many_rates_on_as_many_tuning_seeds(tuned):
    tries = tuned.trials[tuned.trials["phase"] == "tune"]
    assert tries.groupby("arm")["lr"].nunique().to_dict() == {"full": 4, "mini:4": 4}
    assert tries.groupby(["arm", "lr"])["seed"].nunique().tolist() == [2] * 8
    assert set(tries["seed"]) == {FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1}
    check = next(check for check in tuned.certificate if check.name == "equal tuning")
    assert check.held
    assert check.detail.startswith("4 learning rates on 2 seeds of their own for each arm; it cost ")


def test_the_reported_rate_is_the_one_that_was_best_on_the_tuning_seeds(tuned):
    """By hand: of each arm's rates, the one with the least mean of its trials' last training losses."""
    tries = tuned.records[tuned.records["phase"] == "tune"]
    for arm in tuned.comparison.arms:
        mine = tries[tries["arm"] == arm.label]
        last = mine.groupby(["lr", "seed"])["train_loss"].last().groupby("lr").mean()
        assert arm.lr == last.idxmin()
        reported = tuned.records[(tuned.records["phase"] == "report") & (tuned.records["arm"] == arm.label)]
        assert set(reported["lr"]) == {arm.lr}
        assert set(reported["seed"]) == {0, 1, 2}


def test_summary_pairs_and_plot_leave_tuning_out(tuned):
    assert tuned.summary(wide=True)["seeds"].tolist() == [3, 3]
    assert tuned.pairs()["n"].tolist() == [3]
    assert len(tuned.tuning()) == 8


def test_report_trials_are_those_of_the_chosen_rate_alone(tuned):
    rates = {arm.label: arm.lr for arm in tuned.comparison.arms}
    plain = compare(
        small_workload(), [f"{label}@sgd:lr={lr!r}" for label, lr in rates.items()], seeds=3, epochs=5
    )
    of_tuned = tuned.trials[tuned.trials["phase"] == "report"]
    assert sorted(of_tuned["final_sha256"]) == sorted(plain.trials["final_sha256"])


def test_a_tuned_run_is_saved_and_tuned_alike_when_run_again(tuned, tmp_path):
    tuned.save(tmp_path / "run")
    loaded = load(tmp_path / "run")
    assert loaded.comparison == tuned.comparison
    assert loaded.tuning().equals(tuned.tuning())


@pytest.mark.slow
def test_rates_that_diverge_are_worst_and_an_edge_is_said():
    result = compare("line", ["single"], seeds=1, epochs=40, tune=3, tune_range=(0.01, 100.0), tune_seeds=1)
    assert result.tuning()["score"].map(math.isinf).tolist() == [False, True, True]
    assert result.comparison.arms[0].lr == 0.01
    assert result.notes == [
        "single: the best learning rate, 0.01, lies at the edge of the grid from 0.01 to 100; a better one "
        "may lie beyond "
        "it (--tune-range)"
    ]


def test_several_rates_make_an_arm_each():
    result = compare(small_workload(), ["full@adam:lr=0.5", "mini:4"], lr=[0.01, 0.1], seeds=1, epochs=1)
    assert [(arm.label, arm.lr) for arm in result.comparison.arms] == [
        ("full@adam:lr=0.5", 0.5),
        ("mini:4@sgd:lr=0.01", 0.01),
        ("mini:4@sgd:lr=0.1", 0.1),
    ]


@pytest.mark.slow
def test_a_rate_is_scaled_with_the_batch_size():
    """Reference .02 at 4 samples: ×2.5 at 10, ×.5 at 2; or their square roots.

    A rate of the arm's own is not scaled.
    """
    assert scale_lr(0.02, "linear", 10, 4) == pytest.approx(0.05)
    assert scale_lr(0.02, "sqrt", 16, 4) == pytest.approx(0.04)
    workload = small_workload(lr=0.02, batch_size=4)
    arms = ["full", "mini:2", "mini", "single@sgd:lr=0.3"]
    for rule, expected in (
        ("linear", [0.05, 0.01, 0.02, 0.3]),
        ("sqrt", [0.02 * 2.5**0.5, 0.02 * 0.5**0.5, 0.02, 0.3]),
    ):
        found = compare(workload, arms, seeds=1, epochs=1, lr_scaling=rule).comparison.arms
        assert [arm.lr for arm in found] == pytest.approx(expected)
        assert [arm.lr_scaling for arm in found] == [rule, rule, rule, "none"]
    with pytest.raises(ComparisonError, match='lr_scaling="linear" needs the workload\'s batch_size'):
        compare(small_workload(), "full", seeds=1, epochs=1, lr_scaling="linear")


class TestControl:
    def test_it_copies_the_baseline_in_other_chunks(self):
        result = compare(
            small_workload(), ["mini:4", "full"], seeds=3, epochs=20, control=True, baseline="full"
        )
        control = result.comparison.arms[-1]
        assert (control.label, control.chunk) == ("full (control)", 5)
        finals = result.trials.set_index(["arm", "seed"])["final_sha256"]
        assert finals["full", 0] != finals["full (control)", 0]
        pairs = result.pairs()
        assert pairs["arm"].tolist() == ["mini:4"]
        assert pairs["control_spread"][0] < 1e-5

    def test_it_takes_the_tuned_rate_of_its_baseline(self):
        result = compare(
            small_workload(), ["mini:4", "full"], seeds=1, epochs=2, control=True, tune=3, tune_seeds=1
        )
        rates = {arm.label: arm.lr for arm in result.comparison.arms}
        assert rates["mini:4 (control)"] == rates["mini:4"]
        assert "mini:4 (control)" not in result.comparison.tuning.rates

    def test_it_speaks_of_rounding_where_there_is_no_other_arm(self):
        result = compare(small_workload(), "full", seeds=3, epochs=20, control=True)
        assert result.verdict()[0] == "There is no arm to compare full with."
        assert result.verdict()[1].startswith("Rounding alone moves the final train_loss of full by ")

    def test_single_samples_have_no_other_chunks(self):
        with pytest.raises(
            ComparisonError, match=r"single updates on single samples; choose another baseline with baseline"
        ):
            compare(small_workload(), ["single", "full"], seeds=1, epochs=1, control=True)


def test_a_baseline_that_is_no_arm_is_refused():
    with pytest.raises(ComparisonError, match="there is no arm 'mini'; there are full, mini:4"):
        compare(small_workload(), ["full", "mini:4"], seeds=1, epochs=1, baseline="mini")


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ("valid_loss=0.2", "there is no metric 'valid_loss'; there are train_loss"),
        ("train_loss", "must be a metric, '=' and its value"),
        ("train_loss=low", "'low' is not a number"),
    ],
)
def test_a_goal_that_cannot_be_is_refused(goal, message):
    with pytest.raises(ComparisonError, match=message):
        compare(small_workload(), "full", seeds=1, epochs=1, goal=goal)


def test_a_workloads_own_goal_is_used_unless_another_is_given():
    workload = small_workload(goal="train_loss=1.5")
    result = compare(workload, ["full", "single"], seeds=2, epochs=3)
    assert str(result.goal) == "train_loss=1.5"
    assert set(result.summary(wide=True).columns) > {"goal_reached", "goal_samples", "goal_resolution"}
    assert str(compare(workload, "full", seeds=1, epochs=1, goal="train_loss=2").goal) == "train_loss=2"


def test_several_rates_are_references_that_scaling_applies_to():
    """At 4 samples .02 and .04; full batch of 10, so ×2.5: the labels and the arms say what is used."""
    workload = small_workload(lr=0.02, batch_size=4)
    arms = compare(
        workload, ["full"], lr=[0.02, 0.04], lr_scaling="linear", seeds=1, epochs=1
    ).comparison.arms
    assert [(arm.label, arm.lr) for arm in arms] == [("full@sgd:lr=0.05", 0.05), ("full@sgd:lr=0.1", 0.1)]


def test_a_tuned_arm_is_not_called_by_a_rate_that_it_does_not_use():
    result = compare(
        small_workload(), ["full@sgd:lr=0.5", "mini:4@adam"], seeds=1, epochs=1, tune=2, tune_seeds=1
    )
    assert [arm.label for arm in result.comparison.arms] == ["full@sgd", "mini:4@adam"]


ODD = {
    "several rates to tune": (
        {"lr": [0.1, 0.2], "tune": 3},
        "tune searches the learning rate itself; give one lr",
    ),
    "a range without tuning": (
        {"tune_range": (0.1, 1.0)},
        "tune_range, tune_seeds and tune_repeats say how to tune; give tune=N too",
    ),
    "seeds without tuning": (
        {"tune_seeds": 5},
        "tune_range, tune_seeds and tune_repeats say how to tune; give tune=N too",
    ),
    "a range without room": ({"tune": 4, "tune_range": (0.01, 0.010001)}, "too narrow for 4 different rates"),
}


@pytest.mark.parametrize("case", ODD)
def test_tuning_that_makes_no_sense_is_refused(case):
    arguments, message = ODD[case]
    with pytest.raises(ComparisonError, match=message):
        compare(small_workload(), "full", seeds=1, epochs=1, **arguments)


def test_tuning_trials_that_failed_are_not_called_diverged():
    def refuses(output, y):
        if output.abs().max() > 50:
            raise RuntimeError("too far")
        return nn.functional.mse_loss(output, y)

    result = compare(
        small_workload(loss=refuses),
        "single",
        seeds=1,
        epochs=30,
        tune=3,
        tune_range=(0.001, 10.0),
        tune_seeds=1,
    )
    assert result.notes == [
        "single: 1 tuning trials failed: RuntimeError: too far (test_tuning.py:"
        + result.notes[0].split(":")[-1]
    ]
    check = next(check for check in result.certificate if check.name == "equal tuning")
    assert "learning rates on 1 seed" in check.detail


def error(output, y):
    return (output - y).abs().sum(), len(y)


@pytest.mark.parametrize(("errors", "reached"), [((), 0), (("mae",), 2)])
def test_a_workload_says_of_which_metrics_less_is_better(errors, reached):
    """The mean absolute error ends between 0.1 and 5 on both seeds: reached from above as an error, else
    missed.
    """
    workload = small_workload(metrics={"mae": error}, errors=errors)
    result = compare(workload, "full", seeds=2, epochs=3, goal="train_mae=5" if errors else "train_mae=50")
    assert result.summary(wide=True)["goal_reached"].tolist() == [reached]
