"""The benchmarks' peers compute what they are compared with."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optcompare import compare
from optcompare.core.comparison import Budget
from optcompare.core.grammar import quoted
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.report.figures import FIGURES
from optcompare.report.plots.builtin_panels import PANELS
from optcompare.training.device import torch_settings
from optcompare.training.loop.trainer import LoopTrainer
from tests.helpers.image_sets import write_idx


@pytest.fixture(autouse=True)
def siblings(monkeypatch):
    """Let scripts import what they share from their own folder, as when they are run."""
    monkeypatch.syspath_prepend(Path(__file__).parent)


def benchmark(name):
    name_of_module = f"benchmark_{name}"
    spec = importlib.util.spec_from_file_location(name_of_module, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name_of_module] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.bench
@pytest.mark.parametrize(
    ("workload", "optimizer", "size"), [("digits", "sgd", 32), ("digits", "adam", 1), ("line", "sgd", 2)]
)
def test_jax_makes_the_same_updates(monkeypatch, workload, optimizer, size):
    """``by_jax`` compares its first updates with torch's before it times anything; a wrong peer must be
    noticed.
    """
    pytest.importorskip("jax")
    peer = benchmark("native_jax")
    setup, _ = resolve(
        Registry.load(),
        Question(
            workload=workload,
            strategies=[f"mini:{size}"],
            optimizers=[optimizer],
            budget=Budget("updates", 1000),
            seeds=(0,),
            measure=0,
            device="cpu",
        ),
    )
    with torch_settings(threads=1):
        assert peer.by_jax(LoopTrainer(setup), size, 2, seconds=0.1)() > 0
        monkeypatch.setattr(peer, "_jax_loss", lambda jax, name: lambda weights, x, y: 0.0 * weights[0].sum())
        with pytest.raises(AssertionError, match="not close"):
            peer.by_jax(LoopTrainer(setup), size, 2)


@pytest.mark.bench
@pytest.mark.parametrize("engine", ["traced", pytest.param("xla", marks=pytest.mark.xla)])
def test_lanes_compares_one_row_with_loops_and_jax(capsys, monkeypatch, engine):
    pytest.importorskip("jax")
    lanes = benchmark("lanes")
    monkeypatch.setattr(lanes, "ROUNDS", 1)
    monkeypatch.setattr(lanes, "SECONDS", 0.05)
    monkeypatch.setattr(lanes, "OF_JAX", {("digits", 32, 10): 1e9})
    choice = ["--workload", "digits", "--optimizer", "adam", "--batch", "32", "--lanes", "10"]
    lanes.main(["steady", "--engine", engine, *choice])
    said = capsys.readouterr().out
    assert "failed" not in said
    *_, head, row = said.splitlines()
    assert head.split()[:5] == ["workload", "optimizer", "batch", "lanes", "engine"]
    assert row.split()[:5] == ["digits", "adam", "32", "10", engine]
    assert "JAX ≤1e+09 met" in row
    assert ("compile ≤2" in row) == (engine == "xla")


def test_lanes_has_a_row_for_each_goal():
    lanes = benchmark("lanes")
    rows = {(case.workload, case.batch, case.lanes) for case in lanes.CASES}
    assert {*lanes.OF_HAND, *lanes.OF_LOOP, *lanes.OF_JAX} <= rows


def test_commands_of_lanes_are_compared_with_an_estimate_by_hand(capsys, monkeypatch):
    """By hand: one second of start and 0.5 s for one seed of all strategies, so six for ten seeds."""
    commands, ours = benchmark("lanes_command"), []

    def seconds(command, cache):
        if command[0] == sys.executable:
            return commands.Seconds(1.5, 1.5), "0.5 0.5"
        ours.append((command[command.index("--engine") + 1], cache))
        return commands.Seconds(1.0 / len(ours), 2.0), ""

    monkeypatch.setattr(commands, "seconds", seconds)
    commands.command("xla", "10 seeds")
    rows = capsys.readouterr().out.splitlines()[4:]
    assert "6.0   ≥8 MISSED (3.0)" in rows[0]
    assert "12.0   ≥12 met (3.0)" in rows[1]
    assert rows[2] == "by hand: 1.0 s of start and imports, 0.50 s for one seed"
    assert [engine for engine, _ in ours] == ["xla", "xla"]
    assert len({cache for _, cache in ours}) == 1


def test_a_command_of_lanes_that_fails_is_a_row(capsys, monkeypatch):
    commands = benchmark("lanes_command")

    def seconds(command, cache):
        if command[0] == "optcompare":
            raise RuntimeError("optcompare run failed: no such option")
        return commands.Seconds(1.5, 1.5), "0.5 0.5"

    monkeypatch.setattr(commands, "seconds", seconds)
    commands.command("xla", "10 seeds, again")
    assert "30 optcompare run failed: no such option" in capsys.readouterr().out


@pytest.mark.bench
def test_the_job_of_benchopt_and_ours_train_and_measure_the_same(tmp_path):
    """Each repetition is measured at the start and after its epoch; medians of losses are close to ours."""
    pytest.importorskip("benchopt")
    job = benchmark("benchopt_job")
    assert job.of_benchopt(tmp_path, 0, 1).wall > 0
    (saved,) = (tmp_path / "benchopt-0-1" / "outputs").glob("*.parquet")
    theirs = pd.read_parquet(saved)
    assert theirs.groupby("solver_name").size().to_dict() == dict.fromkeys(job.SIZES, 2 * job.REPETITIONS)
    (tmp_path / "job.py").write_text(job.WORKLOAD)
    ours = compare(f"{tmp_path / 'job.py'}:mlp", [*job.SIZES], seeds=3, epochs=1).records
    assert set(ours["batch_size"]) >= {*job.SIZES.values()}
    for name in job.SIZES:
        ends = theirs[(theirs["solver_name"] == name) & (theirs["stop_val"] == 1)]["objective_value"]
        last = ours[(ours["strategy"].str.startswith(name)) & (ours["epoch"] == 1)]["train_loss"]
        assert ends.median() == pytest.approx(last.median(), rel=0.3)


def test_the_job_of_benchopt_prints_ratios(capsys, monkeypatch):
    """Benchopt: 10 s, of which 4 s without any epoch, so 64 s for 30 repetitions."""
    job, commands = benchmark("benchopt_job"), []
    found = iter([10.0, 4.0, 6.0, 4.0, 6.0, 5.0])

    def seconds(command, cache):
        commands.append(command)
        return job.Seconds(wall=next(found), cores=1.0), ""

    monkeypatch.setattr(job, "find_spec", lambda name: name)
    monkeypatch.setattr(job, "seconds", seconds)
    job.main()
    said = capsys.readouterr().out
    assert "benchopt, 30 repetitions: 64.0, estimated as 4.0 plus 10 times the rest" in said
    assert "ours, 3 seeds, first time: 6.0, 0.600 of benchopt's   ≤0.5 MISSED" in said
    assert "ours, 30 seeds, first time: 6.0, 0.094 of benchopt's   ≤0.1 met" in said
    assert [command[0] for command in commands] == ["benchopt"] * 2 + ["optcompare"] * 4


def test_the_job_of_benchopt_says_that_benchopt_is_missing(capsys, monkeypatch):
    job = benchmark("benchopt_job")
    monkeypatch.setattr(job, "find_spec", lambda name: None)
    job.main()
    assert capsys.readouterr().out.startswith("benchopt is not installed")


def test_batch_size_study_prints_coverage_and_false_exclusions(capsys, monkeypatch):
    study = benchmark("batch_size_study")
    monkeypatch.setattr(study, "SIZES", {5: (8, 32, 128, 512, 1024)})
    study.main(2, [])
    said = capsys.readouterr().out
    assert "coverage of the knee, at least .90\n  5 sizes, 5 seeds, shortfall 0%: " in said
    assert "  11 sizes, 10 seeds, one best by 10%: 0.000 ± " in said
    assert said.count("\n  lowest: ") == 3
    assert said.count("\n  highest: ") == 1


def test_batch_size_study_knows_updates_to_evaluation_points():
    """Points 256 samples apart: 100 updates of 8 samples lie between the points at 96 and 128, of 512 each is
    one.
    """
    study = benchmark("batch_size_study")
    found, before = study.at_marks(np.array([8.0, 512.0]), np.array([[99.5], [45.5]]))
    assert found.ravel().tolist() == [128, 46]
    assert before.ravel().tolist() == [96, 45]


@pytest.mark.slow
def test_sheet_shows_each_figure_below_its_name(capsys, tmp_path):
    """Of one small run; that the others draw is what tests/report is about."""
    sheet = benchmark("sheet")
    part = sheet.Shown(
        "line", lambda: [sheet.run("line", ["full", "mini"], epochs=2)], [("loss", None), ("final", None)]
    )
    images = sheet.drawn(part)
    assert list(images) == ["line loss", "line final 7 in", "line final 3.4 in"]
    assert [image.width for image in images.values()] == [800, 560, 272]
    out = sheet.main(tmp_path / "sheet.png", [part])
    with sheet.Image.open(out) as image:
        assert image.width == sheet.ACROSS
    assert capsys.readouterr().out == f"{out}: 3 figures\n"


def test_jobs_compares_auto_with_one_process(capsys, monkeypatch):
    jobs, commands = benchmark("jobs"), []

    def ran(command, **settings):
        commands.append(command[command.index("--jobs") + 1])

    monkeypatch.setattr(jobs.subprocess, "run", ran)
    monkeypatch.setattr(jobs, "CASES", {"short": ("--workload line", 1e9)})
    jobs.main(2)
    assert commands == ["1", "auto", "1", "auto", "1"]
    assert "goal 1e+09 met" in capsys.readouterr().out


def test_loops_by_hand_on_fashion_mnist_measure_what_ours_measures(tmp_path, capsys, monkeypatch):
    """On generated files: as many measurements at the same updates, of the same sets, from similar losses."""
    peer, sizes = benchmark("fashion_mnist"), {"mini:64": 64, "full": 180}
    write_idx(tmp_path, train=200, packed=True)
    workload = f"fashion-mnist:data={quoted(str(tmp_path))}"
    records = compare(workload, [*sizes], seeds=2, epochs=2, measure_rows=50, jobs=1).records
    settings = {"folder": str(tmp_path), "lr": 0.02, "seeds": 2, "epochs": 2, "valid": 20, "test": 20}
    (tmp_path / "plan.json").write_text(json.dumps(peer.plan_of(records, sizes, **settings)))
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "plan.json")])
    with torch_settings(threads=1):
        exec(compile(peer.BY_HAND, "by hand", "exec"), {})
    theirs = pd.DataFrame(json.loads(capsys.readouterr().out))
    ours = records.sort_values(["strategy", "seed", "update"], ignore_index=True)
    theirs = theirs.sort_values(["arm", "seed", "update"], ignore_index=True)
    assert theirs["arm"].tolist() == ours["strategy"].tolist()
    assert theirs["update"].tolist() == ours["update"].tolist()
    assert theirs["test_loss"].isna().tolist() == ours["test_loss"].isna().tolist()
    for column in ("train_loss", "valid_loss"):
        assert theirs[column].mean() == pytest.approx(ours[column].mean(), rel=0.3)


def test_costs_on_fashion_mnist_are_ratios_of_each_round(capsys):
    """Seconds 12 and 30 against 10 and 20: the ratios 1.2 and 1.5 have the median 1.35."""
    peer = benchmark("fashion_mnist")
    rounds = [
        [peer.Cost(12.0, 0.7), peer.Cost(10.0, 0.9), peer.Cost(11.0, 1.6)],
        [peer.Cost(30.0, 0.8), peer.Cost(20.0, 0.9), peer.Cost(22.0, 1.0)],
    ]
    peer.print_costs(rounds)
    by_hand, one, default = capsys.readouterr().out.splitlines()
    assert by_hand == "by hand: 15.0 s, 0.90 GiB"
    assert "21.0 s, 1.35 of by hand   ≤1.15 MISSED   peak of a process 0.80 GiB   ≤1.5 met" in one
    assert "16.5 s, 1.10 of by hand   ≤1.15 met   peak of a process 1.60 GiB   ≤1.5 MISSED" in default


def test_sheet_has_every_figure():
    sheet = benchmark("sheet")
    there = {kind for part in sheet.shown() for kind, _ in part.figures}
    assert there == {*FIGURES, *PANELS} - {"scaling"}


@pytest.mark.slow
def test_smoothed_goal_holds_a_study_against_the_exact_risk(capsys, monkeypatch):
    goal = benchmark("smoothed_goal")
    monkeypatch.setattr(goal, "DIM", 10)
    goal.main(["2", "64"])
    said = capsys.readouterr().out
    assert said.count("batch 64, rate ") == 2
    assert ", first mean " in said
    assert "goal reached by a single value:" in said


def test_the_house_counts_what_is_written(tmp_path):
    """A package of two rooms, whose lower one imports from the upper one, but for annotations."""
    (tmp_path / "optcompare" / "core").mkdir(parents=True)
    (tmp_path / "setup.cfg").write_text("[importlinter:contract:rooms]\nlayers =\n    api\n    core\n")
    (tmp_path / "README.md").write_text("one\ntwo\n")
    lines = [
        "from typing import TYPE_CHECKING, Any",
        "from ..api import compare",
        "if TYPE_CHECKING:",
        "    from ..api import other",
        "def wide(a, b, *, c: Any, **more: Any) -> None:",
        '    """Do nothing.',
        "",
        '    For long."""',
        f"    return None  # {'x' * 100}",
    ]
    (tmp_path / "optcompare" / "core" / "one.py").write_text("\n".join(lines))
    found = benchmark("house").figures(tmp_path)
    assert found["longest function, with docstring"] == "5 (optcompare/core/one.py:wide)"
    assert found["longest function, statements"] == "1 (optcompare/core/one.py:wide)"
    assert found["widest signature"] == "4 (optcompare/core/one.py:wide)"
    assert found["functions with **keywords: Any"] == "1"
    assert found["Any in annotations and calls"] == "2"
    assert found["imports that run back"] == "1"
    assert found["lines over 110, tests included"] == "1"
    assert found["lines of README"] == "2"
