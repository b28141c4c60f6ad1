"""Three regions of the batch size: the slopes that are computed, on curves that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from optcompare_plugins.reproductions import three_regions


class Studies:
    """An attempt whose studies need 8 + 1024/B updates with SGD, and 4 + 1024/B with momentum."""

    full = False

    def choose(self, *, quick, full):
        return quick

    def study(self, part, workload, goal, *, batch_sizes, **question):
        self.sizes = np.array(batch_sizes, float)
        return self

    def scaling(self):
        return [Curve(self.sizes, least) for least in (8, 4)]


class Curve:
    def __init__(self, sizes, least):
        self.table = pd.DataFrame({"batch_size": sizes, "updates": least + 1024 / sizes})


def test_the_slope_is_that_of_the_logarithms():
    sizes = np.array([1.0, 2, 4])
    assert three_regions.slope(sizes, 64 / sizes) == pytest.approx(-1)
    assert np.isnan(three_regions.slope(sizes, np.array([1.0, np.inf, 2])))


def test_three_regions_holds_for_curves_that_have_them():
    about, found = three_regions.three_regions(), three_regions.find(Studies())
    assert found.values["critical"] == pytest.approx((1028 / 4.5) / (1032 / 8.5))
    assert set(found.values) == set(about.expected)
    assert all(about.expected[key].holds(value) for key, value in found.values.items())
    assert len(found.figure.axes) == 1
