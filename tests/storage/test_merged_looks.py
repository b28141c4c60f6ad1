"""Looks at merged runs are counted for the user, wherever run directories and reports lie, and change no run
directory.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from optcompare import compare
from optcompare.errors import RunDirectoryError
from optcompare.report.loading import load_all
from optcompare.storage.looks_file import read_looks
from optcompare.storage.merged_looks import state_directory
from tests.helpers.run_files import contents
from tests.helpers.workloads import small_workload

ASKED = {"workload": "line", "strategies": ["full", "mini:2"], "epochs": 3, "trainer": "loop"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for name, first in (("a", 0), ("b", 6), ("c", 12)):
        compare(**ASKED, seeds=6, first_seed=first, out=root / name)
    return root


@pytest.fixture
def runs(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def number(runs: Path, names: str) -> int:
    (result,) = load_all([runs / name for name in names])
    assert result.looks.recorded
    return result.look().number


@pytest.mark.slow
def test_each_merge_is_one_more_look_and_changes_no_run_directory(runs):
    """The runs were looked at once each: the first merge of two is look 3, that of three look 3 + 1 + 1."""
    before = contents(runs)
    assert number(runs, "ab") == 3
    assert number(runs, "ab") == 3
    assert number(runs, "abc") == 5
    assert number(runs, "ab") == 3
    assert contents(runs) == before


def test_a_look_is_remembered_where_runs_were_moved_or_named_otherwise(runs):
    assert number(runs, "ab") == 3
    runs.rename(runs.with_name("moved"))
    (runs.with_name("moved") / "a").rename(runs.with_name("moved") / "z")
    assert number(runs.with_name("moved"), "zc") == 4, "a and b together were a look at a, too"


@pytest.mark.slow
def test_a_run_that_goes_on_takes_over_the_looks_at_its_trials_before_they_change(runs):
    assert number(runs, "ab") == 3
    result = compare(**{**ASKED, "epochs": 5}, seeds=6, resume=runs / "a")
    assert result.look().number == 3
    assert [look.seeds for look in read_looks(runs / "a").looks] == [6, 12, 6]


@pytest.mark.slow
def test_looks_at_other_trials_do_not_count(runs, tmp_path):
    assert number(runs, "ab") == 3
    for name, first in (("d", 20), ("e", 26)):
        compare(**ASKED, seeds=6, first_seed=first, out=tmp_path / name)
    assert number(tmp_path, "de") == 3


def test_another_user_does_not_know_of_a_look(runs, tmp_path, monkeypatch):
    assert number(runs, "ab") == 3
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert number(runs, "abc") == 4


def test_where_a_look_cannot_be_recorded_the_verdict_says_so(runs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    (result,) = load_all([runs / "a", runs / "b"])
    assert any(sentence.startswith("Not all looks were recorded: ") for sentence in result.verdict())


def test_a_damaged_file_is_named(runs):
    assert number(runs, "ab") == 3
    (path,) = state_directory().iterdir()
    path.write_text("{}")
    with pytest.raises(
        RunDirectoryError, match=rf"{path.name} is damaged: it lacks .*look at merged runs is not counted"
    ):
        load_all([runs / "a", runs / "b"])


@pytest.mark.slow
def test_single_runs_leave_nothing_in_the_state_directory(runs, tmp_path):
    load_all([runs / "a"])
    compare(small_workload(), ["full", "mini:5"], seeds=2, epochs=2, out=tmp_path / "other")
    load_all([runs / "a", tmp_path / "other"])
    assert not state_directory().exists()


def test_the_state_directory_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "optcompare" / "looks"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert state_directory() == tmp_path / ".local" / "state" / "optcompare" / "looks"
    monkeypatch.setattr("sys.platform", "darwin")
    assert state_directory() == tmp_path / "Library" / "Application Support" / "optcompare" / "looks"
