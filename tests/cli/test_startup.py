"""How garbage is collected while a command imports modules, and once it trains."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from optcompare.cli.startup import collect_as_usual, collect_rarely


@pytest.fixture(autouse=True)
def restored():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_garbage_is_collected_as_usual_once_a_command_trains():
    before = gc.get_threshold()
    collect_rarely()
    assert gc.get_threshold()[0] > 10 * before[0]
    collect_as_usual()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() > 0


def test_another_program_keeps_its_settings():
    gc.set_threshold(500, 5, 5)
    collect_as_usual()
    assert gc.get_threshold() == (500, 5, 5)
    assert gc.get_freeze_count() == 0


LOOK = """
import gc
from dataclasses import dataclass
from optcompare import Strategy, hookimpl

@dataclass
class Looks(Strategy):
    def batches(self, epoch):
        print("threshold", gc.get_threshold()[0])
        yield epoch.order

@hookimpl
def optcompare_strategies():
    return {"looks": Looks}
"""


@pytest.mark.slow
def test_the_installed_command_trains_with_python_s_own_settings(tmp_path):
    (tmp_path / "looks.py").write_text(LOOK, encoding="utf-8")
    code = "from optcompare.cli.main import process; process()"
    command = [sys.executable, "-c", code, "run", "--plugin", "looks.py", "--strategies", "looks"]
    done = subprocess.run(
        [*command, "--seeds", "1", "--epochs", "1", "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"threshold {gc.get_threshold()[0]}" in done.stdout
    assert "threshold 100000" not in done.stdout
