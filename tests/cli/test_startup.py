"""How garbage is collected while a command imports modules, and once it trains."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from optcompare.cli.startup import (
    CollectRarelyAtTheEnd,
    collect_as_usual,
    collect_no_more,
    collect_rarely,
)


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


def test_objects_made_after_the_first_exemption_are_exempted_by_a_second():
    collect_rarely()
    collect_as_usual()
    before = gc.get_freeze_count()
    kept = [[] for _ in range(100)]
    collect_as_usual()
    assert gc.get_freeze_count() >= before + len(kept)


def test_garbage_is_collected_rarely_again_once_all_trials_have_ended():
    collect_rarely()
    collect_as_usual()
    usual, observer = gc.get_threshold(), CollectRarelyAtTheEnd()
    observer.advanced(1, 2, 0.5, 1.0)
    assert gc.get_threshold() == usual
    observer.advanced(2, 2, 1.0, 0.0)
    assert gc.get_threshold()[0] > 10 * usual[0]


def test_the_end_of_trials_in_another_program_changes_nothing():
    gc.set_threshold(500, 5, 5)
    CollectRarelyAtTheEnd().advanced(2, 2, 1.0, 0.0)
    assert gc.get_threshold() == (500, 5, 5)


def test_no_object_is_looked_at_while_a_process_ends():
    kept = [[] for _ in range(100)]
    collect_no_more()
    assert gc.get_freeze_count() >= len(kept)


def test_the_installed_command_ends_without_a_last_look_for_garbage():
    code = "import atexit, gc; atexit.register(lambda: print('frozen', gc.get_freeze_count() > 0)); "
    code += "from optcompare.cli.main import process; process()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    assert "frozen True" in done.stdout


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
