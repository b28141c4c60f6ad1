"""A run directory is read at one moment, also while a run replaces its files, and it is known whether one
does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optcompare import compare, load
from optcompare.errors import RunDirectoryError
from optcompare.report.figures import figure_of
from optcompare.storage import run_dir
from optcompare.storage.run_dir import COMPARISON, RECORDS, TRIALS, read_json, write_json
from optcompare.storage.run_tables import PARTS, read_run
from optcompare.storage.under_way import PROCESS, is_under_way, read_consistently, this_process
from tests.helpers.figures import said
from tests.helpers.run_files import least_about

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc, which Linux has")


def test_files_that_a_run_replaces_meanwhile_are_read_again(tmp_path):
    write_json(tmp_path, least_about(number=1))
    (tmp_path / "table").write_text("1")
    seen = []

    def read(about):
        table = (tmp_path / "table").read_text()
        if not seen:  # the run comes to its end between the two files
            write_json(tmp_path, least_about(number=2))
            (tmp_path / "table").write_text("2")
        seen.append((about["number"], table))
        return seen[-1]

    assert read_consistently(tmp_path, read) == (2, "2")
    assert seen == [(1, "1"), (2, "2")]


def test_what_seems_damaged_is_read_again_only_where_a_run_has_replaced_it(tmp_path):
    write_json(tmp_path, least_about(number=1))
    calls = []

    def fails_once(about):
        calls.append(about["number"])
        if len(calls) == 1:
            write_json(tmp_path, least_about(number=2))
            raise RunDirectoryError("no such file")
        return about["number"]

    def fails(about):
        raise RunDirectoryError("it is damaged")

    assert read_consistently(tmp_path, fails_once) == 2
    with pytest.raises(RunDirectoryError, match="it is damaged"):
        read_consistently(tmp_path, fails)


@pytest.mark.slow
def test_a_run_that_has_written_one_of_its_two_tables_is_read_from_its_parts(tmp_path):
    compare("line", "full", seeds=2, epochs=1, out=tmp_path)
    parts = tmp_path / PARTS
    parts.mkdir()
    for name in (RECORDS, TRIALS):
        (parts / f"000001-{name}").write_bytes((tmp_path / name).read_bytes())
    whole = read_run(tmp_path, (), ())
    (tmp_path / TRIALS).unlink()
    records, trials = read_run(tmp_path, (), ())
    assert records.equals(whole[0])
    assert trials.equals(whole[1])


def as_running(directory: Path, process: object) -> dict:
    about = {**read_json(directory), "status": "running", "certificate": [], PROCESS: process}
    write_json(directory, about)
    return about


@pytest.mark.slow
@linux
def test_a_run_is_under_way_while_its_process_has_the_directory_open(tmp_path):
    """3 of 8 trials: of two arms and four seeds, three were written."""
    run = tmp_path / "run"
    compare("line", ["full", "mini"], seeds=4, epochs=1, out=run)
    run_dir.write_table(run, TRIALS, load(run).trials.head(3))
    about = as_running(run, this_process())
    assert not is_under_way(run, about)
    assert "did not come to its end" in load(run).unfinished
    with run_dir.reserved(run, occupied=True):
        assert is_under_way(run, about)
        found = load(run)
        assert found.unfinished == "this run is still under way; 3 of 8 trials have ended"
        assert found.unfinished in found.notes
        assert found.verdict()[0] == "Nothing is claimed: this run has not come to its end."
        assert found.as_past_look() is None
        assert "still under way; 3 of 8 trials" in " ".join(said(found.plot()).split())
    assert not is_under_way(run, about)


@pytest.mark.parametrize(
    "process",
    [
        None,
        {},
        "text",
        {"host": "elsewhere", "pid": 1, "began": 1},
        {"pid": "1"},
        {"pid": -1},
        {"pid": 10**9, "began": None},
    ],
)
def test_of_a_process_that_is_not_known_a_run_is_not_said_to_be_under_way(tmp_path, process):
    process = {"host": this_process()["host"], **process} if isinstance(process, dict) else process
    assert not is_under_way(tmp_path, {"status": "running", PROCESS: process})


def test_a_process_that_ended_and_one_with_its_number_are_told_apart(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ours = this_process()
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert is_under_way(tmp_path, {"status": "running", PROCESS: ours})
        if ours["began"] is not None:
            later = {**ours, "began": ours["began"] + 1}
            assert not is_under_way(tmp_path, {"status": "running", PROCESS: later})
        assert not is_under_way(tmp_path, {"status": "finished", PROCESS: ours})
    finally:
        os.close(handle)
        child.communicate(b"\n")
    assert not is_under_way(tmp_path, {"status": "running", PROCESS: {**ours, "pid": child.pid}})


@pytest.mark.slow
def test_a_run_names_its_process_only_while_it_is_under_way(tmp_path):
    seen = []

    class Looks:
        def measured(self, trial, record):
            seen.append(json.loads((tmp_path / "run" / COMPARISON).read_text())[PROCESS]["pid"])

        def trial_finished(self, trial, outcome):
            pass

        def advanced(self, done, of, fraction, seconds_left):
            pass

    compare("line", "full", seeds=1, epochs=1, trainer="loop", out=tmp_path / "run", observer=Looks())
    assert set(seen) == {os.getpid()}
    assert PROCESS not in read_json(tmp_path / "run")


@pytest.mark.slow
@linux
def test_a_run_that_is_still_tuned_or_has_no_trial_says_that_it_is_under_way(tmp_path):
    run = tmp_path / "run"
    compare("line", ["full", "mini"], seeds=2, epochs=1, tune=2, tune_seeds=1, out=run)
    found = load(run)
    run_dir.write_table(run, TRIALS, found.of_phase("tune")[1])
    run_dir.write_table(run, RECORDS, found.of_phase("tune")[0])
    as_running(run, this_process())
    with run_dir.reserved(run, occupied=True):
        with pytest.raises(
            Exception, match=r"still under way; 4 of 8 trials have ended, all of tuning; there is only "
        ):
            figure_of("loss", load(run))
        for name in (RECORDS, TRIALS):
            (run / name).unlink()
        with pytest.raises(RunDirectoryError, match="holds no trial yet: this run is still under way"):
            load(run)
