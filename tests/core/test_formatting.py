"""Numbers as people read them: p values, durations, time left."""

from __future__ import annotations

import pytest

from optcompare.core.formatting import duration, p_value, probability, time_left
from tests.helpers.tables import NAN


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (0.2346, "0.235"),
        (2 / 2**6, "0.0312"),
        (2 / 2**10, "0.00195"),
        (1e-4, "0.0001"),
        (9.9e-5, "< 0.0001"),
        (5e-53, "< 0.0001"),
        (0.0, "< 0.0001"),
        (NAN, "–"),
    ],
)
def test_p_has_three_significant_digits_and_a_leading_zero(p, text):
    assert probability(p) == text


def test_p_on_either_side_of_the_level_is_not_rounded_onto_it():
    assert [probability(p) for p in (0.0496, 0.0504)] == ["0.0496", "0.0504"]


@pytest.mark.parametrize(("p", "text"), [(1e-9, "0.00195"), (0.0, "0.00195"), (0.3, "0.3"), (NAN, "–")])
def test_p_below_the_smallest_that_ten_seeds_can_give_is_shown_as_that(p, text):
    assert probability(p, floor=2 / 2**10) == text


@pytest.mark.parametrize(("p", "text"), [(2 / 2**7, "p = 0.0156"), (1e-5, "p < 0.0001"), (NAN, "p –")])
def test_p_in_a_sentence_has_one_sign(p, text):
    assert p_value(p) == text


def test_p_in_a_sentence_keeps_to_the_floor():
    assert p_value(1e-5, floor=0.0625) == "p = 0.0625"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (5.4e-15, "0 s"),
        (4e-4, "0.4 ms"),
        (0.042, "0.042 s"),
        (9.6, "9.6 s"),
        (42.2, "42 s"),
        (185.0, "3 min 05 s"),
        (7800.0, "2 h 10 min"),
    ],
)
def test_durations_have_no_exponent(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5.4e-15, "finishing…"),
        (0.01, "finishing…"),
        (0.9, "less than 1 s left"),
        (1.2, "about 1 s left"),
        (9.4, "about 9 s left"),
        (75.0, "about 1 min 15 s left"),
    ],
)
def test_time_left_is_in_whole_seconds(seconds, text):
    assert time_left(seconds) == text
