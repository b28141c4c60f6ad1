"""The split of a tuning budget, grids, the rates of a second round, repeats as data."""

from __future__ import annotations

import dataclasses
import json

import pytest

from optcompare.core.tuning import (
    FIRST_TUNING_SEED,
    Repeat,
    Tuning,
    closer_rates,
    rate_grid,
    split_rate_count,
)
from optcompare.errors import ComparisonError

GRID = {"a": (0.1, 1.0, 10.0), "b": (0.2, 2.0, 20.0)}


@pytest.mark.parametrize(
    ("count", "widely", "closer"),
    [
        (2, 2, 0),
        (3, 3, 0),
        (4, 4, 0),
        (5, 3, 2),
        (6, 4, 2),
        (7, 5, 2),
        (8, 4, 4),
        (9, 5, 4),
        (11, 7, 4),
        (12, 6, 6),
    ],
)
def test_about_half_of_the_rates_are_kept_for_a_closer_look(count, widely, closer):
    assert split_rate_count(count) == (widely, closer)


def test_a_shift_moves_the_whole_grid_by_a_part_of_a_step():
    """Steps of 10, half of one: √10 = 3.162; and back by half of one."""
    assert rate_grid(3, 1.0, (0.1, 10.0), 0.5) == (0.3162, 3.162, 31.62)
    assert rate_grid(3, 1.0, (0.1, 10.0), -0.5) == (0.03162, 0.3162, 3.162)


def test_closer_rates_lie_evenly_on_both_sides_of_the_best():
    """Steps of 10: 10^(±1/2), or 10^(±1/3) and 10^(±2/3); beyond the grid where the best is its edge."""
    assert closer_rates(GRID["a"], 2, 1.0) == (0.3162, 3.162)
    assert closer_rates(GRID["a"], 4, 1.0) == (0.2154, 0.4642, 2.154, 4.642)
    assert closer_rates(GRID["a"], 2, 0.1) == (0.03162, 0.3162)
    assert closer_rates(GRID["a"], 0, 1.0) == ()


def repeated(closer: int = 0) -> Tuning:
    first, second = FIRST_TUNING_SEED + 10, FIRST_TUNING_SEED + 20
    shifted = {label: tuple(2 * rate for rate in rates) for label, rates in GRID.items()}
    return Tuning(GRID, 1, closer, (Repeat(GRID, (first,)), Repeat(shifted, (second,))))


def test_an_only_tuning_is_one_round_on_the_first_tuning_seeds():
    (only,) = Tuning(GRID, 2).all_repeats
    assert only.rates == GRID
    assert only.seeds == (FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1)


def test_each_repeat_refines_around_its_own_best():
    found = repeated(closer=2).with_second_round([{"a": 1.0, "b": 0.2}, {"a": 20.0, "b": 4.0}])
    assert found.closer == 0
    assert found.rates == GRID
    assert found.rate_count == repeated(closer=2).rate_count == 5
    assert [one.rates["a"][3:] for one in found.repeats] == [(0.3162, 3.162), (6.325, 63.25)]
    assert [one.rates["b"][3:] for one in found.repeats] == [(0.06325, 0.6325), (1.265, 12.65)]


def test_repeats_and_what_they_found_survive_json():
    tuning = repeated().with_best([{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 4.0}])
    assert Tuning.from_json(json.loads(json.dumps(dataclasses.asdict(tuning)))) == tuning


def test_a_tuning_that_was_saved_before_there_were_repeats_is_read():
    assert Tuning.from_json({"rates": {"a": [0.1, 1.0]}, "seeds": 2}) == Tuning({"a": (0.1, 1.0)}, 2)


def test_repeats_that_share_a_seed_or_take_report_seeds_are_refused():
    for seeds in ((FIRST_TUNING_SEED, FIRST_TUNING_SEED), (FIRST_TUNING_SEED, 3)):
        with pytest.raises(
            ComparisonError, match="each repeat must have tuning seeds of its own, from 2\\*\\*62 on"
        ):
            Tuning(GRID, 1, 0, tuple(Repeat(GRID, (seed,)) for seed in seeds))


def test_repeats_of_other_arms_are_refused():
    with pytest.raises(ComparisonError, match="every repeat must tune the same arms"):
        Tuning(GRID, 1, 0, (Repeat({"a": (0.1, 1.0)}, (FIRST_TUNING_SEED,)),))
