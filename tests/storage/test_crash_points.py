"""A process that ends at any replace, unlink or fsync leaves a run that goes on to the same tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from optcompare import compare, load
from optcompare.cli.main import main
from optcompare.storage import journal
from tests.helpers.commands import run

ASKED = (
    "run",
    "--strategies",
    "full,mini:2",
    "--seeds",
    "3",
    "--epochs",
    "2",
    "--device",
    "cpu",
    "--trainer",
    "loop",
)
CALLS = ("fsync", "replace", "unlink")


class Crashed(BaseException):
    """The end of the process, as far as the disk can tell: nothing is written or removed after it."""


class Disk:
    """Counts what changes the disk, and fails from the call on that ``ends`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: int | None = None) -> None:
        self.made = 0
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name), ends))

    def _counted(self, call, ends):
        def counted(*values, **more):
            self.made += 1
            if ends is not None and self.made >= ends:
                raise Crashed
            return call(*values, **more)

        return counted


@pytest.fixture(autouse=True)
def written_often(monkeypatch):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(journal, "_MOST_SMALL", 3)


def tables(directory: Path) -> list[pd.DataFrame]:
    result = load(directory)
    return [
        table[[name for name in table if "seconds" not in name and name != "clock"]]
        for table in (result.records, result.trials)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The tables of a run that nothing interrupts, and how many calls change the disk meanwhile."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_FLUSH_SECONDS", 0.0)
        patch.setattr(journal, "_MOST_SMALL", 3)
        disk = Disk(patch)
        assert run(*ASKED, "--checkpoint", "0.001", "--quiet", "--out", directory) == 0
    return tables(directory), disk.made


def crashed(directory: Path, ends: int) -> bool:
    """Runs until that call; returns whether the run had begun to be written."""
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, ends)
        with pytest.raises(Crashed):
            main([*ASKED, "--checkpoint", "0.001", "--quiet", "--out", str(directory)])
    return (directory / "comparison.json").is_file()


def goes_on(tmp_path: Path, whole, ends: int) -> None:
    directory = tmp_path / f"run{ends}"
    if not crashed(directory, ends):
        assert not any(directory.glob("parts/*")), "trials are written before the question is"
        return
    assert run("run", "--resume", directory, "--quiet") == 0
    for mine, expected in zip(tables(directory), whole[0], strict=True):
        pd.testing.assert_frame_equal(mine, expected)
    left = [path.name for path in directory.rglob(".*")]
    assert not left, "a temporary file stayed"


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.03, 0.2, 0.45, 0.7, 0.9, 0.97, 1.0])
def test_a_crash_at_a_call_that_changes_the_disk_loses_nothing(tmp_path, whole, share):
    goes_on(tmp_path, whole, 1 + round(share * (whole[1] - 1)))


@pytest.mark.slow
def test_a_crash_at_any_call_that_changes_the_disk_loses_nothing(tmp_path, whole):
    for ends in range(1, whole[1] + 1):
        goes_on(tmp_path, whole, ends)


def test_the_calls_are_those_of_all_files(whole):
    """Six trials with two tables and a state each, a checkpoint each, and whole tables, summary, plot and
    question.
    """
    assert whole[1] > 3 * (6 * 3 + 5)
    assert compare("line", "full", seeds=1, epochs=1, device="cpu").status == "finished"
