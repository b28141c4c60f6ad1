"""Where ``report`` writes, under which names, and that it leaves run directories as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from optcompare import compare
from optcompare.core.columns import TRIALS_SCHEMA
from optcompare.errors import RunDirectoryError
from optcompare.report.output_files import joined, names_of_runs, refuse_run_directory
from optcompare.storage import run_dir
from optcompare.storage.run_dir import TRIALS, read_json, write_json, write_table
from optcompare.storage.table_files import read_table
from optcompare.storage.under_way import PROCESS, this_process
from tests.helpers.commands import run
from tests.helpers.run_files import contents

ASKED = {"workload": "line", "strategies": ["full", "mini:2"], "epochs": 3, "trainer": "loop"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for name, first in (("a", 0), ("b", 3)):
        compare(**ASKED, seeds=3, first_seed=first, goal="train_loss=1", out=root / name)
    return root


@pytest.fixture
def runs(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.mark.slow
def test_run_directories_are_the_same_to_the_byte_after_every_report(runs, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = contents(runs)
    for arguments in (
        [],
        ["--figure", "loss"],
        ["--figure", "paths"],
        ["--figure", "final"],
        ["--figure", "pairs"],
        ["--figure", "goal"],
        ["--format", "html"],
        ["--format", "pdf,svg"],
        ["--table", "csv"],
        ["--table", "md", "--wide"],
        ["--wide"],
    ):
        for names in (["a"], ["a", "b"]):
            assert run("report", *(runs / name for name in names), *arguments) == 0
    assert contents(runs) == before
    assert run("verify", runs / "a", "--trials", "0") == 0
    figures = {f"{kind}.png" for kind in ("comparison", "loss", "paths", "final", "pairs", "goal")}
    figures |= {"comparison.pdf", "comparison.svg", "report.html"}
    assert {path.name for path in Path().iterdir()} == {
        f"{names}-{end}" for names in ("a", "a+b") for end in figures
    }


def test_a_directory_that_lies_in_a_run_is_refused_from_within_too(runs, monkeypatch, capsys):
    (runs / "a" / "inner").mkdir()
    before = contents(runs)
    monkeypatch.chdir(runs / "a" / "inner")
    assert run("report", runs / "b") == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: the current directory lies in {runs / 'a'}, which is a run directory, where report writes "
        "nothing; give "
        "another directory with --out\n"
    )
    assert run("report", runs / "b", "--table", "csv") == 0, "a table is printed, not written"
    assert contents(runs) == before


def test_a_link_into_a_run_directory_is_refused(runs, tmp_path):
    (tmp_path / "link").symlink_to(runs / "a", target_is_directory=True)
    with pytest.raises(RunDirectoryError, match="link is a run directory, where report writes nothing"):
        refuse_run_directory(tmp_path / "link")
    refuse_run_directory(runs)
    refuse_run_directory(tmp_path / "new" / "folder")


def test_files_are_named_after_run_directories():
    paths = [[Path("/x/a")], [Path("/x/b"), Path("/x/c")]]
    assert names_of_runs(paths, ["line", "digits"]) == ["a", "b+c"]
    assert names_of_runs([[Path("/x/a")], [Path("/y/a")]], ["line", "digits"]) == ["a-line", "a-digits"]
    assert names_of_runs([[Path("/x/a")], [Path("/y/a")]], ["a b", "a_b"]) == ["a-a_b-1", "a-a_b-2"]
    assert names_of_runs([[Path("/x/run"), Path("/y/run")]], ["line"]) == ["run+1-more"]


def test_the_name_of_a_run_is_that_of_its_directory_also_as_a_dot(runs, monkeypatch, tmp_path):
    monkeypatch.chdir(runs / "a")
    assert run("report", ".", "--figure", "pairs", "--out", tmp_path) == 0
    assert (tmp_path / "a-pairs.png").is_file()


@pytest.mark.parametrize(
    ("names", "name"),
    [(["-x", "a b/c"], "x+a_b_c"), (["..."], "run"), (["größe"], "größe"), (["a", "b", "a"], "a+b+1-more")],
)
def test_names_are_safe(names, name):
    assert joined(names) == name


def test_long_names_are_shortened_and_stay_apart():
    many = [f"20260101-12000{i}-digits" for i in range(9)]
    assert len(joined(many)) <= 60
    assert joined(many).startswith("20260101-120000-digits+20260101-120001-digits+")
    assert joined(many) != joined([*many[:-1], "other"])
    assert len({joined(["x" * 200]), joined(["x" * 199]), joined(["x" * 199 + "y"])}) == 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc, which Linux has")
def test_a_run_that_is_under_way_is_reported_as_far_as_it_is(runs, tmp_path, capsys):
    directory = runs / "a"
    write_table(directory, TRIALS, read_table(directory / TRIALS, TRIALS_SCHEMA).head(4))
    write_json(directory, {**read_json(directory), "status": "running", PROCESS: this_process()})
    before = contents(directory)
    with run_dir.reserved(directory, occupied=True):
        assert run("report", directory, "--out", tmp_path) == 0
        shown = capsys.readouterr()
        assert shown.err == "note: this run is still under way; 4 of 6 trials have ended\n"
        assert "Nothing is claimed: this run has not come to its end." in shown.out
        assert run("report", directory, "--table", "csv") == 0
    assert contents(directory) == before
    capsys.readouterr()
    assert run("report", directory, "--out", tmp_path) == 0
    assert "did not come to its end" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not hold for everybody")
def test_runs_that_may_only_be_read_are_reported(runs, tmp_path):
    for path in [*runs.rglob("*"), runs]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert run("report", runs / "a", runs / "b", "--out", tmp_path) == 0
    finally:
        for path in [runs, *runs.rglob("*")]:
            path.chmod(0o755)
