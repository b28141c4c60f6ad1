"""Run directories that a run is writing to: detection of such a run, and consistent reading."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..core.regular_files import read_regular
from ..errors import RunDirectoryError
from .run_dir import COMPARISON, read_json

Read = TypeVar("Read")
PROCESS = "process"
"""The key of ``comparison.json`` with the process of a run that is under way; it is removed at the end."""


def read_consistently(directory: Path, read: Callable[[dict[str, Any]], Read]) -> Read:
    """Read ``comparison.json`` and the files that belong to it, even while a run replaces them.

    A run writes ``comparison.json`` before its first table and after its last one. If it is the same before
    and after reading the tables, they belong together. Otherwise all files are read again. No lock is used.

    Args:
        directory: The run directory.
        read: Reads the tables; its argument is the contents of ``comparison.json``.

    Returns:
        The result of ``read``.

    Raises:
        RunDirectoryError: A file is missing or damaged, and no run has replaced it in the meantime.
    """
    while True:
        before, values = _contents(directory), read_json(directory)
        try:
            found = read(values)
        except RunDirectoryError:
            if _contents(directory) == before:
                raise
            continue
        if _contents(directory) == before:
            return found


def _contents(directory: Path) -> bytes:
    try:
        return read_regular(directory / COMPARISON)
    except OSError:
        return b""


def this_process() -> dict[str, Any]:
    """Return the identity of this process: machine, number, and start time if known."""
    return {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_under_way(directory: Path, about: Mapping[str, Any]) -> bool:
    """Return whether the process that writes to a run directory is known to be still writing.

    A run keeps its directory open until it ends (:func:`.run_dir.reserved`), which Linux shows without a
    lock. So a run that failed in a notebook is not under way, although the process of the notebook lives.

    Args:
        directory: The run directory.
        about: The contents of its ``comparison.json``.

    Returns:
        False if the run ended or was killed. Also False for a run of another machine or of an earlier
        version, since its process is not known.
    """
    process = about.get(PROCESS)
    if (
        about.get("status") != "running"
        or not isinstance(process, Mapping)
        or process.get("host") != platform.node()
    ):
        return False
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    return _lives(pid) and _began(pid) == process.get("began") and _keeps_open(pid, directory)


def _lives(pid: int) -> bool:
    if os.name == "nt":  # On Windows, os.kill ends a process.
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _began(pid: int) -> int | None:
    """Return the start of a process in clock ticks since the start of Linux; None if unknown or ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _keeps_open(pid: int, directory: Path) -> bool:
    """Return whether a process has a directory open; True if that is not known."""
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # another system, or another user's process
        return True
    return any(_same(each, directory) for each in opened)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
