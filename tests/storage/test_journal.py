"""A run that is killed, and a disk that is full: what was reported as finished is on disk and can be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from optcompare import compare, load
from optcompare.core.comparison import Arm, Part, Trial
from optcompare.errors import RunDirectoryError
from optcompare.storage import journal as journal_module
from optcompare.storage.journal import Journal
from optcompare.storage.run_dir import RECORDS, TRIALS, write_table
from optcompare.storage.run_tables import PARTS, forget_parts, read_run
from tests.helpers.plugins import LOUD

SCRIPT = str(Path(sys.executable).with_name("optcompare"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows kills otherwise")
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_a_killed_run_holds_every_trial_that_was_reported(tmp_path, trainer):
    (tmp_path / "loud.py").write_text(LOUD)
    seeds = {"loop": "5000", "lanes": "600"}[trainer]
    command = [
        SCRIPT,
        "run",
        "--plugin",
        "loud.py",
        "--strategies",
        "full,mini",
        "--seeds",
        seeds,
        "--epochs",
        "40",
    ]
    with subprocess.Popen(
        [*command, "--trainer", trainer, "--out", "here"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told += [tuple(line.split()[1:])] if line.startswith("ended") else []
            if len(told) == 30:
                process.send_signal(signal.SIGKILL)
                break
        told += [
            tuple(line.split()[1:])
            for line in process.stdout
            if line.startswith("ended") and line.endswith("\n")
        ]
    result = load(tmp_path / "here")
    assert result.status == "interrupted"
    assert "did not come to its end" in result.notes[-1]
    held = set(zip(result.trials["arm"], result.trials["seed"].astype(str), strict=True))
    assert set(told) <= held
    per_trial = result.records.groupby(["arm", "seed"]).size()
    assert len(per_trial) == len(held)
    assert per_trial.groupby("arm").nunique().tolist() == [1, 1]  # none lost a record


def trial(seed: int) -> Trial:
    part = Part("full", "full")
    return Trial(Arm("full", part, part, {}, 0.1, 8), seed)


def row(seed: int, **values: float) -> dict[str, object]:
    return {"phase": "report", "arm": "full", "lr": 0.1, "seed": seed, **values}


def test_nobody_is_told_of_a_trial_before_it_is_on_disk(tmp_path):
    seen = []
    journal = Journal(
        tmp_path, lambda trial, outcome: seen.append((trial.seed, len(read_run(tmp_path, [], [])[1])))
    )
    journal.add(trial(0), row(0), [row(0, mark=0), row(0, mark=8)])
    assert seen == []
    journal.add(trial(1), row(1), [row(1, mark=0)])
    journal.flush()
    assert seen == [(0, 2), (1, 2)]
    records, trials = read_run(tmp_path, [], [])
    assert records["mark"].tolist() == [0, 8, 0]
    assert trials["seed"].tolist() == [0, 1]


def test_a_trial_that_went_on_later_counts_as_it_ended_last(tmp_path):
    write_table(tmp_path, RECORDS, pd.DataFrame([row(0, mark=0), row(1, mark=0)]))
    write_table(tmp_path, TRIALS, pd.DataFrame([row(0, updates=1), row(1, updates=1)]))
    journal = Journal(tmp_path, lambda trial, outcome: None)
    journal.add(trial(1), row(1, updates=2), [row(1, mark=0), row(1, mark=8)])
    journal.flush()
    records, trials = read_run(tmp_path, [], [])
    assert trials[["seed", "updates"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    assert records[["seed", "mark"]].to_numpy().tolist() == [[0, 0], [1, 0], [1, 8]]
    forget_parts(tmp_path)
    assert not (tmp_path / PARTS).exists()


def test_records_that_were_cut_off_from_their_trial_are_left_out(tmp_path):
    journal = Journal(tmp_path, lambda trial, outcome: None)
    for seed in (0, 1):
        journal.add(trial(seed), row(seed), [row(seed, mark=0)])
        journal.flush()
    (tmp_path / PARTS / f"000002-{TRIALS}").unlink()
    records, trials = read_run(tmp_path, [], [])
    assert records["seed"].tolist() == trials["seed"].tolist() == [0]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("checkpoint", "after a stop, trials that were under way begin again"),
        ("000001-states", "no later state is kept, from which trials could go on"),
    ],
)
def test_a_run_goes_on_without_checkpoints_and_states_that_cannot_be_written(
    tmp_path, monkeypatch, first, said
):
    def full(path: Path, values: object) -> None:
        raise RunDirectoryError(f"cannot write {path.name}: No space left on device")

    for name in ("save_states", "save_checkpoint"):
        monkeypatch.setattr(journal_module, name, full)
    told = list[int]()
    journal = Journal(tmp_path, lambda trial, outcome: told.append(trial.seed), pause=0.0)
    for seed in range(2):
        if first == "checkpoint":
            journal.checkpoint([])
        journal.add(trial(seed), row(seed), [row(seed)], {"model": {}})
        journal.flush()
        journal.checkpoint([])
    assert told == [0, 1]
    assert journal.notes == [f"cannot write {first}.pt: No space left on device; {said}"]


class Gone:
    """Takes the directory of parts away once a trial has ended, as if it could not be written any more."""

    def __init__(self, run: Path) -> None:
        self.parts, self.away = run / PARTS, run.with_name("away")

    def measured(self, trial, record):
        pass

    def trial_finished(self, trial, outcome):
        self.parts.rename(self.away)

    def advanced(self, done, of, fraction, seconds_left):
        pass


@pytest.mark.slow
def test_a_run_that_cannot_be_written_any_more_says_how_to_go_on_with_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "_FLUSH_SECONDS", 0.0)
    settings = {"seeds": 3, "epochs": 1, "device": "cpu", "trainer": "loop"}
    gone = Gone(tmp_path / "run")
    kept = (
        r"trials that ended before are kept; once it can be written, optcompare run --resume .*run goes on$"
    )
    with pytest.raises(
        RunDirectoryError, match=r"^cannot write .*records\.parquet: Cannot save file into .*; " + kept
    ):
        compare("line", "full", out=tmp_path / "run", observer=gone, **settings)
    gone.away.rename(gone.parts)
    assert load(tmp_path / "run").trials["seed"].tolist() == [0]
    resumed = compare("line", "full", resume=tmp_path / "run", **settings)
    assert resumed.trials["seed"].tolist() == [0, 1, 2]
