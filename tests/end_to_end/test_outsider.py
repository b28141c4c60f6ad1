"""A stranger's package, built, installed and used without this repository knowing of it."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optcompare import Epoch, compare, load
from optcompare.registry.manager import Registry
from tests.helpers.commands import without_progress

SOURCE = Path(__file__).parents[2] / "examples" / "optcompare-cyclic"
MODULE = SOURCE / "optcompare_cyclic.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def outsider() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("outsider", MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the command line from an empty directory, with the package's wheel installed."""
    place = tmp_path_factory.mktemp("outsider")
    shutil.copytree(SOURCE, place / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [
        *pip,
        "wheel",
        *offline,
        "--no-build-isolation",
        "--wheel-dir",
        str(place),
        str(place / "source"),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(place / "site"), str(wheel)], check=True)
    (place / "empty").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("optcompare")), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(place / "site"), "PYTHONWARNINGS": "error"}
        return subprocess.run(command, cwd=place / "empty", env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_installed_strategy_is_listed_with_its_parameters(installed):
    done = installed("list", "strategies")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert (
        "cyclic  Batches of `small` samples in even epochs, of `large` in odd ones.\n    small=8 large=64\n"
        in done.stdout
    )


@pytest.mark.slow
def test_installed_strategy_and_workload_run(installed, tmp_path):
    out = tmp_path / "run"
    strategies = ["--workload", "two-moons", "--strategies", "cyclic:4:16,mini"]
    done = installed("run", *strategies, "--seeds", "2", "--epochs", "2", "--out", str(out), "--quiet")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout == f"{out / 'comparison.png'}\n"
    result = load(out)
    finals = result.records.groupby("arm")[["update", "samples"]].max()
    # 200 training samples: 200/4 + ⌈200/16⌉ = 50 + 13 updates, and 2 · 13
    assert finals.T.to_dict() == {
        "cyclic:4:large=16": {"update": 63, "samples": 400},
        "mini:16": {"update": 26, "samples": 400},
    }
    (plugin,) = [plugin for plugin in result.environment["plugins"] if plugin["name"] == "cyclic"]
    assert (plugin["version"], plugin["source"]) == ("0.1.0", "optcompare_cyclic")


def test_strategy_alternates_from_epoch_to_epoch(outsider):
    strategy = outsider.Cyclic(2, 5)
    sizes = [
        [len(batch) for batch in strategy.batches(Epoch(index, torch.arange(6), 0, strategy))]
        for index in range(3)
    ]
    assert sizes == [[2, 2, 2], [5, 1], [2, 2, 2]]


def test_strategy_refuses_an_empty_batch(outsider):
    with pytest.raises(ValueError, match="a batch holds at least 1 sample, got 0 and 64"):
        outsider.Cyclic(0)


def test_workload_is_the_same_at_each_call_and_holds_a_third_out(outsider):
    one, two = outsider.two_moons(), outsider.two_moons()
    assert (one.size, len(one.valid[0])) == (200, 100)
    assert all(torch.equal(a, b) for a, b in zip(one.train + one.valid, two.train + two.valid, strict=True))


def test_observer_counts_what_was_measured_and_says_nothing(outsider, capsys):
    registry = Registry()
    registry.register(outsider, "cyclic")
    result = compare("line", "full,mini", seeds=1, epochs=1, device="cpu")
    for trial in result.comparison.trials():
        for record in result.records[result.records["arm"] == trial.arm.label].to_dict("records"):
            registry.notify("measured", trial=trial, record=record)
    assert outsider.measurements == result.records["arm"].value_counts().to_dict() == {"full": 2, "mini:2": 4}
    assert capsys.readouterr() == ("", "")


def test_package_rests_on_the_public_names_alone():
    tree = ast.parse(MODULE.read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"optcompare", "torch", "dataclasses", "sklearn.datasets"}
