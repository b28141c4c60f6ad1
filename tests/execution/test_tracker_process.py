"""Trackers: what they are told, that none can stop or change a run, and JSON lines on standard output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optcompare import ComparisonError, PluginError, compare
from optcompare.cli.main import main
from optcompare.execution import tracker_process
from optcompare.registry.manager import Registry
from tests.helpers.workloads import small_workload

SCRIPT = str(Path(sys.executable).with_name("optcompare"))
PLUGIN = """
import json, os, sys, time
from optcompare import ComparisonError, Tracker, hookimpl

class Told(Tracker):
    '''Prints the names of what it is told.'''
    prints = True
    def __init__(self, address, directory):
        super().__init__(address, directory)
        print("made", address, directory and directory.name)
    def run_started(self, comparison):
        print("started", [arm.label for arm in comparison.arms])
    def measured(self, trial, record):
        print("measured", trial.arm.label, trial.seed, record["update"])
    def trial_finished(self, trial, outcome):
        print("finished", trial.arm.label, trial.seed, outcome["status"])
    def run_finished(self, result):
        print("all", len(result.records), len(result.trials), result.status, dict(result.weights))

class Slow(Tracker):
    def measured(self, trial, record):
        time.sleep(60)

class Raises(Tracker):
    def measured(self, trial, record):
        if trial.seed:
            raise OSError("no more paper")

class Exits(Tracker):
    def measured(self, trial, record):
        os._exit(3)

class Unmade(Tracker):
    def __init__(self, address, directory):
        raise ValueError("not today")

class Refuses(Tracker):
    def __init__(self, address, directory):
        raise ComparisonError(f"there is no {address}; give another")

class Ends(Tracker):
    def __init__(self, address, directory):
        os._exit(4)

class Stranger:
    def __init__(self, address, directory):
        pass

@hookimpl
def optcompare_trackers():
    kinds = [Told, Slow, Raises, Exits, Unmade, Refuses, Ends, Stranger]
    return {kind.__name__.lower(): kind for kind in kinds}
"""
SETTINGS = {"seeds": 2, "epochs": 2, "trainer": "loop"}
RECORDS = 2 * (3 + 4)
"""Of both seeds on ten samples: full after 0, 10 and 20 of them, mini:5 after 0, 5 (marks 1, 2, 4), 10 (8,
10) and 20.
"""
EVENTS = 1 + RECORDS + 4 + 1


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The machine may be busy with other tests."""
    monkeypatch.setattr(tracker_process, "CLOSING", 100.0)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    return "mine.py"


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([*arguments])
    return exit_.value.code


@pytest.mark.slow
def test_a_tracker_is_told_of_a_run_from_its_start_to_its_result(plugin, capsys):
    compare(small_workload(), ["full", "mini:5"], **SETTINGS, plugins=plugin, track="told:here:1", out="run")
    first, started, *rest, last = capsys.readouterr().out.splitlines()
    assert first == "made here:1 run"
    assert started == "started ['full', 'mini:5']"
    assert last == f"all {RECORDS} 4 finished {{}}"
    assert sum(line.startswith("measured ") for line in rest) == RECORDS
    assert [line for line in rest if line.startswith("finished ")] == [
        f"finished {arm} {seed} finished" for seed in (0, 1) for arm in ("full", "mini:5")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"jobs": 2}, {"trainer": "lanes"}], ids=["jobs", "lanes"])
def test_a_tracker_is_told_of_trials_wherever_they_are_trained(plugin, capsys, how):
    compare(small_workload(), ["full", "mini:5"], **{**SETTINGS, **how}, plugins=plugin, track=["told"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("measured ") for line in lines) == RECORDS
    assert sum(line.startswith("finished ") for line in lines) == 4


@pytest.mark.slow
def test_a_resumed_run_tells_what_is_new_and_the_whole_result(plugin, capsys):
    settings = {**SETTINGS, "plugins": plugin, "track": "told"}
    compare("line", ["full"], **settings, out="run")
    capsys.readouterr()
    compare("line", ["full"], **{**settings, "seeds": 3}, resume="run")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("finished ")] == ["finished full 2 finished"]
    assert {line.split()[2] for line in lines if line.startswith("measured ")} == {"2"}
    assert lines[-1].startswith("all 9 3 finished")


def test_trackers_change_no_bit_of_what_is_trained(plugin):
    plain = compare(small_workload(), ["full", "mini:5"], **SETTINGS)
    tracked = compare(
        small_workload(), ["full", "mini:5"], **SETTINGS, plugins=plugin, track=["told", "jsonl"]
    )
    assert tracked.trials["final_sha256"].tolist() == plain.trials["final_sha256"].tolist()
    assert tracked.records.drop(columns="seconds").equals(plain.records.drop(columns="seconds"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", r"^tracker raises is left out from now on: OSError: no more paper \(mine\.py:\d+\)$"),
        (
            "exits",
            rf"^tracker exits missed up to (19|20) of {EVENTS} events: its process ended with exit code 3$",
        ),
    ],
)
def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(plugin, name, said):
    with pytest.warns(UserWarning, match=said) as caught:
        result = compare(small_workload(), ["full", "mini:5"], **SETTINGS, plugins=plugin, track=name)
    assert len(caught) == 1
    assert len(result.trials) == 4


@pytest.mark.slow
def test_a_slow_tracker_is_waited_for_a_while_and_what_it_missed_is_said(plugin, monkeypatch):
    monkeypatch.setattr(tracker_process, "CLOSING", 3.0)
    began = time.monotonic()
    with pytest.warns(
        UserWarning,
        match=rf"^tracker slow missed up to (19|20) of {EVENTS} events: it was not done 3 s after",
    ):
        compare(small_workload(), ["full", "mini:5"], **SETTINGS, plugins=plugin, track="slow")
    assert time.monotonic() - began < 55, "less than one of its events"


@pytest.mark.slow
def test_what_is_too_much_to_wait_is_dropped_and_counted(plugin, monkeypatch):
    """One event is taken, and what was sent with it; beyond ROOM nothing waits."""
    monkeypatch.setattr(tracker_process, "CLOSING", 3.0)
    monkeypatch.setattr(tracker_process, "ROOM", 5)
    most = []
    posted = tracker_process.Tracked._post

    def counted(self, event, *arguments):
        posted(self, event, *arguments)
        most.append(self._queue.qsize())

    monkeypatch.setattr(tracker_process.Tracked, "_post", counted)
    with pytest.warns(UserWarning, match="^tracker slow missed up to"):
        compare(small_workload(500), "single", seeds=1, epochs=1, measure=500, plugins=plugin, track="slow")
    assert len(most) > 500
    assert max(most[:-1]) <= 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unmade", r"tracker unmade cannot begin: ValueError: not today \(mine\.py:\d+\)"),
        ("refuses:that", r"^there is no that; give another$"),
        ("ends", r"tracker ends: its process ended with exit code 4"),
        (
            "stranger",
            r"tracker stranger cannot begin: a Stranger has no run_started, .*; derive it from "
            r"optcompare\.Tracker",
        ),
        ("jsonl:x", r"tracker jsonl takes no address, got 'x'; it writes to standard output"),
    ],
)
def test_a_tracker_that_cannot_begin_is_an_error_before_anything_is_trained(plugin, name, said):
    with pytest.raises(ComparisonError, match=said):
        compare(small_workload(), ["full"], **SETTINGS, plugins=plugin, track=name, out="run")
    assert not Path("run").exists()


def test_unknown_and_repeated_trackers_are_refused():
    with pytest.raises(
        PluginError, match=r"unknown tracker 'jsnl' \(did you mean 'jsonl'\?\); known: jsonl, mlflow"
    ):
        compare(small_workload(), "full", **SETTINGS, track="jsnl")
    with pytest.raises(ComparisonError, match="a tracker is named twice in jsonl, jsonl; leave one out"):
        compare(small_workload(), "full", **SETTINGS, track=["jsonl", "jsonl"])


@pytest.mark.slow
def test_json_lines_have_the_standard_output_to_themselves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            "run",
            "--strategies",
            "full,mini",
            "--seeds",
            "2",
            "--epochs",
            "3",
            "--track",
            "jsonl",
            "--out",
            "here",
        )
        == 0
    )
    out, err = capsys.readouterr()
    events = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    assert [event["event"] for event in (events[0], events[-1])] == ["run_started", "run_finished"]
    assert sum(event["event"] == "measured" for event in events) == 20
    assert [event["status"] for event in events if event["event"] == "trial_finished"] == ["finished"] * 4
    assert events[-1]["fair"] is True
    assert events[-1]["summary"][0]["arm"] == "full"
    assert "Final train_loss, lowest mean: " in err
    assert "plot: here/comparison.png" in err


@pytest.mark.slow
def test_json_lines_of_a_trial_that_diverges_hold_null(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            "run",
            "--strategies",
            "full",
            "--lr",
            "1e30",
            "--seeds",
            "1",
            "--epochs",
            "20",
            "--track",
            "jsonl",
        )
        == 0
    )
    events = [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]
    assert [event["train_loss"] for event in events if event["event"] == "measured"][-1] is None
    assert events[-1]["summary"][0]["final_train_loss"] is None


@pytest.mark.slow
def test_quiet_and_several_workloads_keep_to_json_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    two = ("--workload", "line,diabetes", "--strategies", "full,mini:32", "--seeds", "1", "--epochs", "1")
    assert run("run", *two, "--track", "jsonl", "--quiet", "--out", "here") == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["comparison"]["workload"]["label"] for e in events if e["event"] == "run_started"] == [
        "line",
        "diabetes",
    ]
    assert err.count("comparison.png") == 2


def test_json_beside_json_lines_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("run", "--track", "jsonl", "--json") == 2
    assert (
        capsys.readouterr().err
        == "error: --json and --track jsonl both write to standard output; leave one out\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_an_interrupted_run_is_told_to_its_end(tmp_path):
    command = [
        SCRIPT,
        "run",
        "--strategies",
        "single",
        "--epochs",
        "1000000",
        "--seeds",
        "1",
        "--track",
        "jsonl",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--trainer", "loop", "--quiet"], cwd=tmp_path, **pipes) as process:
        lines = [process.stdout.readline() for _ in range(10)]
        process.send_signal(signal.SIGINT)
        lines += process.stdout.readlines()
        err = process.stderr.read()
    assert process.returncode == 130, err
    events = [json.loads(line) for line in lines]
    assert events[-2]["event"] == "trial_finished"
    assert [events[-2]["status"], events[-1]["status"]] == ["interrupted"] * 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_whoever_has_read_enough_stops_the_lines_and_not_the_run(tmp_path):
    command = [
        SCRIPT,
        "run",
        "--strategies",
        "full",
        "--seeds",
        "5",
        "--epochs",
        "3000",
        "--trainer",
        "loop",
        "--track",
        "jsonl",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--out", "here"], cwd=tmp_path, **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert "warning: tracker jsonl is left out from now on: BrokenPipeError" in err
    assert (tmp_path / "here" / "comparison.png").is_file()
    assert "Exception ignored" not in err


def test_trackers_are_listed(plugin, capsys):
    assert run("list", "trackers", "--plugin", plugin) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "jsonl  One JSON object a line on standard output; what is not a finite number is null." in lines
    assert "told  Prints the names of what it is told." in lines


def test_a_tracker_loads_nothing_that_it_does_not_use():
    """Its process begins with the names of trackers alone: no torch, no strategies."""
    code = "import sys; from optcompare.execution.tracker_server import Registry; "
    code += "Registry.load(kind='trackers').find('trackers', 'jsonl')"
    code += "; sys.exit(bool({'torch', 'pandas', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_registry_remembers_what_was_asked_for(plugin):
    assert Registry.load([plugin]).named == (str(Path(plugin).resolve()),)
