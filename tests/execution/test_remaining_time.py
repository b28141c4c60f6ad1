"""The time left: what is expected, corrected arm by arm, on a clock that the tests turn."""

from __future__ import annotations

import pytest

from optcompare.core.comparison import Arm, Part, Trial
from optcompare.execution.expected_time import ExpectedTime, TrialTime
from optcompare.execution.remaining_time import RemainingTime


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def arm(name):
    return Arm(name, Part(name, name), Part("sgd", "sgd"), {}, 0.1, 8)


FULL, MINI = [[Trial(arm(name), seed) for seed in range(4)] for name in ("full", "mini")]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def remaining(clock):
    """Four trials of 100 s each of two arms."""
    of_trials = {("report", "full"): TrialTime(100.0), ("report", "mini"): TrialTime(100.0)}
    return RemainingTime(ExpectedTime(810.0, of_trials, finishing=10.0), [*FULL, *MINI], clock)


def test_nothing_done_leaves_what_is_expected(remaining):
    assert remaining.left({}) == (0.0, pytest.approx(810.0))


def test_a_slower_machine_is_believed_little_by_little(remaining, clock):
    clock.seconds = 2.0
    assert remaining.left({FULL[0]: 0.01})[1] < 900.0
    clock.seconds = 200.0
    assert remaining.left({FULL[0]: 1.0})[1] == pytest.approx(2 * 700 + 10, rel=0.1)


def test_trials_to_come_take_as_long_as_those_of_their_arm(remaining, clock):
    """Those of full end at their goal after a tenth of the budget; those of mini take what is expected."""
    for number, trial in enumerate(FULL[:3], 1):
        clock.seconds = 10.0 * number
        remaining.finished(trial)
        remaining.left({})
    for number, trial in enumerate(MINI[:3], 1):
        clock.seconds = 30 + 100.0 * number
        remaining.finished(trial)
        remaining.left({})
    share, left = remaining.left({})
    assert share == pytest.approx(6 / 8)
    assert left == pytest.approx(10 + 100 + 10, rel=0.1)


def test_seconds_count_for_the_arms_that_advance(remaining, clock):
    clock.seconds = 100.0
    remaining.left({})
    clock.seconds = 200.0
    remaining.left({FULL[0]: 0.5, MINI[0]: 0.5})
    assert remaining._real == {
        ("report", "full"): pytest.approx(100.0),
        ("report", "mini"): pytest.approx(100.0),
    }


def test_trials_of_a_previous_run_are_no_work_of_this_one(remaining, clock):
    for trial in FULL:
        remaining.finished(trial, restored=True)
    assert remaining.left({}) == (0.0, pytest.approx(410.0))


def test_at_the_end_only_the_finish_is_left(remaining, clock):
    clock.seconds = 500.0
    for trial in (*FULL, *MINI):
        remaining.finished(trial)
    assert remaining.left({}) == (1.0, pytest.approx(10.0))


def test_compiled_updates_are_expected_to_be_faster(clock):
    """Three quarters of the seconds pass until a third of the trial is done."""
    of_trials = {("report", "full"): TrialTime(80.0, turn=(1 / 3, 3 / 4))}
    remaining = RemainingTime(ExpectedTime(80.0, of_trials), FULL[:1], clock)
    clock.seconds = 60.0
    assert remaining.left({FULL[0]: 1 / 3}) == (pytest.approx(3 / 4), pytest.approx(20.0))
