"""The grid around the paths: which arms set it, and when it reaches out to the minimum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optcompare.training.loop.landscape import surface


def bowl(point):
    """½(x² + y²/10), whose minimum is (0, 0)."""
    return 0.5 * point[0] ** 2 + 0.05 * point[1] ** 2


def paths(**arms):
    parts = [
        pd.DataFrame(way, columns=["x", "y"]).assign(arm=arm, update=range(len(way)))
        for arm, way in arms.items()
    ]
    return pd.concat(parts, ignore_index=True)


def frame(table):
    grid = table[table["kind"] == "grid"]
    return [*grid["x"].agg(["min", "max"]), *grid["y"].agg(["min", "max"])]


def minimum(table):
    return table.loc[table["kind"] == "minimum", ["x", "y"]].to_numpy().tolist()


NEAR = [(1, 1), (0.5, 0.9), (-0.1, -0.1)]
AROUND = [-0.32, 1.22, -0.32, 1.22]
"""The path and a fifth of its extent on either side."""


@pytest.mark.parametrize(
    "other",
    [[(1, 1), (-1e7, 0.5)], [(1, 1), (3, 1)], [(1, 1), (9, 9), (np.inf, 0)], [(1, 1), (np.nan, np.nan)]],
    ids=["far", "higher than the start", "infinite", "undefined"],
)
def test_an_arm_that_diverged_does_not_set_the_frame(other):
    table = surface(bowl, paths(a=NEAR, b=other), 9, 1e-7)
    assert frame(table) == pytest.approx(AROUND)
    np.testing.assert_allclose(minimum(table), [(0, 0)], atol=1e-6)


def test_if_all_arms_diverged_the_shortest_path_sets_the_frame():
    table = surface(bowl, paths(a=[(1, 1), (2, 2)], b=[(1, 1), (1e9, 1)]), 9, 1e-7)
    assert frame(table)[1] == pytest.approx(2.2)


def test_the_frame_is_extended_to_a_minimum_that_is_near():
    table = surface(bowl, paths(a=[(1, 1), (0.5, 0.9)]), 9, 1e-7)
    low_x, high_x, low_y, high_y = frame(table)
    assert (high_x, high_y) == pytest.approx((1.1, 1.02))
    assert -0.2 < low_x < 0
    assert -0.2 < low_y < 0
    np.testing.assert_allclose(minimum(table), [(0, 0)], atol=1e-6)


def test_the_frame_stays_around_paths_that_end_far_from_the_minimum():
    table = surface(bowl, paths(a=[(1, 1), (0.95, 0.995)]), 9, 1e-7)
    assert frame(table) == pytest.approx([0.94, 1.01, 0.994, 1.001])
    assert minimum(table) == []


def test_a_lower_valley_that_the_first_grid_missed_is_the_minimum():
    def pitted(point):
        return bowl(point) - 2 * np.exp(-sum(((point - (0.7, 0.55)) / 0.06) ** 2))

    (found,) = minimum(surface(pitted, paths(a=NEAR), 41, 1e-7))
    assert found == pytest.approx((0.7, 0.55), abs=0.005)


def test_a_loss_that_is_nowhere_finite_has_a_grid_and_no_minimum():
    table = surface(lambda point: np.nan, paths(a=NEAR), 5, 1e-7)
    assert len(table) == 25
    assert minimum(table) == []
