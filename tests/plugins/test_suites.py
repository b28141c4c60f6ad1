"""One table for every suite: its goals, how they were set, and whether its data are still those."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from optcompare import Suite
from optcompare.api.set_goals import rounded_up
from optcompare.core.goal import Goal
from optcompare.planning.factories import make_workload
from optcompare.planning.suites import find_suite
from optcompare.registry.manager import Registry
from optcompare.storage.provenance import data_sha256
from tests.helpers.pages import ROOT

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
REGISTRY = Registry.load()
ENTRIES = REGISTRY.entries("suites")
WORKLOADS = [(name, each) for name in ENTRIES for each in ENTRIES[name].factory().workloads]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_suite_has_goals_references_and_a_search(name):
    suite = find_suite(REGISTRY, name)
    assert isinstance(suite, Suite)
    assert suite.name == name
    suite.check_goals()
    assert suite.about.endswith(".")
    assert suite.search is not None
    assert all(":" in strategy for strategy in suite.search.strategies), "batch sizes are written out"


@pytest.mark.parametrize(("name", "each"), WORKLOADS, ids=lambda value: getattr(value, "workload", value))
def test_every_goal_is_the_median_of_the_recorded_repeats(name, each):
    goal, how, search = Goal.parse(each.goal), each.set_by, find_suite(REGISTRY, name).search
    assert goal.metric == "valid_loss"
    assert len(how["repeats"]) == search.repeats
    assert goal.value == rounded_up(statistics.median(how["repeats"]))
    assert how["budget"] == str(search.budget(each.budget))
    assert how["trials"] == sum(len(arm["rates"]) for arm in how["tried"]) * search.tune_seeds
    assert len(how["tried"]) == len(search.strategies) * len(search.optimizers)
    best = min(how["tried"], key=lambda arm: arm["median"])
    assert (each.reference.arm, each.reference.lr) == (best["arm"], best["lr"])
    assert all(how[version] for version in ("date", "optcompare", "torch", "numpy", "python"))


@pytest.mark.parametrize(("name", "each"), WORKLOADS, ids=lambda value: getattr(value, "workload", value))
def test_the_data_of_every_workload_are_those_on_which_its_goal_was_set(name, each):
    if each.workload.startswith("fashion-mnist") and not FASHION_MNIST.is_dir():
        pytest.skip("the images of fashion-mnist are not here: Debian's package dataset-fashion-mnist")
    workload, _ = make_workload(REGISTRY, each.workload)
    assert data_sha256(workload) == each.data_sha256
    assert 0 < each.reference.samples <= 0.75 * each.budget.amount * workload.size


def test_every_suite_is_documented():
    page = (ROOT / "docs" / "reference" / "names.md").read_text("utf-8")
    assert [name for name in ENTRIES if f"| `{name}` |" not in page] == []
