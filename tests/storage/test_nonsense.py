"""Run directories that hold nonsense: each way of opening them says so in one line, at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optcompare import compare, load
from optcompare.core.comparison import Budget, Comparison
from optcompare.errors import RunDirectoryError
from optcompare.storage.looks_file import add_unrecorded
from optcompare.storage.run_dir import read_config, read_json
from optcompare.storage.table_bounds import most_records, most_trials
from tests.helpers.commands import run as command

DEEP = "[" * 200_000 + "]" * 200_000


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compare("line", "full,mini", seeds=2, epochs=2, device="cpu").save(
        tmp_path_factory.mktemp("runs") / "run"
    )


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def ways(run: Path) -> dict[str, list[object]]:
    return {
        "report": ["report", run, "--table", "csv"],
        "verify": ["verify", run, "--trials", "0"],
        "resume": ["run", "--resume", run, "--dry-run"],
        "config": ["run", "--config", run / "comparison.json", "--dry-run"],
    }


def edit(run: Path, change: Callable[[dict], object]) -> None:
    values = json.loads((run / "comparison.json").read_text("utf-8"))
    change(values)
    (run / "comparison.json").write_text(json.dumps(values), "utf-8")


ABOUT = {
    "notes[0] must be a text, got 1": lambda values: values.update(notes=[1]),
    "environment must be an object, got a list": lambda values: values.update(environment=[1]),
    "status must be one of running, finished, interrupted, got 3": lambda values: values.update(status=3),
    "environment.plugins[0] lacks source": lambda values: values["environment"].update(
        plugins=[{"sha256": ""}]
    ),
    "environment.traits.norm must be a text": lambda values: values["environment"]["traits"].update(norm=1),
    "files must be an object, got a list": lambda values: values.update(files=[]),
    "claims[0].p must be a number, got 'x'": lambda values: values["claims"][0].update(p="x"),
}
COMPARISON = {
    "device must be a text, got a list": lambda one: one.update(device=[1]),
    "seeds[1] must be a whole number from 0 on, got 0.5": lambda one: one.update(seeds=[0, 0.5]),
    "arms[1].lr must be a finite number, got nan": lambda one: one["arms"][1].update(lr=float("nan")),
    "arms[0].strategy lacks reference": lambda one: one["arms"][0]["strategy"].pop("reference"),
    "it holds a text with a NUL character": lambda one: one["workload"].update(label="a\0b"),
    "it holds a whole number of more than 64 bits": lambda one: one.update(threads=10**30),
    "colour is not known to this version": lambda one: one.update(colour="red"),
    "nested more than 24 deep": lambda one: one["arms"][0]["hyperparameters"].update(
        x=json.loads("[" * 40 + "]" * 40)
    ),
}


@pytest.mark.parametrize("said", ABOUT)
@pytest.mark.parametrize("way", ["report", "verify", "resume"])
def test_a_value_that_is_none_is_named_by_its_place(run, capsys, way, said):
    edit(run, ABOUT[said])
    assert command(*ways(run)[way]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(
        RunDirectoryError, match=r"comparison\.json is damaged: .*; put back what the run wrote"
    ):
        load(run)


@pytest.mark.parametrize("said", COMPARISON)
@pytest.mark.parametrize("way", ["report", "verify", "resume", "config"])
def test_so_is_one_of_the_comparison_also_as_a_config(run, capsys, way, said):
    edit(run, lambda values: COMPARISON[said](values["comparison"]))
    assert command(*ways(run)[way]) == 2
    error = capsys.readouterr().err
    assert "comparison.json is damaged: " in error
    assert said in error


@pytest.mark.parametrize("way", ["report", "verify", "resume", "config"])
def test_lists_nested_deeper_than_python_can_read_are_refused(run, capsys, way):
    path = run / "comparison.json"
    path.write_text(path.read_text("utf-8").replace('"notes": []', f'"notes": {DEEP}'), "utf-8")
    assert command(*ways(run)[way]) == 2
    assert "comparison.json: its lists and objects are nested too deep" in capsys.readouterr().err


def test_a_comparison_alone_is_a_config_too(run, tmp_path):
    comparison = read_json(run)["comparison"]
    (tmp_path / "alone.json").write_text(json.dumps(comparison), "utf-8")
    assert read_config(tmp_path / "alone.json") == comparison == read_config(run / "comparison.json")


def changed(name: str, **columns: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        pd.read_parquet(run / name).assign(**columns).to_parquet(run / name, index=False)

    return change


def one_value(name: str, column: str, value: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        table = pd.read_parquet(run / name)
        table[column] = [value, *table[column].tolist()[1:]]
        table.to_parquet(run / name, index=False)

    return change


def without(name: str, column: str) -> Callable[[Path], None]:
    return lambda run: pd.read_parquet(run / name).drop(columns=column).to_parquet(run / name, index=False)


TABLES: dict[str, Callable[[Path], None]] = {
    "trials.parquet is damaged: its column seed holds": changed("trials.parquet", seed="x"),
    "records.parquet is damaged: its column train_loss holds": changed("records.parquet", train_loss="x"),
    "records.parquet is damaged: its column arm lacks a value in 1 rows": one_value(
        "records.parquet", "arm", None
    ),
    "trials.parquet is damaged: its column seed holds double values": changed(
        "trials.parquet", seed=float("inf")
    ),
    "trials.parquet is damaged: its column seed holds numbers from -1": one_value(
        "trials.parquet", "seed", -1
    ),
    "trials.parquet is damaged: its column lr holds numbers that are not positive": changed(
        "trials.parquet", lr=np.inf
    ),
    "trials.parquet is damaged: its column train_seconds holds numbers that are negative or not finite": (
        changed("trials.parquet", train_seconds=np.inf)
    ),
    "records.parquet is damaged: its column seconds holds numbers that are negative or not": one_value(
        "records.parquet", "seconds", -1.0
    ),
    "trials.parquet is damaged: its column status holds 'won'": one_value("trials.parquet", "status", "won"),
    "records.parquet is damaged: it has rows of the arm 'other'": one_value(
        "records.parquet", "arm", "other"
    ),
    "records.parquet is damaged: its column more holds": changed("records.parquet", more="x"),
    "records.parquet is damaged: it has no column mark": without("records.parquet", "mark"),
    "trials.parquet is damaged: it has no column updates": without("trials.parquet", "updates"),
    "trials.parquet is damaged: its column reason holds a text with a NUL": one_value(
        "trials.parquet", "reason", "a\0b"
    ),
}


@pytest.mark.parametrize("said", TABLES)
@pytest.mark.parametrize("way", ["report", "resume"])
def test_a_table_with_other_values_than_a_run_writes_is_named_with_its_column(run, capsys, way, said):
    TABLES[said](run)
    assert command(*ways(run)[way]) == 2
    assert said in capsys.readouterr().err
    assert command(*ways(run)["verify"]) == 1
    assert said in capsys.readouterr().out


def test_points_of_pictures_are_checked_too(run):
    changed("paths.parquet", x="x")(run)
    with pytest.raises(RunDirectoryError, match=r"paths\.parquet is damaged: its column x holds"):
        load(run)


@pytest.mark.parametrize("name", ["records.parquet", "trials.parquet"])
def test_more_rows_than_the_comparison_can_have_are_refused_by_the_metadata_alone(run, name, monkeypatch):
    row = pq.read_table(run / name).slice(0, 1)
    many = row.take(pa.array(np.zeros(100_000, dtype=np.int64)))
    pq.write_table(many, run / name)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("it was read")) if name[
        0
    ] == "t" else None
    with pytest.raises(
        RunDirectoryError, match=rf"{name} is damaged: it has 100,000 rows, and this comparison has at most"
    ):
        load(run)


def test_the_bounds_of_rows_follow_from_arms_seeds_and_budget(saved):
    result = load(saved)
    comparison: Comparison = result.comparison
    assert most_trials(comparison) == 4 * 2 * 2 + 1000
    assert len(result.records) <= most_records(comparison, result.trials) < 4 * 4 * (2 + 64) + 1001
    endless = pd.DataFrame({"updates": [2**62]})
    one = compare("line", "full", seeds=1, updates=3, device="cpu").comparison
    assert one.budget == Budget("updates", 3)
    assert most_records(one, endless) == 4 * (3 + 2) + 1000


def irregular(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no pipes and devices in directories there")
@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
@pytest.mark.parametrize(
    "name", ["summary.csv", "records.parquet", "trials.parquet", "looks.jsonl", "paths.parquet"]
)
def test_what_is_no_regular_file_is_neither_hashed_nor_read(run, capsys, name, kind):
    irregular(run / name, kind)
    assert command(*ways(run)["verify"]) == 1
    assert f"{name} cannot be read" in capsys.readouterr().out or name == "looks.jsonl"
    if name != "summary.csv":
        with pytest.raises(RunDirectoryError, match=rf"{name} is damaged: "):
            load(run)
    code = command("run", "--resume", run, "--quiet", "--format", "svg")
    assert code == (0 if name == "summary.csv" and kind != "directory" else 2), "a run replaces its summary"


@pytest.mark.skipif(os.name == "nt", reason="no pipes in directories there")
def test_a_pipe_in_place_of_comparison_json_or_looks_blocks_nothing(run):
    irregular(run / "comparison.json", "pipe")
    with pytest.raises(
        RunDirectoryError, match=r"cannot read .*comparison\.json: it is a pipe, a device or a socket"
    ):
        load(run)
    irregular(run / "looks.jsonl", "pipe")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*looks\.jsonl: it is a pipe"):
        add_unrecorded(run)


def test_a_look_that_is_none_is_named(run):
    with (run / "looks.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"trials": 1, "seeds": 1, "counted": true, "shown": [], "claims": []}\n')
    with pytest.raises(RunDirectoryError, match=r"looks\.jsonl is damaged: trials must be a text, got 1"):
        load(run)


@pytest.mark.slow
def test_files_of_other_names_among_the_states_do_no_harm(run):
    for name in ("parts", "states"):
        (run / name).mkdir(exist_ok=True)
        (run / name / "0x-notes.txt").touch()
    more = ["--seeds", "3", "--quiet", "--format", "svg"]
    assert command("run", "--resume", run, *more) == 0
