"""Figures and tables from run directories, merged or across workloads, without training."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from torch import nn

import optcompare
from optcompare import ComparisonError, compare, load
from optcompare.cli.report import FIGURES
from optcompare.cli.terminal import Reporter
from optcompare.report import figures, figures_across
from optcompare.report.loading import load_all
from optcompare.report.naming import named
from optcompare.report.plots.looks import marker
from optcompare.storage import journal
from tests.helpers.commands import run
from tests.helpers.figures import assert_rows_readable, labelled, said
from tests.helpers.workloads import small_workload


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("line") / "run"
    compare(
        "line",
        ["full", "mini"],
        seeds=3,
        epochs=5,
        tune=3,
        tune_seeds=1,
        goal="train_loss=1",
        control=True,
        out=out,
    )
    return out


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("several") / "all"
    arms = ("--strategies", "full,mini:8,single", "--seeds", "2", "--epochs", "2", "--goal", "train_loss=1.2")
    assert run("run", "--workload", "diabetes,breast-cancer,quadratic", *arms, "--out", out) == 0
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in FIGURES if kind not in ("profile", "ranks", "scaling")])
def test_every_figure_of_one_run_can_be_drawn_again(line, tmp_path, capsys, kind):
    set_as = ("--format", "png,svg,pdf", "--width", "3.4")
    assert run("report", line, "--figure", kind, *set_as, "--out", tmp_path) == 0
    assert (tmp_path / f"run-{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / f"run-{kind}.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / f"run-{kind}.svg").read_text()
    assert capsys.readouterr().out.splitlines() == [
        f"plot: {tmp_path}/run-{kind}.{suffix}" for suffix in ("png", "svg", "pdf")
    ]


@pytest.mark.parametrize("x", ["epochs", "updates", "samples", "seconds"])
def test_the_loss_can_be_drawn_over_each_axis_alone(line, tmp_path, x):
    assert run("report", line, "--figure", "loss", "--x", x, "--out", tmp_path) == 0
    assert (tmp_path / "run-loss.png").stat().st_size > 5000


def test_without_a_figure_it_says_what_the_run_said(line, tmp_path, capsys):
    assert run("report", line, "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    verdict = json.loads((line / "comparison.json").read_text())["verdict"]
    assert len(verdict) > 3
    assert all(sentence in shown for sentence in verdict)
    assert (tmp_path / "run-comparison.png").is_file()


def test_tables_come_as_csv_markdown_and_latex(line, capsys):
    assert run("report", line, "--table", "csv") == 0
    assert capsys.readouterr().out.startswith("arm,strategy,optimizer,lr,seeds,")
    assert run("report", line, "--table", "md") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("| arm | ")
    assert rows[1].startswith("| --- | ---: |")
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["full", "mini:2", "full (control)"]
    assert run("report", line, "--table", "latex") == 0
    text = capsys.readouterr().out
    assert text.startswith(r"\begin{tabular}{lr")
    assert "samples" not in text
    assert run("report", line, "--table", "latex", "--wide") == 0
    assert "& samples &" in capsys.readouterr().out
    assert r"$\pm$" in text
    assert text.rstrip().endswith(r"\end{tabular}")


def test_several_workloads_get_a_directory_each_and_figures_over_all(several):
    assert sorted(path.name for path in several.iterdir()) == [
        "breast-cancer",
        "diabetes",
        "profile.png",
        "quadratic",
        "ranks.png",
    ]
    assert (several / "diabetes" / "comparison.png").is_file()


def test_figures_over_workloads_are_drawn_again_from_their_directory(several, tmp_path):
    for kind, x in (("profile", "updates"), ("ranks", "samples")):
        assert run("report", several, "--figure", kind, "--x", x, "--out", tmp_path) == 0
        assert (tmp_path / f"breast-cancer+diabetes+quadratic-{kind}.png").is_file()
    assert [one.comparison.workload.label for one in load_all([several])] == [
        "breast-cancer",
        "diabetes",
        "quadratic",
    ]


def by_rank(*rows: str) -> pd.DataFrame:
    """Final losses of the arms of ``several``, a row for each workload such as ``132``."""
    return pd.DataFrame([[float(rank) for rank in row] for row in rows], columns=["full", "mini:8", "single"])


@pytest.mark.parametrize("width", [3.4, 7.0])
def test_arms_are_told_apart_by_rank_only_where_the_test_finds_a_difference(several, monkeypatch, width):
    """All rank alike on 3 workloads: p = 1/36; another order on one of them: p = 7/36."""
    results = load_all([several])
    monkeypatch.setattr(figures_across, "finals_across", lambda results: by_rank("123", "123", "123"))
    found = figures.figure("ranks", results, width=width)
    assert_rows_readable(found)
    assert labelled(found.axes[0], "_critical")
    assert "critical difference 1.91" in said(found)
    assert "The arms differ in rank (exact p = 0.0278; Friedman's" in said(found)
    monkeypatch.setattr(figures_across, "finals_across", lambda results: by_rank("123", "123", "132"))
    none = figures.figure("ranks", results, width=width)
    assert_rows_readable(none)
    assert not labelled(none.axes[0], "_critical") + labelled(none.axes[0], "_bar")
    assert "critical" not in said(none)
    assert "No difference in rank is found (exact p = 0.194; Friedman's" in said(none)
    assert "so no difference between two arms is claimed." in said(none)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (
            ("123", "123", "123"),
            [
                "The arms differ in rank (exact p = 0.0278; Friedman's χ²(2) = 6, Iman and Davenport's F(2, "
                "4) = ∞).",
                "critical difference 1.91 (Nemenyi): arms whose mean ranks differ by no more are not told "
                "apart",
            ],
        ),
        (
            ("123", "123", "132"),
            [
                "No difference in rank is found (exact p = 0.194; Friedman's χ²(2) = 4.67, "
                "Iman and Davenport's F(2, 4) = 7), so no difference between two arms is claimed."
            ],
        ),
    ],
)
def test_the_terminal_gives_a_critical_difference_only_where_the_test_finds_one(
    several, monkeypatch, capsys, rows, lines
):
    monkeypatch.setattr(figures_across, "finals_across", lambda results: by_rank(*rows))
    Reporter(quiet=False).across(load_all([several]), [])
    assert capsys.readouterr().out.splitlines()[-len(lines) - 1 :] == [
        "mean rank of the median final loss over 3 workloads, 1 is best; score: area under the profile of "
        "samples to the goal",
        *lines,
    ]


def test_all_workloads_are_checked_before_any_is_trained(tmp_path, capsys):
    assert run("run", "--workload", "line,lyne", "--seeds", 1, "--epochs", 1, "--out", tmp_path / "x") == 2
    assert "unknown workload 'lyne' (did you mean 'line'?)" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_several_workloads_need_the_same_arms(tmp_path, capsys):
    assert run("run", "--workload", "line,quadratic", "--strategies", "mini", "--out", tmp_path / "x") == 2
    assert "line has mini:2, but quadratic mini:8; write batch sizes out" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


WRONG = {
    "a figure too narrow": (
        ["{line}", "--figure", "pairs", "--width", "0.5"],
        "width takes 2.5 to 40 inches, got 0.5",
    ),
    "a width that is no number": (
        ["{line}", "--figure", "pairs", "--width", "nan"],
        "width takes 2.5 to 40 inches",
    ),
    "a width for the comparison plot": (
        ["{line}", "--width", "0.4"],
        "width takes 2.5 to 40 inches, got 0.4",
    ),
    "too few dots": (["{line}", "--dpi", "3"], "dpi takes 30 to 2400 dots an inch, got 3"),
    "a directory that is none": (["nowhere"], "nowhere is no run directory and holds none"),
    "profile of one workload": (["{line}", "--figure", "profile"], "profile shows several workloads"),
    "an unknown figure": (["{line}", "--figure", "pair"], "'pair' is none of loss, paths"),
    "an unknown figure, with the nearest": (["{line}", "--figure", "pair"], "(did you mean 'pairs'?)"),
    "an unknown axis": (["{line}", "--x", "epoch"], "(did you mean 'epochs'?)"),
    "an unknown table": (["{line}", "--table", "latx"], "(did you mean 'latex'?)"),
    "an unknown format": (["{line}", "--format", "pnf"], "unknown plot format 'pnf' (did you mean 'png'?)"),
    "a width that is a word": (["{line}", "--width", "wide"], "'wide' is not a valid float"),
    "a run that is not there": (["{several}/diabets"], "holds none (did you mean 'diabetes'?)"),
    "a run directory to write into": (
        ["{line}", "--out", "{line}"],
        "is a run directory, where report writes nothing",
    ),
    "a directory in a run directory": (
        ["{line}", "--figure", "pairs", "--out", "{several}/diabetes/figures/new"],
        "diabetes, which is a run directory, where report writes nothing; give another directory with --out",
    ),
    "a file to write into": (["{line}", "--out", __file__], "cannot write"),
    "paths of a large model": (
        ["{several}/diabetes", "--figure", "paths"],
        "can only be drawn for models of two weights",
    ),
    "tuning that was not": (["{several}/diabetes", "--figure", "tuning"], "this comparison was not tuned"),
    "a goal in epochs": (
        ["{line}", "--figure", "goal", "--x", "epochs"],
        "the cost of a goal is counted in updates, samples or seconds, not epochs",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_one_line(line, several, tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = WRONG[case]
    assert run("report", *(argument.format(line=line, several=several) for argument in arguments)) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1


def test_an_empty_or_damaged_run_directory_is_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run("report", tmp_path / "empty") == 2
    compare("line", "full", seeds=1, epochs=1, out=tmp_path / "cut")
    (tmp_path / "cut" / "records.parquet").write_bytes(b"PAR1")
    assert run("report", tmp_path / "cut") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "is no run directory and holds none" in first
    assert "records.parquet is damaged" in second


def test_a_table_that_lacks_a_column_is_damaged(tmp_path, capsys):
    compare("line", "full", seeds=1, epochs=1, out=tmp_path / "run")
    (tmp_path / "run" / "trials.parquet").write_bytes((tmp_path / "run" / "records.parquet").read_bytes())
    assert run("report", tmp_path / "run") == 2
    assert "trials.parquet is damaged: it has no column status, reason" in capsys.readouterr().err


def test_what_a_run_of_several_workloads_left_can_be_named_with_a_star(several, tmp_path):
    assert run("report", *sorted(several.iterdir()), "--figure", "ranks", "--out", tmp_path) == 0


class StopsAfter:
    """Presses Ctrl-C once so many trials have ended."""

    def __init__(self, trials):
        self.left = trials

    def measured(self, trial, record):
        pass

    def trial_finished(self, trial, outcome):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def advanced(self, done, of, fraction, seconds_left):
        pass


@pytest.mark.parametrize("trials", [1, 4, 8, 9])
def test_a_run_that_is_stopped_at_any_moment_can_be_read(tmp_path, capsys, monkeypatch, trials):
    """Two arms try 3 rates on one tuning seed, 6 trials; then 3 seeds are reported, with a control: 9
    trials.
    """
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)  # so that each trial is reported at once
    result = compare(
        "line",
        ["mini", "full"],
        seeds=3,
        epochs=3,
        tune=3,
        tune_seeds=1,
        goal="train_loss=1",
        baseline="full",
        control=True,
        out=tmp_path / "run",
        observer=StopsAfter(trials),
    )
    assert result.status == "interrupted"
    assert load(tmp_path / "run").verdict() == result.verdict()
    assert len(result.verdict()) >= 1
    drawn = run("report", tmp_path / "run", "--out", tmp_path)
    shown = capsys.readouterr()
    if trials < 6:
        assert drawn == 2
        assert (
            shown.err
            == "error: this run was interrupted while it was tuned; there is only the figure tuning to draw\n"
        )
        assert result.verdict() == [
            "Interrupted before full was trained: there is nothing to compare with yet."
        ]
    else:
        assert drawn == 0
        assert (tmp_path / "run-comparison.png").is_file()


def test_a_control_that_failed_says_nothing_of_rounding():
    calls = itertools.count()

    def fails_at_last(output, y):
        if len(y) == 5 and next(calls) > 100:
            raise RuntimeError("no more")
        return nn.functional.mse_loss(output, y)

    arms = ["full", "mini:4"]
    result = compare(
        small_workload(loss=fails_at_last), arms, seeds=2, epochs=60, control=True, eval_chunk=10, measure=0
    )
    assert set(result.trials.set_index("arm")["status"]["full (control)"]) == {"failed"}
    assert result.pairs()["control_spread"].isna().all()
    assert "ounding alone" not in " ".join(result.verdict())


def test_python_draws_every_figure_by_its_name():
    one = optcompare.compare("line", ["full", "mini:2"], seeds=2, epochs=3)
    other = optcompare.compare("quadratic", ["full", "mini:2"], seeds=2, epochs=3)
    assert optcompare.figure("final", one, width=3.4).get_size_inches()[0] == 3.4
    assert optcompare.figure("ranks", [one, other]).axes
    with pytest.raises(
        ComparisonError, match=r"need one result for each workload, got 2 for line; leave all but one out$"
    ):
        optcompare.figure("ranks", [one, other, one])
    with pytest.raises(ComparisonError, match="the figure final shows one result, got 2"):
        optcompare.figure("final", [one, other])
    with pytest.raises(
        ComparisonError, match=r"no figure 'finals' \(did you mean 'final'\?\); there are loss, paths, final,"
    ):
        optcompare.figure("finals", one)


def test_an_arm_is_shown_by_its_label_and_in_its_colour(line, tmp_path, capsys):
    named = ("--label", "Ours=mini:2", "--color", "Ours=#123456", "--color", "full=#abc")
    assert run("report", line, *named, "--table", "csv") == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == ["full", "Ours", "full (control)"]
    assert run("report", line, *named, "--format", "png,html", "--out", tmp_path) == 0
    assert "\n1. Ours: " in (shown := capsys.readouterr().out)
    assert "mini:2" not in shown.partition("plot:")[0]
    page = (tmp_path / "run-report.html").read_text()
    assert "--c:#123456" in page
    assert "--c:#aabbcc" in page


def test_labels_and_colours_hold_in_every_figure(line):
    result = load(line)
    (shown,) = named([result], {"mini:2": "Ours"}, {"Ours": "#123456"})
    assert shown.colours() == {
        **dict.fromkeys(["Ours"], "#123456"),
        **{arm: colour for arm, colour in result.colours().items() if arm != "mini:2"},
    }
    for kind in ("final", "pairs", "tuning", "goal", "loss"):
        figure = figures.figure_of(kind, shown)
        assert "Ours" in said(figure)
        assert "mini:2" not in said(figure)
    assert [arm.label for arm in result.comparison.arms] == ["full", "mini:2", "full (control)"]
    (kept,) = named([result], {"mini:2": "Ours"}, {})
    assert kept.colours()["Ours"] == result.colours()["mini:2"]
    assert marker(kept.colours()["Ours"]) == marker(result.colours()["mini:2"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "Ours=mini:3"), "--label: there is no arm 'mini:3' (did you mean 'mini:2'?)"),
        (("--label", "Ours"), "--label takes NEW=ARM, such as 'Ours=halves:3', got 'Ours'"),
        (
            ("--label", "full=mini:2"),
            "--label full=mini:2: another arm is called full, too; choose another label",
        ),
        (("--label", "a=full", "--label", "b=full"), "--label gives full two names, a and b; leave one out"),
        (("--color", "ful=#123456"), "--color: there is no arm 'ful' (did you mean 'full'?)"),
        (("--color", "full=blu"), "--color full: 'blu' is no colour; write it as #RRGGBB, such as #0072B2"),
        (("--color", "#123456"), "--color takes ARM=#hex, such as 'full=#0072B2', got '#123456'"),
    ],
)
def test_a_bad_label_or_colour_is_one_line(line, capsys, options, message):
    assert run("report", line, *options) == 2
    assert capsys.readouterr().err.strip() == f"error: {message}"
