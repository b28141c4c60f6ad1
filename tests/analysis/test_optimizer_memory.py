"""Half-lives of moving averages: ln ½ / ln β updates, times the batch size in samples."""

from __future__ import annotations

import math

import pytest

from optcompare.analysis.optimizer_memory import half_life, half_lives


def test_adams_defaults_have_half_lives_of_7_and_693_updates():
    """In samples, that of the squares is 693 at a batch size of 1 and 709,436 at 1,024."""
    table = half_lives({"beta1": 0.9, "beta2": 0.999}, [32, 1, 1024])
    assert table["average"].tolist() == ["beta1", "beta2"]
    assert table["beta"].tolist() == [0.9, 0.999]
    assert table["updates"].tolist() == pytest.approx([6.58, 692.8], rel=1e-3)
    assert table["smallest_samples"].tolist() == pytest.approx([6.58, 693], rel=1e-3)
    assert table["largest_samples"].tolist() == pytest.approx([6737, 709436], rel=1e-4)


def test_a_half_life_of_one_update_is_a_decay_of_one_half():
    assert half_life(0.5) == pytest.approx(1)
    assert half_life(0.25) == pytest.approx(0.5)


def test_the_ends_of_what_a_decay_can_be_forget_at_once_and_never():
    assert half_life(0) == 0
    assert half_life(1) == math.inf
    assert math.isnan(half_life(1.5))
    assert math.isnan(half_life(-0.1))


def test_nothing_recorded_is_an_empty_table():
    table = half_lives({}, [1, 2])
    assert table.empty
    assert list(table.columns) == ["average", "beta", "updates", "smallest_samples", "largest_samples"]
    assert half_lives({"beta": 0.9}, [])["largest_samples"].isna().all()
