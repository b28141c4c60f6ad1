"""The folder of a run for which the user gives none."""

from __future__ import annotations

import time
from pathlib import Path

from .run_dir import safe_name


def default_directory(name: str) -> Path:
    """Return a path in ``runs`` that is named after the time, and does not exist.

    Args:
        name: What follows the time, such as the workload.
    """
    path = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{safe_name(name)}"
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.partition('~')[0]}~{number}")
        number += 1
    return path
