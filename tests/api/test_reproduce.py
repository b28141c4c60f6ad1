"""Reproductions: ranges in words, what holds and what does not, errors of their authors, and going on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import optcompare
from optcompare import Expected, PluginError, RunDirectoryError, batch_size_study, reproduce
from tests.helpers.commands import run

PLUGIN = """
import os
from optcompare import Expected, Found, Reproduction, hookimpl

SETTINGS = dict(epochs=2, seeds=2, jobs=1)
trained = []


def ratio(attempt):
    result = attempt.compare("a b", "line", ["full", "mini:2"], **SETTINGS)
    if "INTERRUPTED" in os.environ:
        raise KeyboardInterrupt
    attempt.compare("second", "line", "full", **SETTINGS)
    loss = result.records.query("epoch == 2").groupby("arm")["train_loss"].mean()
    notes = ["measured on six points"]
    return Found({"ratio": loss["full"] / loss["mini:2"]}, result.plot(), notes)


def made(find, **expected):
    def reproduction():
        "Reproduce that more updates are better (any textbook)."
        return Reproduction("More updates.", "any textbook", "Six points.", expected, find, quick="2 seeds.")
    return reproduction


def wrong_name(attempt):
    return Found({"ration": 2.0})


def fails(attempt):
    return 1 / 0


RATIO = Expected("loss of full batches over that of mini-batches", low=1.0)
NARROW = Expected.about("a ratio", 0.5, 0.001, if_not="the line is too easy")
LARGE = Expected("a ratio that takes hours", low=1.0, full_only=True)


def by_size(attempt):
    return Found({"ratio": 2.0} | attempt.choose(quick={}, full={"large": 0.5}))


@hookimpl
def optcompare_trial_finished(trial, outcome):
    trained.append(trial.arm.label)


@hookimpl
def optcompare_reproductions():
    return {
        "holds": made(ratio, ratio=RATIO),
        "misses": made(lambda attempt: Found({"a": float("nan"), "b": 0.7}), a=RATIO, b=NARROW),
        "by-size": made(by_size, ratio=RATIO, large=LARGE),
        "large-only": made(by_size, large=LARGE),
        "wrong-name": made(wrong_name, ratio=RATIO),
        "fails": made(fails, ratio=RATIO),
        "nothing-expected": made(ratio),
        "no-reproduction": lambda: 3,
    }
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    path = tmp_path / "claims.py"
    path.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return str(path)


@pytest.mark.parametrize(
    ("expected", "words", "inside", "outside"),
    [
        (Expected("x", 0.9, 1.1), "0.9 to 1.1", (0.9, 1.1), (0.899, 1.101, math.nan)),
        (Expected("x", low=2), "at least 2", (2, math.inf), (1.99, -math.inf)),
        (Expected("x", high=-0.5), "at most -0.5", (-0.5, -3), (-0.4,)),
        (Expected.about("x", 1.0089, 0.00005), "1.0089 ± 5e-05", (1.00894,), (1.00896,)),
        (Expected.about("x", 94, 2), "92 to 96", (92, 96), (91.9,)),
        (Expected.about("x", 3, 0), "3 to 3", (3,), (3.1,)),
        (Expected.about("x", 0.68, 0.02), "0.66 to 0.7", (3.3 / 5, 0.66 - 1e-16), (0.66 - 1e-9,)),
    ],
)
def test_a_range_says_what_it_holds(expected, words, inside, outside):
    assert expected.range == words
    assert [expected.holds(value) for value in inside] == [True] * len(inside)
    assert [expected.holds(value) for value in outside] == [False] * len(outside)


def test_a_value_is_shown_with_the_digits_that_its_range_needs():
    assert Expected.about("x", 1.0089, 0.00005).shown(1.00894) == "1.0089"
    assert Expected("x", 0.9, 1.1).shown(0.98765) == "0.988"
    assert Expected.about("x", 1.0089, 0.00005).shown(math.nan) == "nan"


def test_the_notebook_holds_to_four_digits(tmp_path, capsys):
    assert run("reproduce", "notebook", "--out", tmp_path / "x") == 0
    out = capsys.readouterr().out
    assert "notebook holds: all 12 numbers as expected" in out
    assert (tmp_path / "x" / "figure.png").stat().st_size > 10_000
    report = json.loads((tmp_path / "x" / "reproduction.json").read_text())
    assert report["holds"]
    assert {each["holds"] for each in report["expected"]} == {True}
    assert report["date"].startswith("20")
    assert optcompare.load(tmp_path / "x" / "after_1_epoch").status == "finished"


def test_what_does_not_hold_is_shown_with_its_likely_reason(plugin, capsys):
    assert run("reproduce", "misses", "--plugin", plugin, "--out", "x") == 1
    out = capsys.readouterr().out
    assert "misses does not hold at the quick size: 2 of 2 numbers not as expected" in out
    assert "a ratio: the line is too easy" in out
    assert "loss of full batches over that of mini-batches: no likely reason is known" in out
    assert "setting: Six points. Quick: 2 seeds." in out
    found = json.loads(Path("x/reproduction.json").read_text())
    assert [each["found"] for each in found["expected"]] == [None, 0.7]
    assert not found["holds"]


def test_a_number_of_the_full_size_is_neither_found_nor_shown_at_the_quick_one(plugin, capsys):
    assert run("reproduce", "by-size", "--plugin", plugin) == 0
    out = capsys.readouterr().out
    assert "by-size holds at the quick size: 1 number as expected" in out
    assert "takes hours" not in out
    assert run("reproduce", "by-size", "--plugin", plugin, "--full", "--out", "x") == 1
    assert "by-size does not hold: 1 of 2 numbers not as expected" in capsys.readouterr().out
    found = json.loads(Path("x/reproduction.json").read_text())["expected"]
    assert [each["found"] for each in found] == [2.0, 0.5]


def test_json_alone_is_printed_where_it_is_asked_for(plugin, capsys):
    assert run("reproduce", "holds", "--plugin", plugin, "--full", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["size"], report["notes"]) == ("full", ["measured on six points"])


def test_quiet_prints_the_figure_or_the_report(plugin, capsys):
    assert run("reproduce", "holds", "--plugin", plugin, "--quiet", "--out", "x") == 0
    assert run("reproduce", "misses", "--plugin", plugin, "--quiet", "--out", "y") == 1
    assert capsys.readouterr().out.split() == ["x/figure.png", "y/reproduction.json"]


def test_an_interrupted_attempt_goes_on_without_training_again(plugin, monkeypatch, capsys):
    command = ("reproduce", "holds", "--plugin", plugin, "--out", "x")
    monkeypatch.setenv("INTERRUPTED", "")
    assert run(*command) == 130
    before = (optcompare.load("x/a_b").trials["final_sha256"]).tolist()
    monkeypatch.delenv("INTERRUPTED")
    unfinished = json.loads(Path("x/reproduction.json").read_text("utf-8"))
    assert (unfinished["holds"], unfinished["seconds"] > 0) == (None, True)
    seen = []
    result = reproduce("holds", out="x", plugins=[plugin], say=seen.append)
    assert seen == ["a b: goes on", "second: trains"]
    assert result.holds
    assert result.seconds > unfinished["seconds"]
    assert optcompare.load("x/a_b").trials["final_sha256"].tolist() == before
    assert (
        optcompare.load("x/a_b").environment["started"] <= optcompare.load("x/second").environment["started"]
    )


def test_an_attempt_goes_on_after_a_change_only_where_that_is_asked_for(plugin, capsys):
    command = ("reproduce", "holds", "--plugin", plugin, "--out", "x")
    assert run(*command) == 0
    environment = Path("x/a_b/comparison.json")
    environment.write_text(environment.read_text("utf-8").replace(torch.__version__, "1.0"), "utf-8")
    capsys.readouterr()
    assert run(*command) == 2
    assert "give --force to go on nevertheless" in capsys.readouterr().err
    with pytest.raises(optcompare.ComparisonError, match="give force=True to go on nevertheless"):
        reproduce("holds", out="x", plugins=[plugin])
    assert run(*command, "--force") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("holdz", r"unknown reproduction 'holdz' \(did you mean 'holds'\?\)"),
        ("wrong-name", "wrong-name must find exactly the numbers that it expects: ratio"),
        ("fails", r"reproduction fails failed: ZeroDivisionError: .*claims.py"),
        ("nothing-expected", "nothing-expected must return a Reproduction that expects a number"),
        ("large-only", "large-only must expect a number at the quick size, too"),
        ("no-reproduction", "no-reproduction must return a Reproduction"),
    ],
)
def test_mistakes_of_an_author_are_one_line(plugin, name, message):
    with pytest.raises(PluginError, match=message):
        reproduce(name, out="x", plugins=[plugin])


def test_a_folder_of_something_else_is_refused(plugin, tmp_path):
    reproduce("misses", out="x", plugins=[plugin])
    with pytest.raises(RunDirectoryError, match="x holds no full attempt at misses"):
        reproduce("misses", full=True, out="x", plugins=[plugin])
    with pytest.raises(RunDirectoryError, match="x holds no quick attempt at holds"):
        reproduce("holds", out="x", plugins=[plugin])
    (tmp_path / "x" / "reproduction.json").write_text("[1")
    with pytest.raises(RunDirectoryError, match="x holds no quick attempt at misses"):
        reproduce("misses", out="x", plugins=[plugin])
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "mine").write_text("")
    with pytest.raises(RunDirectoryError, match="y exists and is not empty"):
        reproduce("misses", out="y", plugins=[plugin])


def test_each_attempt_without_a_folder_gets_its_own(plugin):
    first, second = (reproduce("misses", plugins=[plugin]).directory for _ in range(2))
    assert first != second


def test_a_study_goes_on_with_more_seeds(tmp_path):
    study = {"batch_sizes": [2, 6], "tune": 2, "max_epochs": 5, "jobs": 1}
    few = batch_size_study("line", "train_loss=5", seeds=2, out=tmp_path / "x", **study)
    more = batch_size_study("line", "train_loss=5", seeds=3, resume=tmp_path / "x", **study)
    assert set(more.trials["seed"]) - set(few.trials["seed"]) == {2}
    with pytest.raises(optcompare.ComparisonError, match="leave out `out`"):
        batch_size_study("line", "train_loss=5", out=tmp_path / "y", resume=tmp_path / "x", **study)
    with pytest.raises(optcompare.ComparisonError, match="give resume too"):
        batch_size_study("line", "train_loss=5", out=tmp_path / "y", force=True, **study)
    with pytest.raises(optcompare.OptcompareError, match="goal"):
        batch_size_study("line", "train_loss=4", seeds=3, resume=tmp_path / "x", **study)
