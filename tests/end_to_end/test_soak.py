"""Runs that are killed at random moments, again and again, and resumed: nothing that was reported is ever
lost.

``pytest tests/end_to_end/test_soak.py --kills 50`` kills each kind so often; the short form kills a few
times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from optcompare import Result, RunDirectoryError, load
from optcompare.storage.run_tables import has_tables
from tests.helpers.plugins import LOUD
from tests.helpers.trials import EXACT

SCRIPT = Path(sys.executable).with_name("optcompare")
WAYS = {
    "loop": ["--trainer", "loop", "--epochs", "40"],
    "jobs": ["--trainer", "loop", "--epochs", "40", "--jobs", "2"],
    "lanes": ["--trainer", "lanes", "--epochs", "400"],
}


def command(way: str, *more: str) -> list[str]:
    question = [
        "--plugin",
        "loud.py",
        "--strategies",
        "full,mini,single",
        "--optimizers",
        "adam",
        "--seeds",
        "30",
    ]
    return [str(SCRIPT), "run", *question, *WAYS[way], *more]


def killed_or_ended(line: list[str], place: Path, seconds: float) -> tuple[set[tuple[str, ...]], bool]:
    """The trials that were reported as ended until the process was killed; whether it came to its end
    before.
    """
    told = set()
    with subprocess.Popen(
        line, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(seconds, process.send_signal, (signal.SIGKILL,))
        timer.start()
        lines = list(process.stdout)
        timer.cancel()
    told |= {tuple(text.split()[1:]) for text in lines if text.startswith("ended") and text.endswith("\n")}
    assert process.returncode in (0, -signal.SIGKILL), "".join(lines)
    return told, process.returncode == 0


def held(result: Result) -> set[tuple[str, ...]]:
    return set(zip(result.trials["arm"], result.trials["seed"].astype(str), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows kills otherwise")
@pytest.mark.parametrize("way", WAYS)
def test_killed_again_and_again_it_ends_as_if_nothing_had_happened(tmp_path, way, request):
    (tmp_path / "loud.py").write_text(LOUD)
    subprocess.run(command(way, "--out", "whole", "--quiet"), cwd=tmp_path, check=True, capture_output=True)
    whole = load(tmp_path / "whole")
    draw, kills, reported = random.Random(way), 0, set()
    while kills < request.config.getoption("kills"):
        begun = (tmp_path / "run").exists()
        line = (
            [str(SCRIPT), "run", "--resume", "run", "--checkpoint", "0.1"]
            if begun
            else command(way, "--out", "run")
        )
        line += ["--jobs", "2"] if begun and way == "jobs" else []
        told, ended = killed_or_ended(line, tmp_path, draw.uniform(1.0, 6.0))
        reported |= told
        kills += not ended
        if (tmp_path / "run" / "comparison.json").exists():
            assert reported <= held_so_far(tmp_path / "run")
        else:
            assert not reported
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
        if ended:
            compare_bits(load(tmp_path / "run"), whole, way)
            shutil.rmtree(tmp_path / "run")
            reported = set()
    if (tmp_path / "run").exists():
        subprocess.run(
            [SCRIPT, "run", "--resume", "run", "--quiet"], cwd=tmp_path, check=True, capture_output=True
        )
        compare_bits(load(tmp_path / "run"), whole, way)


def held_so_far(directory: Path) -> set[tuple[str, ...]]:
    if has_tables(directory):
        return held(load(directory))
    with pytest.raises(RunDirectoryError, match="was stopped before its first trial had ended; resume "):
        load(directory)
    return set()


def compare_bits(result: Result, whole: Result, way: str) -> None:
    assert result.status == "finished"
    if way == "lanes":
        assert held(result) == held(whole)
        final = result.records.groupby(["arm", "seed"])["train_loss"].last()
        assert final.to_numpy() == pytest.approx(
            whole.records.groupby(["arm", "seed"])["train_loss"].last(), rel=1e-3, abs=1e-9
        )
    else:
        assert result.trials[EXACT].equals(whole.trials[EXACT])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_gives_one_line_and_what_was_saved_stays_readable(tmp_path, small_disk):
    (tmp_path / "loud.py").write_text(LOUD)
    line = command("loop", "--out", str(small_disk / "run"), "--measure", "50")
    line[line.index("30")] = "3000"
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    (complaint,) = [text for text in done.stderr.splitlines() if text.startswith("error")]
    assert "No space left on device" in complaint
    assert "Traceback" not in done.stderr
    told = {tuple(text.split()[1:]) for text in done.stdout.splitlines() if text.startswith("ended")}
    assert told
    assert told <= held(load(small_disk / "run"))
