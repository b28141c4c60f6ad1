"""Where the machine or a plugin's own code gives way: one line, the exit code that the README says, no
traceback.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optcompare import load
from optcompare.planning import patience
from optcompare.registry.manager import Registry
from tests.helpers.commands import run

SCRIPT = str(Path(sys.executable).with_name("optcompare"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
@pytest.mark.parametrize("arguments", [["list", "strategies"], ["plugins"]])
def test_output_that_cannot_be_written_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([SCRIPT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), "error: /data/x: Read-only file system"),
        (MemoryError("of 8 TB"), "error: out of memory: MemoryError: of 8 TB"),
    ],
)
def test_an_error_of_the_machine_is_one_line(capsys, monkeypatch, raised, line):
    def fails(*arguments: object, **options: object) -> None:
        raise raised

    monkeypatch.setattr(Registry, "load", fails)
    assert run("list", "strategies") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


PLUGIN = """
import sys
from dataclasses import dataclass
import torch
from optcompare import Strategy, Tracker, hookimpl

@dataclass
class Bad(Strategy):
    how: str
    when: int = 0

    def batches(self, epoch):
        if epoch.index == self.when:
            if self.how == "exit":
                sys.exit(3)
            if self.how == "quit":
                raise SystemExit("no data")
            if self.how == "interrupt":
                raise KeyboardInterrupt
            if self.how == "memory":
                raise MemoryError("too much")
            while self.how == "loop":
                pass
            if self.how == "late":
                yield epoch.order[:2]
                while True:
                    try:
                        len(epoch.order)
                    except Exception:
                        continue
        yield from epoch.order.split(2)

class Steps(torch.optim.SGD):
    def step(self, closure=None):
        if self.state and len(self.state) > 99:
            return None
        raise SystemExit("no step")

class Leaves(Tracker):
    def trial_finished(self, trial, outcome):
        sys.exit(8)

@hookimpl
def optcompare_strategies():
    return {"bad": Bad}

@hookimpl
def optcompare_optimizers():
    return {"steps": Steps}

@hookimpl
def optcompare_trackers():
    return {"leaves": Leaves}

def workload():
    sys.exit()
"""
SMALL = ("--seeds", 1, "--epochs", 3, "--device", "cpu", "--out", "here", "--plugin", "mine.py")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(4)\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [(), ("--jobs", 2)], ids=["here", "jobs"])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit", "SystemExit: 3 (mine.py:15)"),
        ("quit", "SystemExit: no data (mine.py:17)"),
        ("interrupt", "KeyboardInterrupt (mine.py:19)"),
        ("memory", "out of memory with forward passes of up to 6 rows; give a smaller --chunk, such as 1"),
    ],
)
def test_a_plugins_exit_fails_its_trial_alone_and_its_line_is_named(plugin, capsys, how, reason, jobs):
    assert run("run", *SMALL, "--strategies", f"bad:{how}:when=2,full", *jobs) == 1
    trials = load("here").trials
    assert trials["status"].tolist() == ["failed", "finished"]
    assert trials["reason"][0] == reason
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--strategies", "bad:exit"), "strategy bad:exit, epoch 0: SystemExit: 3 (mine.py:15)"),
        (
            ("--optimizers", "steps"),
            "optimizer steps: its step() fails, given gradients in .grad, and no closure, loss or",
        ),
        (("--workload", "mine.py:workload"), "workload mine.py:workload: SystemExit"),
        (("--plugin", "ends.py"), "ends.py does not import: SystemExit: 4 (ends.py:2)"),
    ],
)
def test_a_plugins_exit_before_anything_is_trained_is_one_line(plugin, capsys, arguments, line):
    assert run("run", *SMALL, "--strategies", "full", *arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


@pytest.mark.slow
def test_a_trackers_exit_is_a_warning(plugin, capsys):
    assert run("run", *SMALL, "--strategies", "full", "--track", "leaves") == 0
    assert (
        "warning: tracker leaves is left out from now on: SystemExit: 8 (mine.py:" in capsys.readouterr().err
    )


@pytest.mark.parametrize("bad", ["bad:loop", "bad:late"])
def test_a_strategy_that_never_yields_is_found_before_anything_is_trained(plugin, capsys, monkeypatch, bad):
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    assert run("run", *SMALL, "--strategies", f"full,{bad}") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: strategy {bad}, epoch 0: batches() yielded nothing for 0.3 s; does it loop without a yield?"
    ]
