"""A run that is killed, and a disk that is full: what was reported as finished is on disk and can be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from optcompare import load
from optcompare.core.comparison import Arm, Part, Trial
from optcompare.storage.journal import PARTS, Journal, forget_parts, read_run
from optcompare.storage.run_dir import RECORDS, TRIALS, write_table
from tests.helpers.plugins import LOUD

SCRIPT = str(Path(sys.executable).with_name("optcompare"))


@pytest.mark.skipif(os.name == "nt", reason="Windows kills otherwise")
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_a_killed_run_holds_every_trial_that_was_reported(tmp_path, trainer):
    (tmp_path / "loud.py").write_text(LOUD)
    seeds = {"loop": "5000", "lanes": "600"}[trainer]
    command = [SCRIPT, "run", "--plugin", "loud.py", "--strategies", "full,mini", "--seeds", seeds, "--epochs", "40"]
    with subprocess.Popen(
        [*command, "--trainer", trainer, "--out", "here"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told += [tuple(line.split()[1:])] if line.startswith("ended") else []
            if len(told) == 30:
                process.send_signal(signal.SIGKILL)
                break
        told += [tuple(line.split()[1:]) for line in process.stdout if line.startswith("ended") and line.endswith("\n")]
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
    journal = Journal(tmp_path, lambda trial, outcome: seen.append((trial.seed, len(read_run(tmp_path, [], [])[1]))))
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
