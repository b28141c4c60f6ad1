"""The looks at a run's trials, in a file of the run directory to which lines are only ever added."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..analysis.looks import History, PastLook
from ..errors import RunDirectoryError
from .run_dir import writing

LOOKS = "looks.jsonl"


def read_looks(directory: Path) -> History:
    """Read the looks that were recorded in a run directory.

    Args:
        directory: A run directory; one of an earlier version has no such file.

    Raises:
        RunDirectoryError: A line is damaged. A last line that a crash cut off is none.
    """
    path = directory / LOOKS
    if not path.is_file():
        return History()
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        return History(tuple(PastLook.from_json(json.loads(line)) for line in lines[:-1] if line), True)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunDirectoryError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def add_look(directory: Path, look: PastLook) -> None:
    """Add a line, and wait until it is on the disk.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    path = directory / LOOKS
    with writing(path):
        written = path.read_bytes() if path.is_file() else b""
        with path.open("ab") as file:
            file.truncate(written.rfind(b"\n") + 1)  # a crash cut the last line off before its verdict was given
            file.write((json.dumps(look.to_json(), ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
