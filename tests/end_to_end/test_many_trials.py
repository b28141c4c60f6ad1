"""Runs of many trials: few files, figures that say what they leave out, and the numbers of a plain
computation.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.statistics import final_values, mean_interval
from optcompare.analysis.summary import summarize
from optcompare.analysis.time_to_goal import time_to_goal
from optcompare.core.comparison import Arm, Budget, Comparison, Part, Trial
from optcompare.core.goal import Goal
from optcompare.report.plots.comparison import comparison_figure
from optcompare.report.plots.curves import arm_curves, with_status
from optcompare.report.plots.final_values import final_figure
from optcompare.report.plots.goal import goal_figure
from optcompare.report.plots.style import DRAWN, arm_colours
from optcompare.storage import journal
from optcompare.storage.journal import Journal
from optcompare.storage.previous_run import PreviousRun
from optcompare.storage.run_tables import PARTS, read_run, trial_numbers
from optcompare.storage.state_files import STATES, SavedStates
from tests.helpers.tables import tables
from tests.helpers.tables import trial as ended

SEEDS = 3 * DRAWN


def made(seed: int) -> Trial:
    part = Part("full", "full")
    return Trial(Arm("full", part, part, {}, 0.1, 8), seed)


def row(seed: int, **values: object) -> dict[str, object]:
    return {"phase": "report", "arm": "full", "lr": 0.1, "seed": seed, **values}


def written(directory, trials: int, records: int = 2) -> list[int]:
    """Writes each trial as soon as it ends; returns how many files there were after each."""
    book, counts = Journal(directory, lambda trial, outcome: None), []
    for seed in range(trials):
        state = {"model": {}, "progress": {"updates": seed}}
        book.add(made(seed), row(seed), [row(seed, mark=mark) for mark in range(records)], state)
        book.flush()
        counts.append(sum(path.is_file() for path in directory.rglob("*")))
    return counts


@pytest.mark.slow
def test_slow_trials_do_not_leave_a_file_each(tmp_path):
    """Each has a second of its own, so that each is flushed alone."""
    most = max(written(tmp_path, 300))
    assert most <= 3 * journal._MOST_SMALL
    records, trials = read_run(tmp_path, [], [])
    assert trials["seed"].tolist() == list(range(300))
    assert records[["seed", "mark"]].to_numpy().tolist() == [
        [seed, mark] for seed in range(300) for mark in (0, 1)
    ]
    kept = SavedStates(tmp_path)
    assert [kept[made(seed)]["progress"]["updates"] for seed in range(300)] == list(range(300))


def test_quick_trials_share_files(tmp_path):
    book = Journal(tmp_path, lambda trial, outcome: None)
    for seed in range(5000):
        book.add(made(seed), row(seed), [row(seed, mark=mark) for mark in range(20)])
    book.flush()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) < 50
    assert len(book.tables) == len(list((tmp_path / PARTS).glob("*-trials.parquet")))
    assert sum(len(trials) for _, trials in book.tables) == 5000


def test_large_parts_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_FEW_RECORDS", 2)
    monkeypatch.setattr(journal, "_MOST_BYTES", 0)
    written(tmp_path, 70)
    assert len(list((tmp_path / PARTS).iterdir())) == 140
    assert len(list((tmp_path / STATES).iterdir())) == 70


@pytest.mark.parametrize("left", ["records", "parquet"])
def test_a_crash_while_parts_are_merged_loses_nothing(tmp_path, monkeypatch, left):
    """The merged part is there, and the records of those that it replaces, or these parts as a whole."""
    monkeypatch.setattr(journal, "_MOST_SMALL", 4)
    unlink, doomed = type(tmp_path).unlink, {}

    def keeping(path, missing_ok=False):
        if left in path.name and path.exists() and not path.name.startswith("."):
            doomed[path] = path.read_bytes()
        unlink(path, missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", keeping)
    written(tmp_path, 4)
    assert len(list((tmp_path / PARTS).iterdir())) == 2
    for path, content in doomed.items():
        path.write_bytes(content)
    assert len(doomed) >= 4
    records, trials = read_run(tmp_path, [], [])
    assert sorted(trials["seed"]) == [0, 1, 2, 3]
    assert sorted(records["seed"]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_same_trial_has_the_same_number_in_both_tables():
    one = pd.DataFrame([row(2), row(1), {**row(1), "lr": 0.2}, row(2)])
    other = pd.DataFrame([row(1), row(3)])
    first, second = trial_numbers(one, other)
    assert first.tolist() == [0, 1, 2, 0]
    assert second.tolist() == [1, 3]


def many() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two arms of many seeds, of which one in fifty of the second diverges."""
    rng = np.random.default_rng(0)
    trials = []
    for seed in range(SEEDS):
        losses = np.sort(rng.random((2, 5)) + 0.1, axis=1)[:, ::-1]
        trials.append(ended("a", seed, losses[0]))
        lost = seed % 50 == 7
        trials.append(
            ended(
                "b", seed, [*losses[1][:3], math.inf] if lost else losses[1], ["finished", "diverged"][lost]
            )
        )
    records, outcomes = tables(*trials)
    return records.assign(mark=records["samples"], epoch=records["samples"] / 10, workload="w"), outcomes


def test_numbers_are_those_of_a_plain_computation():
    records, trials = many()
    rows = {key: list(group["train_loss"]) for key, group in records.groupby(["arm", "seed"])}
    finals = final_values(records, trials, "train_loss").set_index(["arm", "seed"])
    for (arm, seed), losses in rows.items():
        lost = not math.isfinite(losses[-1])
        expected = [math.inf] * 2 if lost else [losses[-1], min(losses)]
        assert finals.loc[(arm, seed)].tolist() == expected
    times = time_to_goal(records, trials, Goal("train_loss", 0.5)).set_index(["arm", "seed"])
    for key, losses in rows.items():
        places = [place for place, loss in enumerate(losses) if loss <= 0.5]
        assert times.loc[key, "samples"] == (10 * places[0] if places else math.inf)
    of_a = [rows["a", seed][-1] for seed in range(SEEDS)]
    summary = summarize(records.assign(strategy="s", optimizer="o"), trials).set_index("arm")
    assert summary.loc["a", ["final_train_loss", "final_train_loss_low"]].tolist() == list(
        mean_interval(of_a)[:2]
    )
    assert summary.loc["b", "diverged"] == SEEDS // 50


def test_medians_and_statuses_are_of_all_seeds_and_lines_of_some():
    records, trials = many()
    rows = with_status(records, trials)
    lost = rows.drop_duplicates(["arm", "seed"]).query("status == 'diverged'")
    assert lost["seed"].tolist() == list(range(7, SEEDS, 50))
    curves = arm_curves(rows[rows["arm"] == "a"], "samples")
    assert len(curves.trials) == DRAWN
    a = records[records["arm"] == "a"]
    assert curves.median[:, 1].tolist() == a.groupby("samples")["train_loss"].median().tolist()
    stopped = arm_curves(rows[rows["arm"] == "b"], "samples").stopped["diverged"]
    thirds = records[(records["arm"] == "b") & (records["seed"] % 50 == 7) & (records["samples"] == 20)]
    assert stopped.tolist() == thirds[["samples", "train_loss"]].to_numpy().tolist()


def texts(figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_figures_say_how_many_seeds_they_draw():
    records, trials = many()
    some = f"{DRAWN} of {SEEDS} seeds"
    figure = comparison_figure(records, trials)
    assert f"thin lines: {some} of an arm" in texts(figure)
    assert {len(lines.get_segments()) for ax in figure.axes for lines in ax.collections} == {DRAWN}
    finals = final_values(records, trials, "train_loss").rename(columns={"final": "value"})
    intervals = pd.DataFrame({"arm": ["a"], "mean": [0.5], "low": [0.4], "high": [0.6]})
    colours = arm_colours(["a", "b"])
    figure = final_figure(finals, intervals, colours)
    assert f"Dots: {some}" in texts(figure)
    values = finals.loc[finals["arm"] == "a", "value"]
    (dots,) = (
        line
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == DRAWN and line.get_color() == colours["a"]
    )
    assert {values.min(), values.max()} <= set(dots.get_xdata()) <= set(values)
    times = time_to_goal(records, trials, Goal("train_loss", 0.9)).rename(columns={"samples": "value"})
    assert f"dots: {some}" in texts(goal_figure(times, colours))


def test_few_seeds_are_all_drawn_and_nothing_is_said():
    records, trials = (table[table["seed"] < DRAWN] for table in many())
    assert "thin lines: each seed." in texts(comparison_figure(records, trials))


def test_what_an_earlier_run_left_is_found_trial_by_trial(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        row(seed, update=mark, train_loss=rng.random(), note=f"{seed}")
        for mark in (0, 1)
        for seed in range(9)
    ]
    arm = made(0).arm
    comparison = Comparison(Part("w", "w"), (arm,), tuple(range(9)), Budget("epochs", 1))
    trials = pd.DataFrame([row(seed, status="finished") for seed in range(9)])
    earlier = PreviousRun(comparison, pd.DataFrame(rows), trials, {}, [], SavedStates(tmp_path), tmp_path)
    for seed in range(9):
        assert earlier.row(made(seed)) == row(seed, status="finished")
        assert earlier.records_of(made(seed)) == [rows[seed], rows[9 + seed]]
        assert earlier.first_of(made(seed))[0]["train_loss"] == rows[seed]["train_loss"]
    assert earlier.row(made(10)) is None
    assert earlier.records_of(made(10)) == earlier.first_of(made(10)) == []
