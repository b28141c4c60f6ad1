"""Reproductions: ranges in words, what holds and what does not, errors of their authors, and going on."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import optcompare
import optcompare.api.attempt as attempt_module
from optcompare import (
    ComparisonError,
    Expected,
    Found,
    PluginError,
    RunDirectoryError,
    batch_size_study,
    reproduce,
)
from tests.helpers.commands import run

PLUGIN = """
import os
from dataclasses import dataclass
from optcompare import Expected, Found, Reproduction, Strategy, hookimpl

SETTINGS = dict(epochs=2, seeds=2, jobs=1)


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


def leaves(attempt):
    raise SystemExit(3)


def prints(attempt):
    print("from find")
    return Found({"ratio": 2.0})


def same_part(attempt):
    attempt.compare("a b", "line", "full", **SETTINGS)
    attempt.compare("a_b", "line", "mini", **SETTINGS)


@dataclass
class Halves(Strategy):
    "Two batches an epoch."

    def batches(self, epoch):
        yield from epoch.order.chunk(2)


def own_strategy(attempt):
    result = attempt.compare("own", "line", "halves", **SETTINGS)
    return Found({"ratio": len(result.records.query("epoch == 2"))})


def bad_title(attempt):
    from matplotlib.figure import Figure
    figure = Figure()
    figure.suptitle("$\\frac$")
    return Found({"ratio": 2.0}, figure)


def finds(*found):
    return lambda attempt: Found(*found)


RATIO = Expected("loss of full batches over that of mini-batches", low=1.0)
NARROW = Expected.about("a ratio", 0.5, 0.001, if_not="the line is too easy")
LARGE = Expected("a ratio that takes hours", low=1.0, full_only=True)


def by_size(attempt):
    return Found({"ratio": 2.0} | attempt.choose(quick={}, full={"large": 0.5}))


@hookimpl
def optcompare_strategies():
    return {"halves": Halves}


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
        "leaves": made(leaves, ratio=RATIO),
        "prints": made(prints, ratio=RATIO),
        "same-part": made(same_part, ratio=RATIO),
        "own-strategy": made(own_strategy, ratio=RATIO),
        "bad-title": made(bad_title, ratio=RATIO),
        "no-found": made(lambda attempt: {"ratio": 2.0}, ratio=RATIO),
        "text": made(finds({"ratio": "2.0"}), ratio=RATIO),
        "array": made(finds({"ratio": [1.0, 2.0]}), ratio=RATIO),
        "no-mapping": made(finds(2.0), ratio=RATIO),
        "path-of-figure": made(finds({"ratio": 2.0}, "figure.png"), ratio=RATIO),
        "one-note": made(finds({"ratio": 2.0}, None, "measured twice"), ratio=RATIO),
        "no-range": made(ratio, ratio=1.0),
        "no-function": made(3, ratio=RATIO),
        "any-number": lambda: Expected("a ratio"),
        "no-number": lambda: Expected("a ratio", 2, 1),
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
        (Expected("x", low=2), "at least 2", (2, 1e300), (1.99, -math.inf, math.inf)),
        (Expected("x", high=-0.5), "at most -0.5", (-0.5, -3), (-0.4, -math.inf)),
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
    assert "a ratio: likely reason: the line is too easy" in out
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
    assert (
        "interrupted: holds was interrupted; give its folder x as --out to go on" in capsys.readouterr().err
    )
    with pytest.raises(KeyboardInterrupt, match="give its folder x as out to go on from there"):
        reproduce("holds", out="x", plugins=[plugin])
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


def test_a_comparison_that_is_interrupted_interrupts_the_attempt(plugin, monkeypatch):
    real = attempt_module.compare

    def interrupted(*args, **options):
        return dataclasses.replace(real(*args, **options), status="interrupted")

    monkeypatch.setattr(attempt_module, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt, match="holds was interrupted"):
        reproduce("holds", out="x", plugins=[plugin])
    assert json.loads(Path("x/reproduction.json").read_text("utf-8"))["holds"] is None


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_what_a_reproduction_prints_stays_out_of_the_report(plugin, capsys, option):
    assert run("reproduce", "prints", "--plugin", plugin, "--out", "x", option) == 0
    out, err = capsys.readouterr()
    assert "from find" in err
    assert json.loads(out)["holds"] if option == "--json" else out == "x/reproduction.json\n"


def test_parts_know_what_the_plugin_of_the_reproduction_registers(plugin):
    assert reproduce("own-strategy", out="x", plugins=plugin).found.values == {"ratio": 2.0}
    assert optcompare.load("x/own").trials["arm"].unique().tolist() == ["halves"]


def test_numbers_of_any_kind_are_found():
    values = {"a": np.float32(0.5), "b": torch.tensor(2), "c": np.int64(3), "d": True}
    assert Found(values).values == {"a": 0.5, "b": 2.0, "c": 3.0, "d": 1.0}


def test_an_attempt_goes_on_after_a_change_only_where_that_is_asked_for(plugin, capsys):
    command = ("reproduce", "holds", "--plugin", plugin, "--out", "x")
    assert run(*command) == 0
    environment = Path("x/a_b/comparison.json")
    environment.write_text(environment.read_text("utf-8").replace(torch.__version__, "1.0"), "utf-8")
    report = Path("x/reproduction.json").read_text("utf-8")
    capsys.readouterr()
    assert run(*command) == 2
    assert "give --force to go on nevertheless" in capsys.readouterr().err
    assert Path("x/reproduction.json").read_text("utf-8") == report, "a refusal loses nothing"
    with pytest.raises(optcompare.ComparisonError, match="give force=True to go on nevertheless"):
        reproduce("holds", out="x", plugins=[plugin])
    assert run(*command, "--force") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("holdz", r"unknown reproduction 'holdz' \(did you mean 'holds'\?\)"),
        ("wrong-name", "wrong-name must find exactly the numbers that it expects: ratio; it found ration"),
        ("leaves", r"reproduction leaves failed: SystemExit: 3 \(claims.py"),
        ("same-part", "this attempt has a part a_b already; give each part another name"),
        ("bad-title", "the figure of reproduction bad-title cannot be drawn: ValueError"),
        ("no-found", "find of reproduction no-found must return a Found, got a dict"),
        ("text", r"failed: ValueError: values\['ratio'\] must be a number, got '2.0' \(claims.py"),
        ("array", r"values\['ratio'\] must be a number, got \[1.0, 2.0\]"),
        ("no-mapping", "values must be a mapping of names to numbers, got a float"),
        ("path-of-figure", "figure must be a matplotlib Figure, got a str"),
        ("one-note", "notes must be a list of sentences, got 'measured twice'"),
        ("no-range", "expected must be a mapping of names to Expected, with one at least"),
        ("no-function", "find must be a function, got a int"),
        ("any-number", "any number holds for 'a ratio'; give low, high or both"),
        ("no-number", "no number holds for 'a ratio' from low=2.0 to high=1.0"),
        ("fails", r"reproduction fails failed: ZeroDivisionError: .*claims.py"),
        ("nothing-expected", "expected must be a mapping of names to Expected, with one at least"),
        ("large-only", "large-only must expect a number at the quick size, too"),
        ("no-reproduction", "no-reproduction must return a Reproduction, got a int"),
    ],
)
def test_mistakes_of_an_author_are_one_line(plugin, name, message):
    with pytest.raises((PluginError, optcompare.ComparisonError), match=message):
        reproduce(name, out="x", plugins=[plugin])


def test_a_folder_of_something_else_is_refused(plugin, tmp_path):
    reproduce("misses", out="x", plugins=[plugin])
    with pytest.raises(
        RunDirectoryError, match="x holds no full attempt at misses, but a quick one at misses"
    ):
        reproduce("misses", full=True, out="x", plugins=[plugin])
    with pytest.raises(RunDirectoryError, match="x holds no quick attempt at holds"):
        reproduce("holds", out="x", plugins=[plugin])
    for damaged in (b"[1", b"[1]", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "x" / "reproduction.json").write_bytes(damaged)
        with pytest.raises(RunDirectoryError, match="json cannot be read as the report of an attempt; give"):
            reproduce("misses", out="x", plugins=[plugin])
    with pytest.raises(RunDirectoryError, match=r"cannot read x{300}: File name too long; give another"):
        reproduce("misses", out="x" * 300, plugins=[plugin])
    report = {"name": "misses", "size": "quick", "holds": None}
    for seconds in ("Infinity", "NaN", "-5", '"long"', "null"):
        text = json.dumps(report)[:-1] + f', "seconds": {seconds}}}'
        (tmp_path / "x" / "reproduction.json").write_text(text)
        assert 0 <= reproduce("misses", out="x", plugins=[plugin]).seconds < 60
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: optcompare.reproduce(3),
            "^name must be the name of a reproduction, such as 'notebook', got 3",
        ),
        (lambda: optcompare.reproduce("notebook", out=3), "^out must be the path of a folder, got 3"),
        (lambda: optcompare.set_goals("small", out=3), "^out must be the path of a folder, got 3"),
        (lambda: optcompare.score_suite("small", "mini", out=3), "^out must be the path of a folder, got 3"),
        (lambda: optcompare.compare("line", out=3), "^out must be the path of a folder, got 3"),
        (lambda: optcompare.compare("line", resume=[]), r"^resume must be the path of a folder, got \[\]"),
        (
            lambda: optcompare.batch_size_study("line", out=b"x"),
            "^out must be the path of a folder, got b'x'",
        ),
    ],
)
def test_what_is_no_name_or_path_is_refused(call, message):
    with pytest.raises(ComparisonError, match=message):
        call()
