"""The one format of p values."""

from __future__ import annotations

import pytest

from optcompare.core.formatting import p_value, probability
from tests.helpers.tables import NAN


@pytest.mark.parametrize(
    ("p", "text"),
    [(1.0, "1"), (0.5, "0.5"), (0.2346, "0.235"), (2 / 2**6, "0.0312"), (2 / 2**10, "0.00195"), (1e-4, "0.0001"),
     (9.9e-5, "< 0.0001"), (5e-53, "< 0.0001"), (0.0, "< 0.0001"), (NAN, "–")],
)  # fmt: skip
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
