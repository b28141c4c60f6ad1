"""The update at which the smoothed loss of a trial reaches its goal."""

import copy
import math

import numpy as np
import pytest
import torch

import optcompare
from optcompare import ComparisonError
from optcompare.core.goal import Goal
from optcompare.core.rng import preserved_rng
from optcompare.training.loop.epochs import train
from optcompare.training.measurement.counters import Progress
from optcompare.training.measurement.evaluation import next_evaluation
from optcompare.training.measurement.goal_watch import GoalWatch, smoothed

GOAL = Goal("train_loss", 1.0)


def follow(loss, *, size=1, n=160, measure=16, window=0.25, sampled=None, most=10_000, goal=GOAL, cut=10**9):
    """The progress of a trial whose loss after some updates is ``loss(updates)``, as a trainer drives the
    watch.

    ``sampled``: what the stated rows give instead; ``cut``: after so many updates a task ends, and the stop
    is asked for again. Every call gets a copy of all counters, as after a checkpoint.
    """
    watch = GoalWatch(goal, window, n, measure, None if sampled is None else torch.arange(2))
    progress, measured = Progress(), [0]
    reached = watch.evaluated(progress, {goal.metric: loss(0)})
    while not reached and progress.updates < most:
        mark = next_evaluation(progress.samples, n, measure)
        stop = watch.next_stop(progress, mark)
        while progress.samples < stop:
            progress.updates += 1
            progress.samples += size
            if progress.updates % cut == 0:
                stop = watch.next_stop(progress, mark) if progress.samples < stop else stop
        progress = Progress(**copy.deepcopy(progress.to_state()))
        measured.append(progress.updates)
        if progress.samples < mark or watch.to_be_probed(progress):
            watch.probed(progress, (sampled or loss)(progress.updates))
        if progress.samples >= mark:
            reached = watch.evaluated(progress, {goal.metric: loss(progress.updates)})
    return progress, measured


def straight(update):
    return 2.995 - update / 100


def test_an_average_over_a_window_is_that_of_straight_lines_between_measurements():
    samples, values = np.array([0.0, 10, 20, 40]), np.array([4.0, 2, 2, 0])
    # from 10 to 30: 10 wide at 2, then from 2 down to 1
    assert smoothed(samples, values, 20.0, 0.5) == pytest.approx((10 * 2 + 10 * 1.5) / 20)


def test_a_window_narrower_than_two_updates_is_averaged_on_the_lines_to_its_neighbours():
    """From .75 to 1.25: lines from 9 to 5 and from 5 to 1 average (9 + 14·5 + 1)/16 = 5; a dip to 0 does not
    reach 0.
    """
    samples = np.array([0.0, 1, 2])
    assert [smoothed(samples, np.array([9.0, 5, 1]), at, 0.25) for at in (0.0, 1.0)] == [9, 5]
    assert smoothed(samples, np.array([8.0, 0, 8]), 1.0, 0.25) == pytest.approx(1.0)


@pytest.mark.parametrize("huge", [math.inf, 1e300])
def test_a_huge_value_spoils_its_own_windows_and_no_other(huge):
    samples, values = np.arange(13.0), np.full(13, 0.5)
    values[1] = huge
    found = [smoothed(samples, values, at, 0.25) for at in (1.0, 8.0, 9.0)]
    assert not found[0] <= 1e9
    assert found[1:] == [0.5, 0.5]


def test_a_straight_loss_reaches_its_goal_where_it_does_without_smoothing():
    progress, _ = follow(straight)
    assert progress.goal_found == {
        "goal_updates": 200,
        "goal_samples": 200,
        "goal_before": 199,
        "goal_dip": 200,
    }
    assert progress.samples == 250  # the window is complete


@pytest.mark.parametrize("window", [0.1, 0.5])
def test_a_trial_goes_on_until_the_window_is_complete(window):
    progress, _ = follow(straight, window=window)
    assert progress.goal_found["goal_updates"] == 200
    assert progress.samples >= (1 + window) * 200 > progress.samples - 10


def test_every_update_is_measured_within_two_evaluation_points_of_the_goal():
    _, measured = follow(straight)
    assert set(range(180, 221)) <= set(measured)
    assert len(measured) < 120  # and far from it they are not


def test_a_loss_that_falls_exponentially_is_late_by_the_bias_that_is_stated():
    """An average of e^(-kt) over t(1 ± w) is e^(-kt)·sinh(kwt)/(kwt), so that ln(L₀/goal)·w²/6 of t is lost
    to first order.
    """
    start, rate = 10.0, math.log(10) / 2000
    progress, _ = follow(lambda update: start * math.exp(-rate * update))
    late = progress.goal_found["goal_updates"] / 2000 - 1
    assert late == pytest.approx(math.log(10) * 0.25**2 / 6, rel=0.1)
    assert progress.goal_found["goal_dip"] == 2000


@pytest.mark.slow
def test_a_noisy_loss_reaches_its_goal_where_its_mean_does_and_not_where_it_first_dips_below():
    noise = np.random.default_rng(0).normal(0, 0.3, 10_000)
    progress, _ = follow(lambda update: 3 - update / 1000 + noise[update])
    assert progress.goal_found["goal_updates"] == pytest.approx(2000, rel=0.02)
    assert progress.goal_found["goal_dip"] < 1700


def test_a_loss_that_explodes_does_not_reach_its_goal_by_the_shift_to_all_rows():
    """The loss grows from 2 by half with each update, and the stated rows give a tenth more than all rows."""
    progress, measured = follow(
        lambda update: 2 * 1.5**update, sampled=lambda update: 2.2 * 1.5**update, most=100
    )
    assert not progress.goal_found
    assert len(measured) > 50  # it was watched at every update, so that values were shifted


def test_the_stated_rows_are_shifted_to_all_rows():
    exact, _ = follow(straight)
    rows, _ = follow(straight, sampled=lambda update: straight(update) + 0.5)
    assert rows.goal_found == exact.goal_found


def test_what_is_not_measured_at_every_update_says_between_which_it_was_reached():
    """A loss that drops between two evaluation points, unforeseen."""
    progress, _ = follow(lambda update: 3.0 if update < 1003 else 0.0, window=0.01)
    found = progress.goal_found
    assert found["goal_updates"] - found["goal_before"] == 10
    assert found["goal_before"] < 1008
    assert found["goal_updates"] >= 1000


def test_a_trial_that_starts_at_its_goal_has_reached_it():
    progress, _ = follow(lambda update: 0.5)
    assert progress.goal_found["goal_updates"] == progress.updates == 0


@pytest.mark.slow
def test_where_a_trial_is_cut_changes_nothing():
    """Some 390 updates between evaluation points, of which every fourth or so is measured near the goal."""
    settings = {"n": 100_000, "measure": 16, "most": 10**5}
    whole, measured = follow(lambda update: 3 - update / 10_000, **settings)
    again, others = follow(lambda update: 3 - update / 10_000, **settings, cut=101)
    assert whole.to_state() == again.to_state()
    assert measured == others
    assert set(np.diff(measured)) - {1} != set()


def test_one_value_that_is_not_finite_does_not_reach_what_cannot_be_reached():
    """Precision is undefined at some evaluation points, and never 1.5."""
    progress, _ = follow(
        lambda update: math.nan if update == 40 else 0.9, goal=Goal("valid_precision", 1.5), most=2000
    )
    assert progress.goal_found == {}


def test_a_goal_that_rises_is_reached_from_below():
    progress, _ = follow(lambda update: (update + 0.5) / 401, goal=Goal("valid_accuracy", 0.5))
    assert progress.goal_found["goal_updates"] == 200


def test_points_that_no_window_will_hold_are_dropped():
    progress, _ = follow(lambda update: 3.0, most=5000)
    assert min(point[0] for point in progress.goal_points) > 0.5 * progress.samples
    assert progress.goal_found == {}


def test_a_value_that_is_not_finite_is_far_from_the_goal():
    """The windows of 213 and before touch the line from it to the evaluation point at 160."""
    progress, _ = follow(lambda update: math.nan if update == 150 else straight(update))
    assert progress.goal_found == {
        "goal_updates": 214,
        "goal_samples": 214,
        "goal_before": 213,
        "goal_dip": 200,
    }


STUDY = {
    "workload": "noisy-quadratic:n=64:dim=20:noise=0.5",
    "goal": "train_loss=0.3",
    "batch_sizes": [1, 8, 64],
    "tune": 2,
    "tune_range": (0.05, 0.2),
    "tune_seeds": 1,
    "seeds": 2,
    "max_epochs": 40,
    "dtype": "float64",
}


@pytest.fixture(scope="module")
def studies():
    return {trainer: optcompare.batch_size_study(**STUDY, trainer=trainer) for trainer in ("loop", "lanes")}


@pytest.mark.slow
def test_a_trial_reaches_its_goal_where_a_plain_loop_that_measures_every_update_does(studies):
    """All losses of a trial, the average over each window in plain sums, the first at or below the goal."""
    result = studies["loop"]
    for row in result.reported[1].to_dict("records"):
        losses = plain_losses(result, row)
        size = row["samples"] / row["updates"]
        knots, values = size * np.arange(len(losses)), np.array(losses)
        fine = np.linspace(0.75, 1.25, 2001)
        averages = [np.interp(fine * at, knots, values).mean() for at in knots if 1.25 * at <= knots[-1]]
        reached = int(np.argmax(np.array(averages) <= 0.3))
        assert abs(row["goal_updates"] - reached) <= 1 + 0.01 * reached, row["arm"]
        assert row["goal_dip"] >= np.argmax(values <= 0.3)


def plain_losses(result, row):
    """The training loss after every update of a trial, from its own updates at ``measure=64`` evaluation
    points an epoch.
    """
    import dataclasses

    from optcompare.core.comparison import Trial
    from optcompare.planning.prepare import prepare_again
    from optcompare.registry.manager import Registry

    comparison = dataclasses.replace(result.comparison, measure=64, stop_at_goal=False)
    trainer = prepare_again(Registry.load(), comparison).trainer
    arm = dataclasses.replace(comparison.arm(row["arm"]), lr=row["lr"])
    with preserved_rng():
        run = trainer.run(Trial(arm, row["seed"]), None)
        train(run, lambda: run.progress.updates >= row["updates"], lambda: False)
    return [record["train_loss"] for record in run.records][: row["updates"] + 1]


def test_lanes_reach_the_goal_at_the_same_update_as_the_loop(studies):
    columns = [
        "arm",
        "seed",
        "phase",
        "lr",
        "updates",
        "goal_updates",
        "goal_samples",
        "goal_before",
        "goal_dip",
    ]
    one, other = (studies[name].trials[columns] for name in ("loop", "lanes"))
    assert one.equals(other)
    assert set(studies["lanes"].trials["trainer"]) == {"lanes"}


@pytest.mark.slow
def test_with_more_rows_than_are_measured_near_the_goal_both_trainers_measure_the_same_ones():
    """2,048 rows, 1,024 of which are measured; all rows would find the goal at the same update, up to one."""
    settings = {
        **STUDY,
        "workload": "noisy-quadratic:n=2048:dim=20:noise=0.5",
        "batch_sizes": [32, 256],
        "max_epochs": 12,
    }
    columns = ["arm", "seed", "phase", "lr", "updates", "goal_updates", "goal_before", "goal_dip"]
    loop, lanes = (optcompare.batch_size_study(**settings, trainer=name) for name in ("loop", "lanes"))
    assert loop.trials[columns].equals(lanes.trials[columns])
    assert loop.reported[1]["goal_updates"].notna().all()
    for row in loop.reported[1].to_dict("records"):
        assert (row["goal_updates"] - row["goal_before"]) <= 1


def test_costs_are_those_of_the_update_at_which_the_goal_was_reached(studies):
    times, trials = studies["loop"].times_to_goal(), studies["loop"].reported[1]
    assert times["updates"].tolist() == trials["goal_updates"].tolist()
    share = trials["goal_updates"] / trials["updates"]
    assert times["seconds"].tolist() == pytest.approx((share * trials["train_seconds"]).tolist())


@pytest.mark.parametrize("window", [-0.1, 1.0, "wide"])
def test_a_window_is_a_share(window):
    with pytest.raises(
        ComparisonError, match="goal_window is a share of the samples, from 0 up to but without 1, got"
    ):
        optcompare.batch_size_study(**STUDY, goal_window=window)


@pytest.mark.slow
def test_without_a_window_the_first_measurement_at_the_goal_ends_a_trial():
    result = optcompare.batch_size_study(**STUDY, goal_window=0)
    assert "goal_updates" not in result.trials
    last = result.reported[0].groupby(["arm", "seed"])["train_loss"].last()
    assert (last <= 0.3).all()
