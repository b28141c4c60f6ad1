"""What each command imports: nothing heavy that it does not use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "sympy",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy.special",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.interpolate",
    "scipy.stats",
    "sklearn",
    "matplotlib",
    "matplotlib.pyplot",
    "PIL",
    "rich",
    "rich.progress",
    "IPython",
    "optcompare.training",
    "optcompare.report.result",
    "optcompare.analysis.batch_scaling",
)
"""Modules that take long to import, or many that are imported together."""

LISTS = {"rich", "numpy"}
"""Lists of what plugins add; strategies have generators that NumPy seeds."""
RESULTS = {*LISTS, "pandas", "pyarrow", "scipy.special", "optcompare.report.result"}
"""Tables and statistics of results; quantiles are from scipy."""
FIGURES = {*RESULTS, "matplotlib", "PIL"}
TRAINING = {*RESULTS, "torch", "torch._dynamo", "sympy", "optcompare.training"}
"""Training; torch imports ``torch._dynamo`` and sympy when an optimizer is made."""

OLD_RUN = Path(__file__).parents[1] / "storage" / "earlier_runs" / "0.1.0" / "plain"
BRIEF = ("--seeds", "2", "--epochs", "2", "--out", "out")

DIGITS = ("run", "--workload", "digits", "--trainer", "lanes", "--strategies", "mini:256", *BRIEF)
TUMOURS = ("run", "--workload", "breast-cancer", "--strategies", "full", *BRIEF)

ALLOWED: dict[tuple[str, ...], set[str]] = {
    ("--help",): set(),
    ("run", "--help"): set(),
    ("list", "--help"): set(),
    ("list", "strategies"): LISTS,
    ("list", "workloads"): LISTS,
    ("list", "diagnostics"): LISTS,
    ("list", "executors"): LISTS,
    ("list", "trackers"): LISTS,
    ("list", "reproductions"): LISTS,
    ("list", "suites"): LISTS,
    ("plugins",): LISTS,
    ("list", "panels"): FIGURES,
    ("list", "optimizers"): LISTS,
    ("list",): FIGURES,
    ("run", "--out", "out"): TRAINING | FIGURES,
    ("run", "--dry-run", "--strategies", "full"): TRAINING,
    DIGITS: TRAINING | FIGURES,
    TUMOURS: TRAINING | FIGURES,
    ("verify", "old"): TRAINING,
    ("report", "old"): FIGURES,
    ("report", "old", "--table", "csv"): RESULTS,
}

COMMAND = """
import json, sys
from optcompare.cli.main import main
heavy = json.loads(sys.argv[1])
try:
    main(sys.argv[2:])
finally:
    with open("imported.json", "w") as file:
        json.dump([name for name in heavy if name in sys.modules], file)
"""


def imported_by(command: tuple[str, ...], directory: Path) -> set[str]:
    shutil.copytree(OLD_RUN, directory / "old")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, json.dumps(HEAVY), *command],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads((directory / "imported.json").read_text(encoding="utf-8")))


SLOW = {DIGITS, TUMOURS}
"""Commands that take more than five seconds and show little that the default command does not."""


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, marks=pytest.mark.slow if each in SLOW else ()) for each in ALLOWED],
    ids=" ".join,
)
def test_a_command_imports_nothing_heavy_that_it_does_not_use(command, tmp_path):
    assert imported_by(command, tmp_path) <= ALLOWED[command]
