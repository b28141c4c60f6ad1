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


def least_about(**further: object) -> dict[str, object]:
    """The least that ``comparison.json`` has to hold, and more."""
    arm = {
        "label": "full",
        "strategy": {"label": "full", "reference": "full"},
        "optimizer": {"label": "sgd", "reference": "sgd"},
        "hyperparameters": {},
        "lr": 0.1,
        "chunk": 1,
    }
    comparison = {
        "workload": {"label": "line", "reference": "line"},
        "arms": [arm],
        "seeds": [0],
        "budget": {"unit": "epochs", "amount": 1},
        "plugins": [],
    }
    about = {
        "status": "finished",
        "comparison": comparison,
        "certificate": [],
        "notes": [],
        "environment": {},
    }
    return {**about, **further}


def contents(directory: Path) -> dict[str, tuple[int, str]]:
    """What is in a directory, to the byte: each file's time of change and SHA-256, each folder's time of
    change.
    """
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [directory, *directory.rglob("*")]
    }
