"""How long a run is expected to take: lanes counted as lanes, trials at once, bounds in words."""

from __future__ import annotations

import dataclasses

import pytest

from optcompare.execution.expected_time import WRITING_SECONDS, Expected, expected_of
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry
from optcompare.training.lanes.cost_model import COMPILING_SECONDS, Work, lanes_seconds

ASKED = Question(strategies="full,single")


@pytest.fixture
def prepared(monkeypatch):
    """A thousandth of a second for an update, a tenth of a second for a trial of full, two seconds for one of
    single.
    """
    one = prepare(Registry.load(()), ASKED, held=False)
    full, single = one.estimates
    made = [
        dataclasses.replace(full, updates=100, measurements=0.0, seconds=0.1, update_seconds=0.001),
        dataclasses.replace(single, updates=2000, measurements=0.0, seconds=2.0, update_seconds=0.001),
    ]
    return dataclasses.replace(one, estimates=made)


def for_comparison(prepared, trainer):
    return prepared.for_comparison(dataclasses.replace(prepared.setup.comparison, trainer=trainer))


def test_in_the_loop_trials_take_turns_or_stand_side_by_side(prepared):
    alone = expected_of(for_comparison(prepared, "loop"))
    assert (alone.low, alone.high, alone.in_lanes) == pytest.approx(
        (21 + WRITING_SECONDS, 21 + WRITING_SECONDS, 0)
    )
    assert expected_of(for_comparison(prepared, "loop"), jobs=4).high == pytest.approx(
        21 / 4 + WRITING_SECONDS
    )
    trial = prepared.setup.comparison.trials()[1]
    assert (trial.arm.label, alone.of(trial)) == ("single", pytest.approx(2.0))


def test_lanes_take_what_their_group_takes(prepared):
    both = expected_of(for_comparison(prepared, "lanes"))
    assert both.in_lanes == 20
    assert both.high < 12, "two updates of the loop for one of ten lanes, not ten"


def test_a_group_takes_two_updates_of_the_loop_for_one_of_its_own_or_what_compiling_takes():
    short, long = Work(10, 100.0, 0.0), Work(10, 1e6, 0.0)
    low, high = lanes_seconds(short, 0.001, 0.0, compiler=True)
    assert low == high == pytest.approx(0.4 + 0.2)
    low, high = lanes_seconds(long, 0.001, 0.0, compiler=True)
    assert (high - low, low) == pytest.approx((COMPILING_SECONDS, 0.4 + 0.5 + 500))
    assert lanes_seconds(long, 0.001, 0.0, compiler=False)[1] == pytest.approx(0.4 + 0.5 + 2000)


def test_bounds_are_one_number_where_they_lie_close():
    assert str(Expected(10, 12, {}, 0)) == "about 12 s"
    assert str(Expected(10, 25, {}, 0)) == "10 s to 25 s"
    assert str(Expected(10, 75, {}, 0, ends_early=True)) == "up to 1 min 15 s"
