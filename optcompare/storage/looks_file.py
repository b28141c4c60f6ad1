"""The looks at a run's trials, in an append-only file of the run directory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analysis.looks import History, PastLook
from ..core.regular_files import read_regular
from ..core.schema import find_fault
from ..errors import RunDirectoryError, fault
from .run_dir import reading, writing
from .run_schema import LOOK_SCHEMA

LOOKS = "looks.jsonl"
_UNRECORDED = {"recorded": False}
"""The line that stands for looks that are not in the file."""


def read_looks(directory: Path) -> History:
    """Read the looks that were recorded in a run directory.

    A last line that a crash cut off is ignored.

    Args:
        directory: A run directory; earlier versions wrote none of these files.

    Raises:
        RunDirectoryError: A line is damaged.
    """
    path = directory / LOOKS
    if not path.exists():
        return History()
    try:
        lines = [json.loads(line) for line in read_regular(path).decode().split("\n")[:-1] if line]
        wrong = next(
            filter(None, (find_fault(LOOK_SCHEMA, line) for line in lines if line != _UNRECORDED)), ""
        )
        if wrong:
            raise ValueError(wrong)
        looks = dict[str, PastLook]()
        for look in (PastLook.from_json(line) for line in lines if line != _UNRECORDED):
            looks[look.trials] = looks[look.trials].joined(look) if look.trials in looks else look
        return History(tuple(looks.values()), _UNRECORDED not in lines)
    except (OSError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise RunDirectoryError(f"{path} is damaged: {fault(error)}") from error


def add_look(directory: Path, look: PastLook) -> None:
    """Add a look, and wait until it is on the disk.

    Args:
        directory: The run directory.
        look: The comparisons and claims of the look.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    _add(directory / LOOKS, look.to_json())


def add_unrecorded(directory: Path) -> None:
    """Record in the file that some looks are missing from it.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    _add(directory / LOOKS, _UNRECORDED)


def _add(path: Path, values: Mapping[str, Any]) -> None:
    with writing(path):
        written = read_regular(path) if path.exists() else b""
        with path.open("ab") as file:
            # Remove a last line that a crash cut off, before its verdict was shown.
            file.truncate(written.rfind(b"\n") + 1)
            file.write((json.dumps(values, ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def looks_so_far(directory: Path) -> dict[str, Any] | None:
    """Return the number of bytes and the SHA-256 of the file, for comparison.json; None without a file."""
    path = directory / LOOKS
    if not path.exists():
        return None
    with reading(path):
        written = read_regular(path)
    return {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}


def looks_changed(directory: Path, noted: Any) -> str:
    """Describe changes of the looks that comparison.json notes; empty if looks were only added.

    Args:
        directory: The run directory.
        noted: The entry in comparison.json, as from :func:`looks_so_far`; None: there is none.
    """
    if noted is None:
        return ""
    path = directory / LOOKS
    if not path.exists():
        return f"{LOOKS} was deleted"
    try:
        first = read_regular(path)[: int(noted["bytes"])]
        same = len(first) == noted["bytes"] and hashlib.sha256(first).hexdigest() == noted["sha256"]
    except (OSError, KeyError, TypeError, ValueError):
        same = False
    return "" if same else f"{LOOKS} was changed"
