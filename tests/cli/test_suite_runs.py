"""``run --workload suite:…``: the table, the figure, JSON, going on, and what is refused."""

from __future__ import annotations

import json
import re
import signal

import pytest

from optcompare.cli import run as cli_run
from optcompare.cli.runs import run_one
from optcompare.storage import journal
from tests.helpers.commands import run
from tests.helpers.suites import PLUGIN, SEARCH, entry, goal, write_suite

ARMS = ("--strategies", "mini:4", "--optimizers", "sgd:lr=0.3,sgd:lr=1e-6", "--seeds", "2", "--jobs", "1")
SUITE = ("run", "--plugin", "suites.py", "--workload", "suite:tiny.json")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "suites.py").write_text(PLUGIN)
    write_suite(tmp_path / "tiny.json", entry(**goal(0.2)), entry("points:3.0", **goal(1e-30, 40.0)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def test_a_suite_prints_samples_to_each_goal_and_scores(folder, capsys):
    assert run(*SUITE, *ARMS, "--out", "out") == 0
    out = capsys.readouterr().out
    assert out.count("more seeds: optcompare run --resume out --seeds") == 2, "the suite, not one workload"
    table = out[out.index("suite tiny: samples to the goal, median over 2 seeds; ∞: missed") :]
    assert "reference" in table
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line}
    assert rows["points:3.0"][1:] == ["valid_loss=1e-30", "∞", "∞", "40"]
    assert rows["score"][2] == "0.00"
    assert "a score depends on the arms beside it" in table
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written == ["points", "points_3.0", "profile.png", "score.csv", "suite.json"]

    assert run("report", "out", "--out", "figures") in (0, None)
    assert table.partition("plot:")[0] in capsys.readouterr().out
    assert run("report", "out", "--out", "figures", "--figure", "profile", "--x", "updates") in (0, None)
    assert (folder / "figures" / "tiny-profile.png").exists()
    assert "without the reference" not in capsys.readouterr().err
    assert run("report", "out", "--out", "figures", "--figure", "profile", "--x", "seconds") in (0, None)
    assert "without the reference, of which only samples and updates are known" in capsys.readouterr().err


def test_a_suite_as_json(folder, capsys):
    assert run(*SUITE, *ARMS, "--out", "out", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["score"]["suite"] == "tiny"
    assert [each["status"] for each in found["runs"]] == ["finished", "finished"]


def test_a_dry_run_of_a_suite_writes_nothing(folder, capsys):
    assert run(*SUITE, *ARMS, "--out", "out", "--dry-run") in (0, None)
    assert capsys.readouterr().out.count("Dry run: nothing was trained.") == 2
    assert not (folder / "out").exists()


@pytest.mark.parametrize("trained", [0, 1])
def test_a_suite_that_is_interrupted_between_its_workloads_names_its_folder(
    folder, capsys, monkeypatch, trained
):
    runs = []

    def interrupted(*args, **settings):
        runs.append(args)
        if len(runs) > trained:
            raise KeyboardInterrupt
        return run_one(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(cli_run, "run_one", interrupted)
        assert run(*SUITE, *ARMS, "--out", "out") == 130
    assert "suite tiny was interrupted; continue: optcompare run --resume out" in capsys.readouterr().err
    assert run("run", "--resume", "out", "--jobs", "1") == 0
    assert (folder / "out" / "score.csv").exists()


def test_an_interrupted_suite_goes_on_with_workloads_that_were_never_begun(
    folder, capsys, monkeypatch, request
):
    monkeypatch.setenv("STOP_AFTER", "1")
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)  # so that each trial is reported at once
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    assert run(*SUITE, *ARMS, "--trainer", "loop", "--out", "out") == 130
    assert "continue: optcompare run --resume out" in capsys.readouterr().out
    assert not (folder / "out" / "points_3.0").exists()
    assert not (folder / "out" / "score.csv").exists()
    assert run("report", "out", "--out", "figures") in (0, None)
    assert "note: no score, which needs all workloads of the suite; continue" in capsys.readouterr().err

    monkeypatch.delenv("STOP_AFTER")
    assert run("run", "--resume", "out", "--seeds", "3") == 0
    assert "median over 3 seeds" in capsys.readouterr().out
    assert (folder / "out" / "score.csv").exists()

    assert (
        run(
            "run",
            "--resume",
            "out",
            "--strategies",
            "mini:4,mini:6",
            "--optimizers",
            "sgd:lr=0.3,sgd:lr=1e-6",
        )
        == 0
    )
    assert "mini:6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--goal", "valid_loss=2"), "suite tiny fixes goal, budget, .*leave out --goal"),
        (("--epochs", "2"), "leave out a budget"),
        (("--measure", "2"), "leave out --measure"),
        (("--split-seeds", "2"), "leave out --split-seeds"),
    ],
)
def test_what_a_suite_fixes_is_refused(options, message, capsys):
    assert run(*SUITE, *ARMS, *options) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1


def test_an_error_names_the_workload_of_several(folder, capsys):
    write_suite(folder / "tiny.json", entry(goal="valid_loss=1"), entry("line", goal="valid_loss=1"))
    assert run(*SUITE, *ARMS) == 2
    assert capsys.readouterr().err.startswith("error: line: goal valid_loss=1: there is no metric")
    write_suite(folder / "tiny.json", entry(goal="valid_loss=1"), entry("points:a=2", goal="valid_loss=1"))
    assert run(*SUITE, *ARMS) == 2
    assert capsys.readouterr().err.startswith("error: workload points has no parameter 'a'")


def test_a_suite_stands_alone(capsys):
    assert run(*SUITE[:-1], "suite:tiny.json,digits", *ARMS) == 2
    assert "is a list of workloads of its own" in capsys.readouterr().err


def test_a_resumed_suite_keeps_its_budgets(folder, capsys):
    assert run(*SUITE, *ARMS, "--out", "out", "--quiet") == 0
    assert capsys.readouterr().out == "out/profile.png\n"
    assert run("run", "--resume", "out", "--epochs", "9") == 2
    assert "leave out --epochs" in capsys.readouterr().err


def test_a_damaged_suite_file_is_refused(folder, capsys):
    assert run(*SUITE, *ARMS, "--out", "out", "--quiet") == 0
    path = folder / "out" / "suite.json"
    values = json.loads(path.read_text())
    for damage in (
        {},
        {**values, "suite": {}},
        {**values, "comparisons": {"../points": values["comparisons"]["points"]}},
    ):
        path.write_text(json.dumps(damage))
        assert run("run", "--resume", "out") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: out/suite.json is damaged")
        assert error.count("\n") == 1


def test_set_goals_writes_a_suite_that_run_takes(folder, capsys):
    write_suite(folder / "bare.json", entry(), search=SEARCH)
    assert run(
        "set-goals", "bare.json", "--plugin", "suites.py", "--out", "goals", "--jobs", "1", "--quiet"
    ) in (0, None)
    assert capsys.readouterr().out == "goals/tiny.json\n"
    assert run(*SUITE[:-1], "suite:goals/tiny.json", *ARMS, "--quiet") == 0
