"""Which batch sizes are set apart from the best."""

from __future__ import annotations

import numpy as np
import pytest

from optcompare.analysis.best_sizes import Best, seconds_apart, seeds_for, set_apart
from tests.helpers.tables import INF, NAN


def costs(*columns) -> np.ndarray:
    """float[seeds, sizes], from a column for each size."""
    return np.array(columns, dtype=float).T


def seeds(n: int, start: float = 10.0) -> np.ndarray:
    return start * 1.1 ** np.arange(n)


def test_a_size_that_is_worse_on_all_seeds_is_set_apart():
    """Two sizes on five seeds: p = 2⁻⁵ = .031."""
    found = set_apart(costs(1.01 * seeds(5), seeds(5)), [4, 8])
    assert found == Best(8, pytest.approx(12.1), (), (4,), 0.05, True)


def test_four_seeds_are_too_few_for_two_sizes():
    found = set_apart(costs(9 * seeds(4), seeds(4)), [4, 8])
    assert (found.alike, found.apart, found.possible) == ((4,), (), False)


def test_the_level_is_shared_by_the_other_sizes():
    """With three sizes five seeds would need p ≤ .025, six reach .0156."""
    three = [costs(9 * seeds(n), seeds(n), 9.5 * seeds(n)) for n in (5, 6)]
    assert [set_apart(each, [1, 2, 4]).apart for each in three] == [(), (1, 4)]
    assert set_apart(three[1], [1, 2, 4], level=0.03).apart == ()
    assert set_apart(three[1], [1, 2, 4], level=0.03).level == 0.03


def test_equal_sizes_are_alike():
    found = set_apart(costs(seeds(8), seeds(8), seeds(8)), [1, 2, 4])
    assert (found.size, found.alike, found.apart) == (1, (2, 4), ())


def test_any_other_size_may_set_one_apart():
    """1 has the lowest median, for its costs vary; 2 beats 4 on every seed, 1 does not."""
    found = set_apart(costs([1, 1, 1, 1, 1, 99, 99, 99], [10] * 8, [11] * 8), [1, 2, 4])
    assert (found.size, found.alike, found.apart) == (1, (2,), (4,))


def test_the_size_of_the_lowest_median_is_never_set_apart():
    """2 is lower on 10 of 11 seeds, p = .006, and misses on one, so that its median of 69.3 is above the 60
    of 1.
    """
    ours = np.array([10.0, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110])
    theirs = ours * 0.99
    theirs[0] = INF
    found = set_apart(costs(ours, theirs), [1, 2])
    assert (found.size, found.median) == (1, 60)
    assert (found.alike, found.apart) == ((2,), ())
    assert set_apart(costs(ours, theirs, 2 * ours), [1, 2, 4]).apart == (4,)


def test_a_miss_is_worse_than_any_cost_and_ties_with_a_miss():
    """2 wins on 5 seeds and ties on 3: 2⁻⁵; on 4 it does not reach .05."""
    found = set_apart(costs([INF] * 8, [1, 2, 3, 4, 5, INF, INF, INF]), [1, 2])
    assert (found.size, found.apart) == (2, (1,))
    assert set_apart(costs([INF] * 8, [1, 2, 3, 4, INF, INF, INF, INF]), [1, 2]).apart == ()


def test_misses_count_in_the_median():
    found = set_apart(costs([1, INF, INF], [5, 5, 5]), [1, 2])
    assert (found.size, found.median) == (2, 5)


def test_seeds_of_which_one_cost_is_not_known_are_left_out():
    known = costs([2] * 5, [1] * 5)
    more = np.vstack([known, [[NAN, 9], [0.1, NAN]]])
    assert set_apart(known, [1, 2]).apart == set_apart(more, [1, 2]).apart == (1,)
    assert not set_apart(more[1:], [1, 2]).possible
    assert set_apart(more[1:], [1, 2]).apart == ()


def test_nothing_known_sets_nothing_apart():
    found = set_apart(np.full((8, 3), NAN), [1, 2, 4])
    assert found.size == 1
    assert np.isnan(found.median)
    assert (found.alike, found.apart, found.possible) == ((2, 4), (), False)


def test_all_missed():
    found = set_apart(np.full((8, 2), INF), [1, 2])
    assert (found.size, found.median, found.alike, found.apart) == (1, INF, (2,), ())


def test_one_size_stands_alone():
    assert set_apart(costs(seeds(8)), [16]) == Best(
        16, pytest.approx((13.31 + 14.641) / 2), (), (), 0.05, False
    )


@pytest.mark.parametrize(
    ("sizes", "level", "needed"),
    [(2, 0.05, 5), (3, 0.05, 6), (5, 0.05, 7), (11, 0.05, 8), (11, 0.035, 9), (1, 0.05, 5)],
)
def test_the_fewest_seeds(sizes, level, needed):
    """2⁻ⁿ ≤ level/(k-1), and no fewer."""
    assert seeds_for(sizes, level) == needed
    assert 2.0**-needed <= level / max(1, sizes - 1) < 2.0 ** -(needed - 1)


@pytest.mark.parametrize("n", [7, 8])
def test_fewer_seeds_set_nothing_apart_and_as_many_do(n):
    columns = [seeds(n), *(9 * seeds(n) for _ in range(10))]
    found = set_apart(costs(*columns), [2**power for power in range(11)])
    assert found.possible == (n == 8)
    assert len(found.apart) == (10 if n == 8 else 0)


class TestSeconds:
    def test_a_size_beats_another_only_with_its_slowest_round_against_the_fastest(self):
        """100 against 80 updates on all seeds, at 1 ms each: 80 wins with 1.2 ms against 1, not with 1.3."""
        updates = costs([100.0] * 5, [80.0] * 5)
        assert seconds_apart(updates, [1, 2], [1e-3, 1e-3], [1e-3, 1.2e-3]).apart == (1,)
        assert seconds_apart(updates, [1, 2], [1e-3, 1e-3], [1e-3, 1.3e-3]).apart == ()

    def test_the_range_of_the_beaten_size_counts_too(self):
        updates = costs([100.0] * 5, [80.0] * 5)
        assert seconds_apart(updates, [1, 2], [0.7e-3, 1e-3], [1.4e-3, 1e-3]).apart == ()

    def test_the_median_is_at_the_middle_of_both(self):
        found = seconds_apart(costs([100.0] * 5, [80.0] * 5), [1, 2], [1e-3, 1e-3], [4e-3, 1e-3])
        assert (found.size, found.median) == (2, pytest.approx(0.08))
        assert seconds_apart(
            costs([10.0] * 5, [80.0] * 5), [1, 2], [1e-3, 1e-3], [4e-3, 1e-3]
        ).median == pytest.approx(0.02)

    def test_misses_and_sizes_without_a_clock(self):
        updates = costs([INF] * 5, [80.0] * 5, [1.0] * 5)
        found = seconds_apart(updates, [1, 2, 4], [1e-3, 1e-3, NAN], [1e-3, 1e-3, NAN], level=0.1)
        assert (found.size, found.alike, found.apart) == (2, (4,), (1,))
