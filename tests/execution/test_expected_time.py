"""How long a run is expected to take: arithmetic on fixed paces; nothing is timed."""

from __future__ import annotations

import dataclasses

import pytest

from optcompare.execution import task_times
from optcompare.execution.expected_time import ExpectedTime, Forecast, TrialTime, expected_of
from optcompare.execution.fixed_times import finishing_seconds
from optcompare.execution.scheduler import Tasks
from optcompare.execution.timeline import Timeline
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry
from optcompare.training.lanes.cost_model import Work
from optcompare.training.lanes.group_time import GroupPace, GroupTime, group_time
from optcompare.training.lanes.probe import Probed
from optcompare.training.lanes.trainer import LanesTrainer

ASKED = Question(strategies="full,single")
OPERATION = 1e-12
"""Seconds of a small operation: costs that are counted in operations vanish."""


@pytest.fixture
def prepared():
    """A thousandth of a second for an update, a tenth of a second for a trial of full, two seconds for one of
    single.
    """
    one = prepare(Registry.load(()), ASKED, held=False)
    alike = {"measurements": 0.0, "epochs": 0.0, "start_seconds": 0.0, "update_seconds": 0.001}
    alike |= {"measurement_seconds": 0.0}
    made = [
        dataclasses.replace(estimate, updates=updates, expected_updates=updates, **alike)
        for estimate, updates in zip(one.estimates, (100, 2000), strict=True)
    ]
    return dataclasses.replace(one, estimates=made)


@pytest.fixture
def probed(monkeypatch):
    """Stand in for the timing of groups, and keep the groups that were timed."""
    groups = []

    def probe(lanes, trials, updates):
        groups.append((trials[0].arm.label, len(trials)))
        return Probed(update=0.002, measurement=0.0)

    monkeypatch.setattr(task_times, "probe", probe)
    return groups


def forecast(prepared, trainer, **changes):
    comparison = dataclasses.replace(prepared.setup.comparison, trainer=trainer, **changes)
    prepared = prepared.for_comparison(comparison)
    planned = [comparison.tuning_trials(), comparison.trials()]
    tasks = Tasks(LanesTrainer(prepared.trainer, 2**30), prepared.estimates, planned)
    return Forecast(tasks, prepared.estimates, planned, OPERATION)


def in_groups(prepared):
    trials = prepared.setup.comparison.trials()
    return [[trial for trial in trials if trial.arm.label == label] for label in ("full", "single")]


def test_in_the_loop_trials_take_turns_or_stand_side_by_side(prepared, probed, monkeypatch):
    monkeypatch.setattr("optcompare.execution.timeline.usable_cores", lambda: 2)
    alone = forecast(prepared, "loop")
    assert (alone.run().seconds, alone.run().in_lanes) == (pytest.approx(21), 0)
    assert alone.run(jobs=2).seconds == pytest.approx(10.5 + 0.05, rel=0.01), "the last ones are short"
    assert alone.run(jobs=4).seconds == pytest.approx(alone.run(jobs=2).seconds, rel=0.2), "on two cores"
    trial = prepared.setup.comparison.trials()[1]
    assert (trial.arm.label, alone.run().of(trial).seconds) == ("single", pytest.approx(2.0))
    assert alone.loop_seconds(trial) == pytest.approx(2.0)
    assert probed == [], "no lanes, nothing to be timed"


def test_lanes_take_what_their_timed_updates_take(prepared, probed):
    both = forecast(prepared, "lanes")
    full, single = in_groups(prepared)
    checks = 6 * 3 * 0.001 + 12 * 0.002
    assert both.lanes_seconds(full) == pytest.approx(100 * 0.002 + checks)
    assert both.lanes_seconds(single) == pytest.approx(2000 * 0.002 + checks)
    whole = both.run()
    assert (whole.seconds, whole.in_lanes) == (pytest.approx(2100 * 0.002 + 2 * checks), 20)
    assert whole.of(single[0]).seconds == pytest.approx((2000 * 0.002 + checks) / 10)
    assert probed == [("full", 10), ("single", 10)], "each once"


def test_a_short_run_times_no_lanes_and_assumes_a_multiple_of_the_loop(prepared, monkeypatch):
    monkeypatch.setattr(task_times, "probe", lambda *_: pytest.fail("it was timed"))
    short = [dataclasses.replace(one, update_seconds=0.0, expected_updates=0.0) for one in prepared.estimates]
    (full, _), none = in_groups(prepared), dataclasses.replace(prepared, estimates=short)
    assert forecast(none, "lanes").lanes_seconds(full) == pytest.approx(0.0, abs=1e-6)


def test_lanes_that_are_slower_than_the_loop_are_expected_in_the_loop(prepared, monkeypatch):
    monkeypatch.setattr(task_times, "probe", lambda *_: Probed(update=0.013, measurement=0.0))
    monkeypatch.setattr(Tasks, "_repays", lambda *_: True)
    slower = forecast(prepared, "auto").run()
    assert (slower.seconds, slower.in_lanes) == (pytest.approx(21), 0)
    assert forecast(prepared, "lanes").run().in_lanes == 20, "the user chose lanes"


def test_several_jobs_share_groups_and_start_workers(prepared, probed, monkeypatch):
    monkeypatch.setattr("optcompare.execution.timeline.usable_cores", lambda: 2)
    two = forecast(prepared, "lanes").run(jobs=2)
    checks = 6 * 3 * 0.001 + 12 * 0.002
    assert two.seconds == pytest.approx(2100 * 0.002 + 2 * checks), (
        "lanes of half the width take as long here"
    )
    assert probed == [("full", 5), ("single", 5)]


def test_workers_start_before_the_first_trial(prepared):
    times, trials = forecast(prepared, "loop")._times, prepared.setup.comparison.trials()
    timeline = Timeline(times, 2, 1, operation=1e-6, cores=2)
    timeline.add_round([], trials[:1])
    timeline.add_round([], trials[:1])
    assert timeline.end == pytest.approx(0.7 + 2 * 0.1)


class TestGroupTime:
    WORK = Work(10, 1000, 20)
    PACE = GroupPace(update=0.01, measurement=0.05, epoch=0.1, start=2.0, compiled=0.001, compiling=6.0)

    def test_without_a_compiler_all_updates_are_alike(self):
        pace = dataclasses.replace(self.PACE, compiling=None)
        assert group_time(self.WORK, 10, pace) == GroupTime(pytest.approx(2 + 10 + 1 + 1))

    def test_a_program_in_the_cache_is_fast_from_the_start(self):
        pace = dataclasses.replace(self.PACE, compiling=0.0)
        assert group_time(self.WORK, 10, pace) == GroupTime(pytest.approx(2 + 1 + 1 + 1))

    def test_a_program_is_slow_until_it_is_compiled(self):
        """Four of fifteen seconds are slow, twelve without the compiler; of what then takes three, eleven
        fifteenths are left.
        """
        time = group_time(self.WORK, 10, self.PACE)
        assert time.seconds == pytest.approx(2 + 4 + 3 * 11 / 15)
        assert time.turn == pytest.approx((4 / 15, 6 / time.seconds))
        assert group_time(self.WORK, 10, self.PACE, slower=2.0).seconds == pytest.approx(2 + 10 + 3 * 2 / 3)
        assert group_time(self.WORK, 10, self.PACE, elapsed=5.0).seconds == pytest.approx(2 + 3)

    def test_a_group_that_ends_first_does_not_wait_for_its_compiler(self):
        pace = dataclasses.replace(self.PACE, compiling=60.0)
        assert group_time(self.WORK, 10, pace) == GroupTime(pytest.approx(2 + 12 * 1.25))


def test_compilers_of_several_groups_slow_each_other_down(prepared, monkeypatch):
    compiles = Probed(0.002, 0.0, operations=500, compiler="inductor")
    monkeypatch.setattr(task_times, "probe", lambda *_: compiles)
    monkeypatch.setattr(task_times, "_NODE_OPERATIONS", 1e9)  # a compiled update takes the least
    one = forecast(prepared, "lanes")._times
    single = in_groups(prepared)[1]
    one._operation = 1e-7  # compiling takes a second of the four that traced updates take
    assert one.of_group(single).seconds == pytest.approx(1.0 + 0.05 * 4 * 0.81, rel=0.02)
    assert one.of_group(single, slower=2.0).seconds == pytest.approx(2.0 + 0.05 * 4 * 0.805, rel=0.02)


def test_the_time_of_a_trial_turns_where_its_program_is_compiled():
    time = TrialTime(8.0, turn=(1 / 3, 6 / 8))
    assert [time.until(share) for share in (0.0, 1 / 6, 1 / 3, 2 / 3, 1.0)] == pytest.approx([0, 3, 6, 7, 8])
    assert TrialTime(8.0).until(0.5) == 4.0


def test_a_study_measures_after_its_trials(prepared):
    comparison = prepared.setup.comparison
    stopped = dataclasses.replace(comparison, goal="train_loss=0.1", stop_at_goal=True)
    more = finishing_seconds(stopped, prepared.estimates, 0.0) - finishing_seconds(comparison, [], 0.0)
    assert more == pytest.approx(2 * 5 * 0.03 * 2 + 2.0)


def test_trials_that_may_end_early_take_at_most_what_is_expected(prepared, probed):
    assert not forecast(prepared, "loop").run().ends_early
    assert forecast(prepared, "loop", goal="train_loss=0.1", stop_at_goal=True).run().ends_early
    unknown = [dataclasses.replace(one, updates=None) for one in prepared.estimates]
    assert forecast(dataclasses.replace(prepared, estimates=unknown), "loop").run().ends_early


def test_bounds_are_said():
    assert str(ExpectedTime(12, {})) == "about 12 s"
    assert str(ExpectedTime(12, {}).after(3.0)) == "about 15 s"
    assert str(ExpectedTime(75, {}, ends_early=True)) == "at most 1 min 15 s"


def test_a_dry_run_counts_all_trials(prepared):
    found = expected_of(prepared)
    assert set(found.of_trials) == {("report", "full"), ("report", "single")}
    assert found.seconds > found.finishing > 0
