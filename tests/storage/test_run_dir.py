"""The run directory: written whole or not at all, read without surprises."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path

import pandas as pd
import pytest

import optcompare
from optcompare import Result, compare, load
from optcompare.core.columns import TRIALS_SCHEMA
from optcompare.core.comparison import Comparison
from optcompare.errors import ComparisonError, RunDirectoryError
from optcompare.planning.prepare import prepare_again
from optcompare.storage import run_dir
from optcompare.storage.run_dir import (
    claim,
    make_directory,
    read_json_file,
    reserved,
    write_atomically,
    write_json,
    write_table,
)
from optcompare.storage.table_files import read_table
from tests.helpers.run_files import FILES
from tests.helpers.workloads import small_workload


@pytest.fixture(scope="module")
def result() -> Result:
    return compare("line", "full,mini", "sgd,adam:betas=(0.8,0.9)", seeds=2, epochs=2, device="cpu")


@pytest.fixture(scope="module")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("runs") / "deep" / "run")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A copy of the run directory, to be damaged."""
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def one_line(error: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(error.value)


@pytest.mark.slow
def test_run_directory_holds_its_files_and_nothing_else(saved):
    assert {path.name for path in saved.iterdir()} == FILES


def test_saved_result_comes_back(result, saved):
    back = load(saved)
    assert back.comparison == result.comparison
    pd.testing.assert_frame_equal(back.records, result.records)
    pd.testing.assert_frame_equal(back.trials, result.trials)
    pd.testing.assert_frame_equal(back.paths, result.paths)
    pd.testing.assert_frame_equal(back.summary(wide=True), result.summary(wide=True))
    for name in ("certificate", "status", "notes", "environment"):
        assert getattr(back, name) == getattr(result, name), name


@pytest.mark.slow
def test_saved_twice_is_the_same_and_a_loaded_result_can_be_saved(result, saved, tmp_path):
    again = load(saved).save(tmp_path / "again")
    for name in FILES:
        assert (again / name).read_bytes() == (saved / name).read_bytes(), name


def test_result_without_paths_has_no_paths_file(tmp_path):
    result = compare(small_workload(), "full", seeds=1, epochs=1, device="cpu")
    result.save(tmp_path / "run", formats=())
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES - {
        "paths.parquet",
        "looks.jsonl",
        "comparison.png",
    }
    assert load(tmp_path / "run").paths is None


def test_summary_file_is_the_summary(result, saved):
    pd.testing.assert_frame_equal(
        pd.read_csv(saved / "summary.csv"), result.summary(wide=True), check_exact=False
    )


def test_comparison_file_says_what_was_run_on_what(saved, result):
    values = json.loads((saved / "comparison.json").read_text())
    assert values["status"] == "finished"
    assert Comparison.from_json(values["comparison"]) == result.comparison
    assert all(check["held"] for check in values["certificate"])
    assert {"optcompare", "python", "torch", "numpy", "platform", "device", "plugins"} <= values[
        "environment"
    ].keys()
    assert {"name", "version", "source", "sha256"} == values["environment"]["plugins"][0].keys()


def test_weights_are_not_part_of_the_run_directory(saved):
    with pytest.raises(RunDirectoryError, match=r"the final weights of full@sgd, seed 0, were not kept"):
        load(saved).model("full@sgd", 0)


def test_write_replaces_the_file_as_a_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == ".txt"

    write_atomically(path, write)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            OSError(28, "No space left on device"),
            RunDirectoryError,
            r"cannot write .*a\.txt: No space left on device",
        ),
        (ValueError("cannot draw"), ValueError, "cannot draw"),
        (KeyboardInterrupt("now"), KeyboardInterrupt, "now"),
    ],
)
def test_write_that_raises_leaves_the_old_file_and_nothing_else(tmp_path, error, raised, message):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(raised, match=message):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EDQUOT])
def test_the_first_error_is_said_where_the_temporary_file_cannot_be_removed_either(
    tmp_path, monkeypatch, code
):
    """As on a disk that became read-only."""

    def refuses(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "unlink", refuses)
    with pytest.raises(RunDirectoryError, match=rf"^cannot write .*a\.txt: {os.strerror(code)}$"):
        write_atomically(tmp_path / "a.txt", refuses)


def test_no_directory_can_be_made_below_a_file(tmp_path, result):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"^cannot write .*file/figures: Not a directory$"):
        make_directory(tmp_path / "file" / "figures")
    with pytest.raises(RunDirectoryError, match=r"^cannot write .*file/page\.html: Not a directory$"):
        result.save_page(tmp_path / "file" / "page.html")


def test_write_into_a_directory_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(
        RunDirectoryError, match=r"cannot write .*comparison\.json: No such file or directory"
    ) as error:
        write_json(tmp_path / "gone", {})
    assert one_line(error)
    with pytest.raises(RunDirectoryError, match=r"cannot write .*records\.parquet: ") as error:
        write_table(tmp_path / "gone", "records.parquet", pd.DataFrame({"a": [1]}))
    assert one_line(error)


def test_claim_makes_the_directory_with_its_parents_or_takes_an_empty_one(tmp_path):
    claim(tmp_path / "a" / "b")
    claim(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_directory_of_several_runs_names_one_of_them(tmp_path):
    for name in ("quadratic", "line"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "comparison.json").touch()
    with pytest.raises(RunDirectoryError, match=r"; give one of the runs in it, such as .*line$"):
        optcompare.load(tmp_path / "runs")


def test_claim_refuses_a_directory_with_something_in_it(tmp_path):
    (tmp_path / ".hidden").touch()
    with pytest.raises(
        RunDirectoryError, match=r"exists and is not empty; give another directory, or move it away"
    ):
        claim(tmp_path)
    assert os.listdir(tmp_path) == [".hidden"]


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
def test_claim_refuses_what_cannot_be_a_directory(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"give another directory") as error:
        claim(tmp_path / place)
    assert one_line(error)
    assert (tmp_path / "file").read_text() == "mine"


def test_claim_refuses_a_directory_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(
        RunDirectoryError, match=r"cannot write to .*: Permission denied; give another directory"
    ):
        claim(tmp_path)


def test_save_does_not_write_into_an_existing_run(result, copy):
    before = (copy / "comparison.json").read_bytes()
    with pytest.raises(RunDirectoryError, match="exists and is not empty"):
        result.save(copy)
    assert (copy / "comparison.json").read_bytes() == before


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("comparison.json", Path.unlink, r"is no run directory: it has no comparison\.json"),
        ("comparison.json", lambda path: path.write_text("{"), r"cannot read .*comparison\.json: "),
        ("comparison.json", lambda path: path.write_bytes(b"\xff\xfe"), r"cannot read .*comparison\.json: "),
        ("comparison.json", lambda path: path.write_text("[1]"), r"comparison\.json holds no JSON object"),
        (
            "comparison.json",
            lambda path: path.write_text("{}"),
            r"comparison\.json is damaged: it lacks status",
        ),
        (
            "comparison.json",
            lambda path: edit(path, comparison={}),
            r"comparison\.json is damaged: comparison lacks workload",
        ),
        (
            "comparison.json",
            lambda path: edit(path, certificate=[{"a": 1}]),
            r"comparison\.json is damaged: certificate\[0\] lacks",
        ),
        (
            "records.parquet",
            Path.unlink,
            r"has no records\.parquet; was the run stopped before it was written\?",
        ),
        ("records.parquet", lambda path: path.write_bytes(b""), r"records\.parquet is damaged: "),
        (
            "trials.parquet",
            Path.unlink,
            r"has no trials\.parquet; was the run stopped before it was written\?",
        ),
        (
            "trials.parquet",
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            r"trials\.parquet is damaged: ",
        ),
        ("paths.parquet", lambda path: path.write_bytes(b"PAR1"), r"paths\.parquet is damaged: "),
    ],
)
def test_missing_or_damaged_file_is_named_in_one_line(copy, name, damage, message):
    damage(copy / name)
    with pytest.raises(RunDirectoryError, match=message) as error:
        load(copy)
    assert one_line(error)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_what_is_no_directory_is_no_run_directory(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no comparison\.json"):
        load(tmp_path / name)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("name", ["records.parquet", "comparison.json"])
def test_nothing_in_a_run_directory_is_unpickled(copy, monkeypatch, name):
    monkeypatch.chdir(copy)
    (copy / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RunDirectoryError, match=name):
        load(copy)
    assert not (copy / "sprung").exists()


def test_missing_table_and_missing_json_are_named(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"has no a\.parquet"):
        read_table(tmp_path / "a.parquet", TRIALS_SCHEMA)
    with pytest.raises(RunDirectoryError, match=r"cannot read .*gone\.json"):
        read_json_file(tmp_path / "gone.json")


def test_objects_handed_in_have_no_reference_and_cannot_be_run_from_the_file_alone(registry, tmp_path):
    result = compare(small_workload(name="houses"), "full", seeds=1, epochs=1, device="cpu")
    path = result.save(tmp_path / "run", formats=())
    values = json.loads((path / "comparison.json").read_text())["comparison"]
    assert values["workload"] == {"label": "houses", "reference": None}
    assert values["arms"][0]["strategy"] == {"label": "full", "reference": "full"}
    message = (
        r"houses existed only as an object in the session that ran it; run it there again with compare\(\)"
    )
    with pytest.raises(ComparisonError, match=message):
        prepare_again(registry, load(path).comparison)


def test_saved_comparison_can_be_prepared_again(registry, result, saved):
    assert prepare_again(registry, load(saved).comparison).setup.comparison == result.comparison


def test_run_counts_as_finished_only_once_everything_is_written(tmp_path, monkeypatch):
    def fail(_: Result, metric: str | None) -> None:
        raise RuntimeError("cannot draw")

    monkeypatch.setattr(Result, "plot", fail)
    with pytest.raises(RuntimeError, match="cannot draw"):
        compare("line", "full", seeds=1, epochs=1, device="cpu", out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "comparison.json").read_text())["status"] == "running"


@pytest.mark.skipif(os.name == "nt", reason="directories are not locked there")
def test_what_a_killed_process_left_unfinished_is_removed_by_the_next_that_writes(copy):
    left = [
        ".checkpoint.4711.pt",
        "states/.000003-states.12.pt",
        "parts/.000001-records.99.parquet",
        ".comparison.1.json",
    ]
    of_others = [".notes.2024.txt", "states/.keep", "parts/.records.parquet", "notes/.records.7.parquet"]
    for name in (*left, *of_others):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(b"half")
    (elsewhere := copy.parent / f"{copy.name}-elsewhere").mkdir()
    (elsewhere / ".records.1.parquet").write_bytes(b"another run's")
    with reserved(copy, occupied=True):
        assert not any((copy / name).exists() for name in left)
        (copy / left[0]).write_bytes(b"under way")
        with pytest.raises(RunDirectoryError, match="another run is writing"), reserved(copy, occupied=True):
            pass
        assert (copy / left[0]).exists(), "whoever has no lock removes nothing"
    assert all((copy / name).exists() for name in of_others)
    (copy / "notes" / ".records.7.parquet").unlink()
    (copy / "states" / ".keep").unlink()
    (copy / "states").rmdir()
    (copy / "states").symlink_to(elsewhere)
    with reserved(copy, occupied=True):
        assert (elsewhere / ".records.1.parquet").exists(), "no link is followed"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_is_read_as_editors_on_windows_save_it(tmp_path, encoding):
    (tmp_path / "win.json").write_bytes('{"größe": 1}\r\n'.encode(encoding))
    assert read_json_file(tmp_path / "win.json") == {"größe": 1}


def test_a_directory_that_cannot_be_locked_is_reserved_by_a_file_in_it(tmp_path):
    with run_dir._lock_file(tmp_path) as locked:
        assert locked
        assert [path.name for path in tmp_path.iterdir()] == [run_dir.LOCK]
        with pytest.raises(RunDirectoryError, match="another run is writing"), run_dir._lock_file(tmp_path):
            pass
    with run_dir._lock_file(tmp_path) as locked:
        assert locked


def test_a_lock_that_cannot_be_written_names_the_directory(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunDirectoryError, match=r"cannot write .*file: "),
        run_dir._lock_file(tmp_path / "file"),
    ):
        pass
