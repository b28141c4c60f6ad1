"""Three regions of the batch size: the slopes that are computed, on curves that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from optcompare_plugins.reproductions import three_regions


class Studies:
    """An attempt whose studies need 8 + 1024/B updates with SGD, and 4 + 1024/B with momentum."""

    def __init__(self, full):
        self.full, self.parts = full, []

    def choose(self, *, quick, full):
        return full if self.full else quick

    def study(self, part, workload, *, batch_sizes, **question):
        self.parts.append(part)
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


@pytest.mark.parametrize(("full", "networks"), [(False, ["MLP"]), (True, ["MLP", "CNN"])])
def test_three_regions_holds_for_curves_that_have_them(full, networks):
    attempt = Studies(full)
    expected, found = three_regions.three_regions().expected_at(full), three_regions.find(attempt)
    assert set(found.values) == set(expected)
    assert all(expected[key].holds(value) for key, value in found.values.items())
    assert attempt.parts == [f"{net} {least}" for net in networks for least in (2, 64)]
    assert [ax.get_title() for ax in found.figure.axes] == [f"{net} on Fashion-MNIST" for net in networks]


def test_the_ratio_is_that_of_fewest_samples_over_fewest_updates():
    found = three_regions.find(Studies(full=False)).values
    sgd, momentum = 2 * (8 + 512) / (8 + 1), 2 * (4 + 512) / (4 + 1)  # at B = 2 and B = 1024
    assert found[f"MLP, {three_regions.RATIO}"] == pytest.approx(momentum / sgd)
