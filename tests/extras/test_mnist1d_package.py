"""MNIST-1D as its own package makes it, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from optcompare_plugins.workloads.mnist1d_data import published

pytestmark = getattr(pytest.mark, "models-test")


@pytest.mark.parametrize("seed", [42, 7])
@pytest.mark.filterwarnings("ignore")
def test_every_number_is_that_of_the_package(seed):
    package = pytest.importorskip("mnist1d.data")
    settings = package.get_dataset_args()
    settings.seed = seed
    data, ours = package.make_dataset(settings), published(seed)
    assert np.array_equal(np.concatenate([data["x"], data["x_test"]]), ours.x)
    assert np.array_equal(np.concatenate([data["y"], data["y_test"]]), ours.y)
