"""Run directories of earlier versions: they load, draw, go on and verify as if this version had made them.

``earlier_runs/0.1.0`` was made by version 0.1.0. All its numbers are fractions of two that float64 holds
exactly, so that every machine gives the same bits::

    optcompare run --workload "quadratic:h=(1.0,1.0):n=2" --strategies full,single --lr 0.5 --seeds 3 \
        --epochs 10 --dtype float64 --trainer loop --out plain
    optcompare run --workload "quadratic:h=(1.0,1.0):n=2" --strategies full,single --seeds 2 --epochs 10 \
        --dtype float64 --trainer loop --tune 3 --tune-range 0.125,0.5 --goal train_loss=1.1 --out tuned
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from optcompare import Budget, compare, load
from optcompare.cli.main import main
from optcompare.training.device import describe
from optcompare.training.loop.planned_epoch import PlannedEpoch
from optcompare.verification.verify import verify

RUNS = sorted(
    run for version in (Path(__file__).parent / "earlier_runs").iterdir() for run in version.iterdir()
)
QUESTION = {"epochs": 10, "dtype": "float64", "trainer": "loop"}
OTHER_SOURCES = "the run was begun with optcompare 0.1.0"
EXACT = [
    "arm",
    "lr",
    "seed",
    "status",
    "weights_sha256",
    "order_sha256",
    "batches_sha256",
    "final_sha256",
    "updates",
]


@pytest.fixture(params=RUNS, ids=lambda run: f"{run.parent.name}-{run.name}")
def earlier(request, tmp_path):
    """A copy of a run directory, as if made on this machine, so that optcompare alone differs."""
    directory = Path(shutil.copytree(request.param, tmp_path / "run"))
    about = json.loads((directory / "comparison.json").read_text("utf-8"))
    here = {"torch": torch.__version__, "numpy": np.__version__, "device": describe(torch.device("cpu"))}
    about["environment"] |= here
    (directory / "comparison.json").write_text(json.dumps(about), "utf-8")
    return directory


def test_there_is_a_plain_run_and_a_tuned_one():
    assert [run.name for run in RUNS] == ["plain", "tuned"]
    assert [load(run).environment["optcompare"] for run in RUNS] == ["0.1.0", "0.1.0"]


def test_it_loads_with_all_that_was_measured(earlier):
    result = load(earlier)
    tuned = result.comparison.tuning is not None
    assert result.status == "finished"
    assert result.comparison.budget == Budget("epochs", 10)
    assert len(result.trials) == (22 if tuned else 6)
    assert set(result.trials["phase"]) == ({"report", "tune"} if tuned else {"report"})
    assert all(check.held for check in result.certificate)
    full = result.summary(wide=True).set_index("arm").loc["full"]
    assert full["final_train_loss"] == 1 + 4**-10, "½Σ(w² + 1) at w = (1 - ½)¹⁰ in both directions"
    assert "Earlier looks were not recorded: tested at the level of a first look, 0.035." in result.verdict()


@pytest.mark.slow
def test_it_is_drawn(earlier, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(earlier), "--format", "png,html", "--out", str(tmp_path / "drawn")])
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"run-comparison.png", "run-report.html"}
    assert "single" in capsys.readouterr().out


@pytest.mark.slow
def test_it_is_verified_and_all_trials_end_in_the_same_bits(earlier):
    findings = list(verify(earlier, trials=None))
    assert [f"{finding.name}: {finding.detail}" for finding in findings if finding.held is False] == []
    unchecked = [finding for finding in findings if finding.held is None]
    assert [finding.name for finding in unchecked] == ["conclusions"]
    assert "the verdict of version 0.1.0 is worded otherwise by this one: " in unchecked[0].detail
    assert sum(finding.name.startswith("trained again") for finding in findings) == len(load(earlier).trials)
    (environment,) = (finding.detail for finding in findings if finding.name == "environment")
    assert environment.startswith("made by optcompare 0.1.0")


@pytest.mark.slow
def test_it_goes_on_with_more_seeds_as_if_they_had_been_there_from_the_start(earlier):
    before = load(earlier)
    seeds = len(before.comparison.seeds) + 1
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", str(earlier), "--seeds", str(seeds), "--quiet"])
    result = load(earlier)
    assert [look.seeds for look in result.looks.looks] == [seeds - 1, seeds], (
        "the verdict of the earlier version was a look"
    )
    tuned = (
        {}
        if before.comparison.tuning is None
        else {"tune": 3, "tune_range": (0.125, 0.5), "goal": "train_loss=1.1"}
    )
    rates = {} if tuned else {"lr": 0.5}
    whole = compare(
        "quadratic:h=(1.0,1.0):n=2", ["full", "single"], seeds=seeds, **QUESTION, **tuned, **rates
    )
    assert result.trials[EXACT].equals(whole.trials[EXACT])
    assert result.records["train_loss"].equals(whole.records["train_loss"])
    assert [note.startswith(OTHER_SOURCES) for note in result.notes].count(True) == 1
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", str(earlier), "--seeds", str(seeds + 1), "--quiet"])
    assert [note.startswith(OTHER_SOURCES) for note in load(earlier).notes].count(True) == 1, (
        "it is said once"
    )


@pytest.mark.slow
def test_before_it_goes_on_a_trial_of_each_arm_is_trained_again(earlier, monkeypatch, capsys):
    """Another version may train something else: here every gradient is a little larger."""
    seeds = str(len(load(earlier).comparison.seeds) + 1)
    updates = PlannedEpoch._updates

    def other_updates(epoch, *arguments):
        run = epoch._run
        gradient = run.gradient

        def larger(stream, chunks):
            gradient(stream, chunks)
            for weight in run.weights:
                weight.grad.mul_(1.01)

        run.gradient = larger
        try:
            updates(epoch, *arguments)
        finally:
            run.gradient = gradient

    with monkeypatch.context() as patch:
        patch.setattr(PlannedEpoch, "_updates", other_updates)
        with pytest.raises(SystemExit, match="2"):
            main(["run", "--resume", str(earlier), "--seeds", seeds, "--quiet"])
    assert "this version trains full, seed 0, to other weights" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", str(earlier), "--seeds", seeds, "--quiet"])
    assert any(
        "one trial of each of 2 arms, trained again, ends in the same bits" in note
        for note in load(earlier).notes
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("code_sha256", "optcompare's own source files changed"),
        ("plugins", "the source files of plugin optcompare_plugins"),
    ],
)
def test_sources_that_are_not_known_are_refused(earlier, name, change, capsys):
    path = earlier / "comparison.json"
    about = json.loads(path.read_text("utf-8"))
    environment = about["environment"]
    unknown = "0" * 64
    environment[name] = (
        unknown if name != "plugins" else [{**one, "sha256": unknown} for one in environment["plugins"]]
    )
    path.write_text(json.dumps(about), "utf-8")
    assert [f.detail for f in verify(earlier, trials=0) if f.held is False and change in f.detail]
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--resume", str(earlier), "--seeds", "5", "--quiet"])
    assert change in capsys.readouterr().err
    assert len(load(earlier).comparison.seeds) < 5, "nothing was changed"


@pytest.mark.slow
@pytest.mark.parametrize("earlier", RUNS[:1], indirect=True, ids=["0.1.0-plain"])
def test_it_goes_on_with_more_epochs_from_its_kept_states(earlier):
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", str(earlier), "--epochs", "15", "--quiet"])
    whole = compare(
        "quadratic:h=(1.0,1.0):n=2", ["full", "single"], seeds=3, lr=0.5, **QUESTION | {"epochs": 15}
    )
    assert load(earlier).trials[EXACT].equals(whole.trials[EXACT])
