"""Tables of any size: read into memory, or converted once to files, they are the same numbers."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from optcompare_plugins.workloads import table_copy, table_files, table_workload, tables

from optcompare import WorkloadError, compare
from optcompare.core.memmap import is_memory_mapped

ROWS = 5000


def mixed() -> pd.DataFrame:
    """Every kind of column, with gaps; the kinds of 'late' and 'odd' show far below the first rows alone."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": random.normal(100, 40, ROWS).round(3),
            "rooms": random.integers(1, 9, ROWS),
            "city": random.choice(["Rome", "Oslo, N", None], ROWS),
            "old": random.choice([True, False], ROWS),
            "flag": random.choice([True, False, None], ROWS),
            "code": [f"{code:04d}" for code in random.integers(0, 150, ROWS)],
            "built": (
                pd.Timestamp("2000-01-01") + pd.to_timedelta(random.integers(0, 9000, ROWS), "D")
            ).strftime("%F"),
            "empty": None,
            "late": [*["7"] * (ROWS - 9), *["seven"] * 9],
            "odd": [*random.choice(["yes", "no"], 40), *["True"] * (ROWS - 40)],
        }
    )
    frame.loc[::17, "area"] = math.nan
    frame["y"] = frame["area"].fillna(100) + 10 * frame["rooms"]
    frame.loc[::50, "y"] = math.nan
    return frame


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    frame = mixed()
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet", row_group_size=700)
    return {"csv": folder / "t.csv", "parquet": folder / "t.parquet"}


@pytest.fixture
def small_batches(monkeypatch):
    """Many batches, as a large table has."""
    monkeypatch.setattr(table_files, "batch_rows", lambda columns: 123)


def parts(workload):
    return (*workload.train, *workload.valid)


def same(one, other) -> bool:
    return all(torch.equal(left, right) for left, right in zip(parts(one), parts(other), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("y", ["y", "city", "old"])
@pytest.mark.usefixtures("small_batches")
def test_in_files_are_the_numbers_that_would_be_in_memory(files, tmp_path, kind, y):
    make = getattr(tables, kind)
    memory, mapped = make(files[kind], y), make(files[kind], y, mapped=True, store=tmp_path)
    assert same(memory, mapped)
    assert all(map(is_memory_mapped, parts(mapped)))
    assert not any(map(is_memory_mapped, parts(memory)))
    assert (mapped.lr, mapped.columns) == (memory.lr, memory.columns)
    assert mapped.notes[:-1] == memory.notes


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
def test_in_files_a_test_set_and_other_splits_are_the_same_and_have_copies_of_their_own(files, tmp_path):
    memory = tables.csv(files["csv"], "city", test=0.1)
    mapped = tables.csv(files["csv"], "city", test=0.1, mapped=True, store=tmp_path)
    for one, other in ((memory, mapped), (memory.on_split(1), mapped.on_split(1))):
        assert same(one, other)
        assert all(map(torch.equal, one.test, other.test))
        assert all(map(is_memory_mapped, other.test))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_parquet_table_is_what_a_csv_table_is(files):
    assert same(tables.csv(files["csv"], "y"), tables.parquet(files["parquet"], "y"))


def test_columns_are_named_as_inputs(files):
    workload = tables.csv(files["csv"], "y")
    assert workload.columns[:6] == ("area", "rooms", "old", "flag", "code", "built")
    assert workload.columns[6:9] == ("city=Oslo, N", "city=Rome", "city=missing")
    assert len(workload.columns) == workload.train[0].shape[1]


def test_rows_stand_in_the_tables_order(tmp_path):
    """x is y: both are standardised alike, and both rise."""
    pd.DataFrame({"x": np.arange(40) + 0.5, "y": np.arange(40) + 0.5}).to_parquet(tmp_path / "t.parquet")
    workload = tables.parquet(tmp_path / "t.parquet", "y")
    for x, y in (workload.train, workload.valid):
        assert torch.equal(x, y)
        assert (x.diff(dim=0) > 0).all()


def test_a_copy_is_made_once_for_a_file_as_it_is_and_its_settings(files, tmp_path):
    source = tmp_path / "t.csv"
    source.write_bytes(files["csv"].read_bytes())

    def made(**settings):
        workload = tables.csv(source, "y", mapped=True, store=tmp_path / "store", **settings)
        return workload.notes[-1], len(list((tmp_path / "store").iterdir()))

    note, count = made()
    assert count == 1
    assert re.fullmatch(
        r"csv: read from a copy on disk, .*store/t-[0-9a-f]{12} \(.* MB\), made now, for this run and later "
        r"ones",
        note,
    )
    assert made(hidden=3) == (note.replace("made now, for this run and later ones", "made before"), 1)
    assert made(valid=0.3)[1] == 2
    source.write_bytes(files["csv"].read_bytes() + b"9.5,3,Rome,True,,0001,2001-01-01,,7,yes,130\n")
    note, count = made()
    assert count == 3
    assert "made now" in note


def test_two_at_once_share_one_copy(files, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: tables.csv(files["csv"], "y", mapped=True, store=tmp_path), range(2)))
    assert same(*made)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_conversion_that_ends_early_leaves_nothing(files, tmp_path, monkeypatch):
    monkeypatch.setattr(table_copy, "_flush", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tables.csv(files["csv"], "y", mapped=True, store=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_is_not_read_into_memory(files, tmp_path, monkeypatch):
    """An eighth of the memory is the limit."""
    monkeypatch.setattr(table_workload, "machine_memory", lambda: 8 * files["csv"].stat().st_size)
    assert not is_memory_mapped(tables.csv(files["csv"], "y", store=tmp_path).train[0])
    monkeypatch.setattr(table_workload, "machine_memory", lambda: 8 * files["csv"].stat().st_size - 1)
    assert is_memory_mapped(tables.csv(files["csv"], "y", store=tmp_path).train[0])
    assert not is_memory_mapped(tables.csv(files["csv"], "y", store=tmp_path, mapped=False).train[0])


@pytest.mark.slow
def test_results_do_not_depend_on_where_the_rows_lie(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = []
    for mapped in ("true", "false"):
        workload = f'parquet:"{files["parquet"]}":y=y:mapped={mapped}'
        ends.append(
            compare(workload, ["full", "mini"], seeds=1, epochs=1, trainer="loop")
            .trials["final_sha256"]
            .tolist()
        )
    assert ends[0] == ends[1]
    assert [path.name for path in Path("runs").iterdir()] == ["tables"]


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        (
            "train.x",
            lambda path: os.truncate(path, 8),
            r"is damaged \(train\.x has 8 bytes instead of .*delete that dir",
        ),
        ("valid.y", lambda path: path.unlink(), r"is damaged \(.*valid\.y'\); delete that directory"),
        ("table.json", lambda path: path.write_text("{"), r"is damaged \(.*\); delete that directory"),
        (
            "table.json",
            lambda path: path.write_text(json.dumps({"rows": 1})),
            r"is damaged \(.*\); delete that directory",
        ),
    ],
)
def test_a_damaged_copy_is_refused(files, tmp_path, name, harm, message):
    tables.csv(files["csv"], "y", mapped=True, store=tmp_path)
    (folder,) = tmp_path.iterdir()
    harm(folder / name)
    with pytest.raises(WorkloadError, match=f"^workload csv: the copy of the table in .* {message}"):
        tables.csv(files["csv"], "y", mapped=True, store=tmp_path)


def test_a_store_that_cannot_be_is_refused(files, tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(
        WorkloadError, match=r"no copy of the table can be kept in .*store: .*; give store=PATH"
    ):
        tables.csv(files["csv"], "y", mapped=True, store=tmp_path / "store")


@pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="room is taken ahead with posix_fallocate alone"
)
def test_a_full_disk_is_told_before_anything_is_written(files, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        WorkloadError, match=r"a copy of the table takes .* are free \(No space left on device\); give store"
    ):
        tables.csv(files["csv"], "y", mapped=True, store=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_column_whose_numbers_are_too_large_is_named(tmp_path):
    frame = pd.DataFrame(
        {"x": np.arange(20.0), "far": np.linspace(-1e300, 1e300, 20), "y": np.arange(20) + 0.5}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        WorkloadError, match=r"csv: 'far' holds numbers up to 1e\+300, too large to be standardised"
    ):
        tables.csv(tmp_path / "t.csv", "y")


def test_a_held_out_number_that_is_too_large_is_named_before_training(tmp_path):
    frame = pd.DataFrame({"x": np.arange(20.0), "far": np.arange(20.0) % 3, "y": np.arange(20) + 0.5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    before = tables.csv(tmp_path / "t.csv", "y")
    ranks = torch.cat([before.train[1], before.valid[1]]).flatten().argsort().argsort()
    row = int(ranks[before.size])
    frame.loc[row, "far"] = 1e300
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        WorkloadError, match=r"inputs of valid hold 1 infinite value in 1 of 4 rows.*\(column 'far': 1\)"
    ):
        compare(tables.csv(tmp_path / "t.csv", "y"), "full", seeds=1, epochs=1)


def test_what_parquet_alone_can_hold(tmp_path):
    """Dates, categories, decimals, lists and the row numbers of a frame."""
    rows = 40
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), "D")
    frame = pd.DataFrame(
        {
            "when": days,
            "day": days.date,
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "pair": [[1, 2]] * rows,
            "y": np.arange(rows) + 0.5,
        },
        index=pd.Index(range(rows), name=None).astype(float),
    )
    frame.to_parquet(tmp_path / "t.parquet")
    workload = tables.parquet(tmp_path / "t.parquet", "y")
    assert workload.columns == ("when", "day", "kind=a", "kind=b")
    assert torch.allclose(workload.train[0][:, 0], workload.train[1].flatten(), atol=1e-6)
    assert torch.equal(workload.train[0][:, 0], workload.train[0][:, 1])
    assert any(note.startswith("parquet: 'pair' is left out: it holds list<") for note in workload.notes)
    with pytest.raises(
        WorkloadError, match="has no plain values in column 'pair'; its columns are when, day, kind"
    ):
        tables.parquet(tmp_path / "t.parquet", "pair")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no Parquet file: "),
        (b"x,y\n1,2\n", "is no Parquet file: "),
    ],
)
def test_what_is_no_parquet_file_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(WorkloadError, match=f"^workload parquet: .*{message}") as refusal:
        tables.parquet(tmp_path / "t.parquet", "y")
    assert "\n" not in str(refusal.value)
    with pytest.raises(WorkloadError, match="does not exist; give the path of a Parquet file"):
        tables.parquet(tmp_path / "nothing.parquet", "y")


@pytest.mark.parametrize("mapped", [True, False])
def test_a_csv_file_that_breaks_far_down_is_refused_in_one_line(tmp_path, mapped):
    (tmp_path / "t.csv").write_text("x,y\n" + "1,2.5\n" * 2000 + "1,2,3\n")
    with pytest.raises(WorkloadError, match=r"is no CSV table.*line 2002 has 3 fields, those above it 2"):
        tables.csv(tmp_path / "t.csv", "y", mapped=mapped, store=tmp_path / "store")


CONVERTING = """
import pathlib, re, sys, threading, time
import pandas, pyarrow.parquet, torch, optcompare
from optcompare_plugins.workloads import tables

def private():
    return int(re.search(r"RssAnon:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024

def watch():
    while True:
        seen.append(private())
        time.sleep(0.01)

seen = [private()]
threading.Thread(target=watch, daemon=True).start()
workload = tables.parquet(pathlib.Path(sys.argv[1]), "y", mapped=True, store=pathlib.Path(sys.argv[2]))
print(workload.train[0].nbytes + workload.valid[0].nbytes, max(seen) - seen[0], len(seen))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what /proc tells")
def test_converting_takes_far_less_memory_than_the_table(tmp_path):
    """600 MB of inputs; beyond what libraries take, the process has less than half of that to itself."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, width = 1_500_000, 100
    columns = {f"x{number}": np.arange(rows, dtype=np.float32) % (7 + number) for number in range(width)}
    columns["y"] = np.arange(rows, dtype=np.float32)
    plain = {"row_group_size": 100_000, "use_dictionary": False, "compression": "none"}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", **plain)
    command = [sys.executable, "-c", CONVERTING, str(tmp_path / "t.parquet"), str(tmp_path / "store")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    held, most, looked = map(int, run.stdout.split())
    assert held == rows * width * 4
    assert looked > 50
    assert most < held / 2, f"{most / 1e6:.0f} MB"
