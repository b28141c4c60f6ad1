"""Scores on suites, and goals by the best of many trials, with workloads of milliseconds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import optcompare
from optcompare import ComparisonError, PluginError, RunDirectoryError, Suite, score_suite, set_goals
from optcompare.api.attempt import Attempt
from optcompare.api.set_goals import rounded_up
from optcompare.report.suite_score import SuiteScore
from tests.helpers.commands import run
from tests.helpers.suites import PLUGIN, SEARCH, entry, goal, write_suite

SETTINGS = {"seeds": 2, "jobs": 1, "plugins": "suites.py"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the plugin and a suite of two workloads: one easy, one out of reach."""
    (tmp_path / "suites.py").write_text(PLUGIN)
    write_suite(tmp_path / "tiny.json", entry(**goal(0.2)), entry("points:3.0", **goal(1e-30, 40.0)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_score_is_the_mean_over_workloads_beside_the_reference(folder):
    score = score_suite("tiny.json", "mini:4", ["sgd:lr=0.3", "sgd:lr=1e-6"], out="out", **SETTINGS)
    times = score.times()
    fast, slow, reference = list(times)
    assert reference == "reference"
    assert times[reference].tolist() == [24, 40]
    assert times.loc["points:3.0", [fast, slow]].tolist() == [np.inf, np.inf]
    assert times.loc["points", slow] == np.inf
    costs = score.results[0].times_to_goal()
    assert times.loc["points", fast] == costs.loc[costs["arm"] == fast, "samples"].median()
    best = min(times.loc["points", fast], 24)
    assert times.loc["points", fast] <= 48
    by_hand = {arm: max(0, 4 - times.loc["points", arm] / best) / 3 / 2 for arm in (fast, slow)}
    by_hand[reference] = max(0, 4 - 24 / best) / 3 / 2 + 1 / 2  # alone in reaching the second goal
    assert score.scores().to_dict() == pytest.approx(by_hand)
    assert score.times("updates")[reference].tolist() == [6, 10]

    table = pd.read_csv("out/score.csv")
    assert table.loc[table["workload"] == "score", "samples"].tolist() == pytest.approx([*by_hand.values()])
    assert (folder / "out" / "profile.png").stat().st_size > 5000
    assert score.as_json()["workloads"][1]["samples"] == {fast: None, slow: None, "reference": 40.0}
    with pytest.raises(ComparisonError, match="counts samples or updates"):
        score.times("seconds")


def test_one_arm_alone_gets_a_score(folder):
    score = score_suite("tiny.json", "mini:4", "sgd:lr=1e-6", **SETTINGS)
    assert score.scores().to_dict() == {"mini:4": 0.0, "reference": 1.0}


def test_a_score_of_saved_runs_is_that_of_the_run(folder):
    score = score_suite("tiny.json", "mini:4", "sgd", out="out", **SETTINGS)
    again = SuiteScore(
        Suite.read("tiny.json"), [optcompare.load(f"out/{name}") for name in ("points_3.0", "points")]
    )
    assert again.scores().equals(score.scores())
    with pytest.raises(ComparisonError, match="needs all its workloads; missing: points:3"):
        SuiteScore(score.suite, score.results[:1])
    write_suite(folder / "other.json", entry(**goal(0.5)))
    with pytest.raises(
        ComparisonError, match=r"points was trained for 4 epochs to valid_loss=0.2.* suite tiny fixes"
    ):
        SuiteScore(Suite.read("other.json"), score.results[:1])


def test_other_data_than_those_of_the_goal_are_noted(folder):
    write_suite(folder / "a.json", entry(**goal(0.2), data_sha256="0" * 64))
    (note,) = score_suite("a.json", "mini:4", "sgd", **SETTINGS).notes()
    assert note.startswith("points: these data are not those on which the goal was set")


@pytest.mark.parametrize(
    ("suite", "error", "message"),
    [
        ("tniy", PluginError, "unknown suite 'tniy'"),
        ("suites.py", ComparisonError, "registered name or a file that ends in .json"),
        ("", ComparisonError, "got nothing"),
        ("broken", PluginError, "suite broken failed: ZeroDivisionError"),
        ("no-suite", PluginError, "suite no-suite must return a Suite, got a int"),
        ("code.json", ComparisonError, "suites.py:points names a Python file"),
        ("unknown.json", PluginError, "unknown workload 'pionts'"),
        ("metric.json", ComparisonError, "there is no metric 'valid_los'"),
        ("goalless.json", ComparisonError, "has no goal for points; write one"),
    ],
)
def test_what_is_no_suite_with_goals_is_refused_in_one_line(suite, error, message, folder):
    write_suite(folder / "code.json", entry("suites.py:points", **goal(0.2)))
    write_suite(folder / "unknown.json", entry("pionts", **goal(0.2)))
    write_suite(folder / "metric.json", entry(goal="valid_los=1"))
    write_suite(folder / "goalless.json", entry())
    with pytest.raises(error, match=message):
        score_suite(suite, "mini:4", **SETTINGS)


def test_what_a_suite_fixes_cannot_be_given(folder):
    with pytest.raises(ComparisonError, match="leave out goal, epochs"):
        score_suite("tiny.json", "mini:4", goal="valid_loss=2", epochs=3, **SETTINGS)
    with pytest.raises(ComparisonError, match=r"suite:tiny.json is a list of workloads, not one"):
        optcompare.compare("suite:tiny.json", "mini:4", **SETTINGS)


def test_goals_are_the_median_of_repeats_of_the_best_arm_and_rate(folder):
    write_suite(folder / "bare.json", entry(), search=SEARCH)
    said = []
    path = set_goals("bare.json", out="goals", plugins=["suites.py"], jobs=1, say=said.append)
    found = Suite.read(path).workloads[0]
    how = found.set_by
    assert how["budget"] == "3 epochs"
    assert how["trials"] == 2 * 3 * 1
    assert [each["arm"] for each in how["tried"]] == ["mini:4@sgd", "mini:4@adamw"]
    best = min(how["tried"], key=lambda each: each["median"])
    assert (found.reference.arm, found.reference.lr) == (best["arm"], best["lr"])
    assert best["lr"] in best["rates"]
    assert len(best["rates"]) == 3
    assert found.goal == f"valid_loss={rounded_up(sorted(how['repeats'])[1])!r}"
    repeats = optcompare.load(folder / "goals" / "points_repeats")
    ends = repeats.records.groupby("seed")["valid_loss"].last()
    assert ends.tolist() == how["repeats"]
    assert (ends <= float(found.goal.partition("=")[2])).sum() >= 2
    assert found.reference.samples <= 3 * 12
    assert found.data_sha256 == repeats.environment["data_sha256"]
    assert said == ["points search: trains", "points repeats: trains", f"points: goal {found.goal}"]

    score = score_suite(path, "mini:4", "sgd", **SETTINGS)
    assert score.notes() == []

    said.clear()
    set_goals("bare.json", out="goals", plugins=["suites.py"], jobs=1, say=said.append)
    assert said == ["points search: goes on", "points repeats: goes on", f"points: goal {found.goal}"]


def test_interrupted_goals_name_the_folder_from_which_they_go_on(folder, monkeypatch, capsys):
    def interrupted(*args, **question):
        raise KeyboardInterrupt

    write_suite(folder / "bare.json", entry(), search=SEARCH)
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "compare", interrupted)
        with pytest.raises(KeyboardInterrupt, match="give its folder goals as out to go on"):
            set_goals("bare.json", out="goals", plugins="suites.py")
        assert run("set-goals", "bare.json", "--out", "goals", "--plugin", "suites.py") == 130
    assert "give its folder goals as --out" in capsys.readouterr().err


def test_goals_go_on_after_a_change_only_where_that_is_asked_for(folder, capsys):
    write_suite(folder / "bare.json", entry(), search=SEARCH)
    command = ("set-goals", "bare.json", "--out", "goals", "--plugin", "suites.py", "--jobs", "1")
    assert run(*command) in (0, None)
    saved = folder / "goals" / "points_search" / "comparison.json"
    saved.write_text(saved.read_text("utf-8").replace(torch.__version__, "1.0"), "utf-8")
    assert run(*command) == 2
    assert "give --force to go on nevertheless" in capsys.readouterr().err
    assert run(*command, "--force") in (0, None)


def test_goals_are_not_set_where_they_cannot_be(folder):
    with pytest.raises(ComparisonError, match="suite tiny has no search"):
        set_goals("tiny.json", out="goals", plugins=["suites.py"])
    write_suite(folder / "line.json", entry("line"), search=SEARCH)
    with pytest.raises(ComparisonError, match="line has no validation set"):
        set_goals("line.json", out="line", jobs=1)
    assert not (folder / "line").exists()
    write_suite(folder / "bare.json", entry(), search=SEARCH)
    write_suite(folder / "more.json", entry(), search={**SEARCH, "tune": 4})
    (folder / "begun").mkdir()
    write_suite(folder / "begun" / "tiny.json", entry(), search=SEARCH)
    with pytest.raises(RunDirectoryError, match="of another suite, budget or search"):
        set_goals("more.json", out="begun", plugins=["suites.py"])
    (folder / "full").mkdir()
    (folder / "full" / "a").touch()
    with pytest.raises(RunDirectoryError, match="exists and is not empty"):
        set_goals("bare.json", out="full", plugins=["suites.py"])


def test_a_suite_with_goals_is_not_overwritten_by_goals_that_are_set(folder):
    path = write_suite(folder / "tiny.json", entry(goal="valid_loss=0.123"), search=SEARCH)
    before = path.read_text("utf-8")
    with pytest.raises(RunDirectoryError, match=r"tiny\.json has goals that were not set there"):
        set_goals("tiny.json", out=".", plugins=["suites.py"], jobs=1)
    assert path.read_text("utf-8") == before
    found = Suite.read(set_goals("tiny.json", out="goals", plugins=["suites.py"], jobs=1))
    assert found.workloads[0].goal not in (None, "valid_loss=0.123")
    assert path.read_text("utf-8") == before


def test_a_goal_is_rounded_up_so_that_the_median_repeat_reaches_it():
    assert rounded_up(0.123401) == 0.1235
    assert rounded_up(0.1234) == 0.1234
    assert rounded_up(12345.0) == 12350.0
    assert json.loads("1.3e-05") == rounded_up(1.3e-05)
