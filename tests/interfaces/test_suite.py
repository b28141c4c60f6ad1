"""Suites as data: what a file may hold, and the one line that says what is wrong with it."""

from __future__ import annotations

import json

import pytest

from optcompare import Budget, ComparisonError, GoalSearch, Suite
from tests.helpers.suites import SEARCH, entry, goal, write_suite


def test_a_suite_is_read_as_it_was_written(tmp_path):
    path = write_suite(tmp_path / "a.json", entry(**goal(0.5)), entry("points:3"), search=SEARCH)
    suite = Suite.read(path)
    assert [each.workload for each in suite.workloads] == ["points", "points:3"]
    assert suite.workloads[0].goal == "valid_loss=0.5"
    assert suite.workloads[0].reference.updates == 6
    assert suite.workloads[0].budget == Budget("epochs", 4)
    assert suite.search.optimizers == ("sgd", "adamw")
    assert Suite.from_json(json.loads(json.dumps(suite.to_json()))) == suite


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"it must be an object, got a list"),
        ({}, r"it lacks name, workloads"),
        ({"name": " ", "workloads": [entry()]}, r"a suite needs a name"),
        (
            {"name": "a", "workloads": [entry(**goal(0.5, samples=-4))]},
            r"the samples of a reference must be finite and at least 0, got -4; leave the reference out",
        ),
        ({"name": "a", "workloads": []}, r"suite a has no workloads; list one"),
        ({"name": "a", "workloads": [{}]}, r"workloads\[0\] lacks workload, budget"),
        ({"name": "a", "workloads": [entry(), entry()]}, r"suite a lists points twice; leave one out"),
        ({"name": "a", "workloads": [entry(), entry(" points")]}, r"suite a lists points twice"),
        ({"name": "a", "workloads": [entry("points:(")]}, r"points:\("),
        ({"name": "a", "workloads": [entry("")]}, r"holds no suite: "),
        ({"name": "a", "workloads": [entry(gaol=1)]}, r"workloads\[0\].gaol is not known"),
        ({"name": "a", "workloads": [entry(goal=3)]}, r"workloads\[0\].goal must be a text, got 3"),
        ({"name": "a", "workloads": [entry(goal="valid_loss")]}, r"goal 'valid_loss' must be a metric, '='"),
        ({"name": "a", "workloads": [entry(goal="test_loss=1")]}, r"on the validation set.* got test_loss=1"),
        ({"name": "a", "workloads": [entry(goal="train_loss=1")]}, r"on the validation set"),
        ({"name": "a", "workloads": [entry(measure=0)]}, r"measure must be a whole number from 1 on, got 0"),
        (
            {"name": "a", "workloads": [entry(budget={"unit": "seconds", "amount": 3})]},
            r"unit must be one of epochs, updates, samples, got 'seconds'",
        ),
        (
            {"name": "a", "workloads": [entry(budget={"unit": "epochs", "amount": 2.5})]},
            r"epochs must be a whole number",
        ),
        (
            {"name": "a", "workloads": [entry()], "search": {"tune": 3}},
            r"search lacks strategies, optimizers",
        ),
        (
            {"name": "a", "workloads": [entry()], "search": {**SEARCH, "repeats": 4}},
            r"repeats of a suite must be odd.* got 4",
        ),
        (
            {"name": "a", "workloads": [entry()], "search": {**SEARCH, "share": 1.5}},
            r"share of a suite must be above 0 and at most 1, got 1.5",
        ),
        (
            {"name": "a", "workloads": [entry()], "search": {**SEARCH, "optimizers": []}},
            r"needs a strategy and an optimizer",
        ),
    ],
)
def test_what_is_no_suite_is_refused_in_one_line(values, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ComparisonError, match=message) as caught:
        Suite.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 10_000])
def test_a_file_that_is_no_json_is_refused(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ComparisonError, match=r"a.json is no JSON"):
        Suite.read(tmp_path / "a.json")


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ComparisonError, match=r"cannot read the suite .*(directory)"):
            Suite.read(path)


def test_a_search_trains_for_its_share_of_the_budget_and_for_one_unit_at_least():
    search = GoalSearch(("mini:4",), ("sgd",))
    assert search.budget(Budget("epochs", 20)) == Budget("epochs", 15)
    assert search.budget(Budget("epochs", 1)) == Budget("epochs", 1)
