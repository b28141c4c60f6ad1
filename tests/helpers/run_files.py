"""The files of a run directory."""

from __future__ import annotations

import hashlib
from pathlib import Path

FILES = {
    "comparison.json",
    "records.parquet",
    "trials.parquet",
    "paths.parquet",
    "summary.csv",
    "looks.jsonl",
    "comparison.png",
}
"""Of a result that is saved; a run keeps states beside them."""


def contents(directory: Path) -> dict[str, tuple[int, str]]:
    """What is in a directory, to the byte: each file's time of change and SHA-256, each folder's time of change."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [directory, *directory.rglob("*")]
    }
