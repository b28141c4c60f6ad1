"""Whole processes, timed with a cache of compiled programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import matplotlib


@dataclass(frozen=True)
class Seconds:
    """Hold the seconds of a process: on the wall's clock, and of all its threads and processes on cores."""

    wall: float
    cores: float

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cores - other.cores)


def seconds(command: list[str], cache: Path) -> tuple[Seconds, str]:
    """Return the seconds of a process, and what it printed.

    Args:
        command: The command, whose first part is the name of a script beside Python's executable, or a path.
        cache: The ``XDG_CACHE_HOME`` of the process.

    Raises:
        RuntimeError: The process failed.
    """
    script = str(Path(sys.executable).parent / command[0])
    before, began = os.times(), perf_counter()
    done = subprocess.run([script, *command[1:]], capture_output=True, text=True, env=environment(cache))
    wall, after = perf_counter() - began, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")
    wait_for_compilers(cache)
    return Seconds(wall, sum(after[2:4]) - sum(before[2:4])), done.stdout


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a command with a cache of compiled programs of its own.

    The cache of matplotlib's fonts stays that of this process.

    Args:
        cache: The ``XDG_CACHE_HOME`` of the command.
    """
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": matplotlib.get_cachedir()}


def wait_for_compilers(cache: Path) -> None:
    """Wait for compilers that a command left running.

    Args:
        cache: The ``XDG_CACHE_HOME`` of the command.
    """
    while list((cache / "optcompare").glob("*.work")):
        time.sleep(0.2)
