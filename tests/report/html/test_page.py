"""The report page, without a browser: what stands in it, that it is escaped, small, and calls nobody."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from optcompare import compare, load
from optcompare.report.html import markup, series
from optcompare.report.html import page as pages
from optcompare.report.plots import style
from tests.helpers.commands import run
from tests.helpers.hostile_names import NAMES, strategy
from tests.helpers.html import Outline
from tests.helpers.workloads import held_out, small_workload


def data_of(text, place=0):
    scripts = [body for attributes, body in Outline(text).scripts if attributes.get("id") == f"data-{place}"]
    assert len(scripts) == 1
    return json.loads(scripts[0])


@pytest.fixture(scope="module")
def result():
    metrics = {"accuracy": lambda output, y: ((output.sign() == y.sign()).sum(), len(y))}
    return compare(
        small_workload(20, valid=small_workload(8).train, metrics=metrics),
        ["full", "mini:4", "growth:2"],
        seeds=4,
        epochs=5,
        goal="valid_loss=0.9",
        tune=3,
        tune_seeds=1,
    )


@pytest.mark.slow
def test_the_page_says_what_the_result_says(result):
    outline = Outline(pages.page([result]))
    words = " ".join(outline.words)
    for sentence in [*result.verdict(), *(check.detail for check in result.certificate), "all 8 checks held"]:
        assert sentence in words
    assert outline.tags.count("table") == 7  # summary, goal, spread, pairs, tuning, trials, plugins
    assert outline.tags.count("tr") >= 12 + 3 * 4
    positions = [
        words.index(name) for name in ("Verdict", "Fairness certificate", "Summary", "Trials", "Environment")
    ]
    assert positions == sorted(positions)


@pytest.mark.slow
def test_the_embedded_medians_are_those_of_the_records(result):
    data = data_of(pages.page([result]))
    records = result.reported[0]
    assert [axis["key"] for axis in data["xs"]] == ["epochs", "updates", "samples", "seconds"]
    keys = [metric["key"] for metric in data["metrics"]]
    assert keys == ["train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "batch_size"]
    assert keys[data["first"]] == "valid_loss"
    assert data["goal"] == {"metric": 1, "value": 0.9}
    for arm in data["arms"]:
        rows = records[records["arm"] == arm["name"]]
        by_mark = rows.groupby("mark")
        for column, place in zip(("epoch", "update", "samples", "seconds"), arm["x"], strict=True):
            np.testing.assert_allclose(data["pool"][place], by_mark[column].median(), rtol=5.1e-5)
        for column, place in zip(keys, arm["y"], strict=True):
            np.testing.assert_allclose(data["pool"][place], by_mark[column].median(), rtol=5.1e-5)
        for seed, status, xs, ys in arm["seeds"]:
            of_seed = rows[rows["seed"] == seed]
            assert status == "finished"
            np.testing.assert_allclose(data["pool"][xs[3]], of_seed["seconds"], rtol=5.1e-5)
            np.testing.assert_allclose(data["pool"][ys[1]], of_seed["valid_loss"], rtol=5.1e-5)


@pytest.mark.slow
def test_the_policy_lets_the_pages_own_script_run_and_nothing_else(result):
    text = pages.page([result])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    outline = Outline(text)
    assert not [name for name, _ in outline.attributes if name.startswith("on") or name in ("style", "src")]
    assert {"link", "img", "iframe"}.isdisjoint(outline.tags)
    assert "url(" not in text.replace("url(#", "")
    assert re.findall(r"https?://[^\"]*", text) == [
        "http://www.w3.org/2000/svg"
    ]  # a name, which nobody calls
    assert "innerHTML" not in text


BREAKING = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "]]>&amp;'",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_test_set_stands_in_the_tables_and_has_no_curve():
    result = compare(held_out(), ["full", "mini:6"], seeds=4, epochs=2, split_seeds=2)
    text = pages.page([result])
    outline = Outline(text)
    words = " ".join(outline.words)
    for name in ("final test loss", "final test accuracy", "final valid_loss: mean", "final test_loss: mean"):
        assert name in words
    assert outline.words.count("final test_loss") == 1, "a column of the table of trials"
    assert "4 seeds on 2 splits" in words
    keys = [metric["key"] for metric in data_of(text)["metrics"]]
    assert keys == ["train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "batch_size"]


@pytest.mark.slow
def test_names_that_want_out_stay_names():
    names = [*BREAKING, *(name for name in NAMES if name.strip())]
    result = compare(small_workload(name=BREAKING[0]), [strategy(name) for name in names], seeds=2, epochs=1)
    result.notes += BREAKING
    result.environment["<b>machine</b>"] = {"<i>": BREAKING}
    text = pages.page([result])
    outline = Outline(text)
    assert outline.tags.count("script") == 2
    assert {"img", "b", "i", "bold"}.isdisjoint(outline.tags)
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert [arm["name"] for arm in data_of(text)["arms"]][:4] == BREAKING
    assert all(note in outline.words for note in BREAKING)
    assert not {"\x1b", "\0", "\u202e"} & set(text)


@pytest.mark.slow
def test_a_diverged_trial_is_marked_and_never_flatters_a_metric():
    result = compare(
        small_workload(metrics={"score": lambda output, y: (output.sum() * 0 + len(y), len(y))}),
        ["full", "full@sgd:lr=1e9"],
        seeds=3,
        epochs=8,
    )
    data = data_of(pages.page([result]))
    lost = data["arms"][1]
    assert lost["note"] == "3 of 3 diverged"
    assert {status for _, status, _, _ in lost["seeds"]} == {"diverged"}
    assert all(data["pool"][ys[0]][-1] is None for _, _, _, ys in lost["seeds"])
    assert data["metrics"][0]["log"][1] < 1e6
    assert not {"NaN", "Infinity"} & set(re.findall(r"\w+", json.dumps(data)))

    records = result.records.copy()
    rising = records["arm"] == records["arm"].iloc[-1]
    records.loc[rising, "train_score"] = [0.0, math.nan] * (int(rising.sum()) // 2)
    found = json.loads(series.embedded(*_with(result, records).reported, metric="train_loss"))
    y = found["arms"][1]["y"][[metric["key"] for metric in found["metrics"]].index("train_score")]
    assert max(value for value in found["pool"][y] if value is not None) == 0


def _with(result, records):
    import dataclasses

    return dataclasses.replace(result, records=records)


def many(seeds, marks, arms=3):
    """Records of so many trials, made up."""
    generator = np.random.default_rng(0)
    grid = pd.MultiIndex.from_product(
        [[f"mini:{i}" for i in range(arms)], range(seeds), range(marks)], names=["arm", "seed", "update"]
    ).to_frame(index=False)
    noise = generator.uniform(0.5, 1.5, (len(grid), 4))
    grid = grid.assign(
        workload="made", mark=grid["update"] * 7, samples=grid["update"] * 7, epoch=grid["update"] / 3.0
    )
    return grid.assign(
        seconds=grid["update"] * noise[:, 0],
        clock="measured",
        train_loss=noise[:, 1],
        valid_loss=noise[:, 2],
        valid_accuracy=noise[:, 3],
    )


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "marks"), [(500, 60), (3, 20_000)])
def test_a_large_run_makes_a_small_page(seeds, marks):
    records = many(seeds, marks)
    text = series.embedded(records, pd.DataFrame(), metric="valid_loss")
    assert len(text) < 4_000_000
    data = json.loads(text)
    for arm in data["arms"]:
        assert arm["count"] == seeds
        assert len(arm["seeds"]) == min(seeds, style.DRAWN)
        assert len(data["pool"][arm["x"][0]]) <= series.POINTS
        xs = [data["pool"][xs[1]] for _, _, xs, _ in arm["seeds"]]
        assert all(line[0] == 0 and line[-1] == pytest.approx(marks - 1, rel=1e-4) for line in xs)


@pytest.mark.parametrize(
    ("clock", "said"), [("estimated", "updates × time of one"), ("shared", "several trials at once")]
)
def test_the_axis_of_seconds_says_how_they_were_found(clock, said):
    data = json.loads(series.embedded(many(2, 3).assign(clock=clock), pd.DataFrame(), metric="train_loss"))
    assert said in data["xs"][3]["name"]


@pytest.mark.slow
def test_of_many_trials_the_table_shows_some_and_those_that_did_not_finish_first(result, monkeypatch):
    monkeypatch.setattr(pages, "ROWS", 5)
    trials = result.trials.copy()
    last = trials.index[-1]
    trials.loc[last, ["status", "reason"]] = ["failed", "it <broke>"]
    other = _with(result, result.records)
    other.trials = trials
    text = pages.page([other])
    table = text[text.index("<h2>Trials") : text.index("<h2>Environment")]
    assert table.count("<tr>") == 6
    assert "it &lt;broke&gt;" in table
    assert "5 of 12 trials" in table


def test_what_is_kept_has_the_ends_and_the_beginning():
    assert series.kept(5, 10).tolist() == [0, 1, 2, 3, 4]
    few = series.kept(100_000, 100)
    assert len(few) <= 101
    assert few[0] == 0
    assert few[-2:].tolist() == [99_998, 99_999]
    assert (few < 100).sum() > 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234", 1234),
        ("-1.37 (-1.44 to -1.3)", -1.37),
        ("2.3e-05 ± 1e-06", 2.3e-5),
        ("3 min 05 s", 185),
        ("0.8 s", 0.8),
        ("2 h 10 min", 7800),
        ("∞", math.inf),
        ("<.001", 0.001),
        (".037", 0.037),
        ("median 3.2", 3.2),
        ("full", None),
        ("1fcc3e28", None),
        ("0 of 6", 0),
        ("0.03 (edge)", 0.03),
    ],
)
def test_cells_are_sorted_by_what_they_mean(text, value):
    assert markup.sort_value(text) == value


def test_what_is_missing_has_no_place_in_the_order():
    assert math.isnan(markup.sort_value("–"))


@pytest.mark.slow
def test_the_command_line_writes_it_beside_the_plot_or_alone(tmp_path, capsys, result):
    compare("line", ["full", "mini"], seeds=2, epochs=2, out=tmp_path / "a")
    compare("quadratic", ["full", "mini"], seeds=2, epochs=2, out=tmp_path / "b")
    assert run("report", tmp_path / "a", "--format", "png,html", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"plot: {tmp_path / 'out' / 'a-comparison.png'}",
        f"page: {tmp_path / 'out' / 'a-report.html'}",
    ]
    assert run("report", tmp_path / "a", tmp_path / "b", "--format", "html", "--out", tmp_path / "two") == 0
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["a+b-report.html"]
    text = (tmp_path / "two" / "a+b-report.html").read_text(encoding="utf-8")
    assert Outline(text).tags.count("figure") == 2
    assert data_of(text, 1)["metrics"]
    assert run("report", tmp_path / "a", "--format", "html", "--figure", "pairs") == 2
    assert "leave out --figure" in capsys.readouterr().err


def test_a_run_can_write_it_at_once(tmp_path):
    settings = ("--strategies", "full,mini", "--seeds", 2, "--epochs", 2, "--tune", 2, "--format", "html")
    assert run("run", *settings, "--out", tmp_path / "run") == 0
    assert not (tmp_path / "run" / "comparison.png").exists()
    text = (tmp_path / "run" / "comparison.html").read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert run("verify", tmp_path / "run", "--trials", "0") == 0
    assert load(tmp_path / "run").verdict()[0] in Outline(text).words


def test_a_run_without_a_measurement_has_a_page_too(result):
    empty = _with(result, result.records[:0])
    empty.trials, empty.status = result.trials[:0], "interrupted"
    text = pages.page([empty])
    assert "there is nothing to draw" in text
    assert "interrupted" in text
