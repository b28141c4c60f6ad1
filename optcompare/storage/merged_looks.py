"""Looks at merged runs, in the user's state directory, since a run directory is changed by runs alone.

A verdict on trials of several runs spends error rate of all of them, and must not be forgotten: not by the
next ``optcompare report`` of these runs, wherever it writes, nor by ``optcompare run --resume`` of one of
them. It is found again by the fingerprints of its trials, so that it counts also where run directories were
moved, copied or renamed: a look counts for all results that hold any trial of it. A run that goes on copies
what concerns its trials into its own ``looks.jsonl``, before they change. Another user, or another machine,
does not know of these looks.

One file a look, in the order of their names, each written atomically, so that several reports at once lose
none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.looks import History, PastLook, trial_rows
from ..core.regular_files import read_regular
from ..errors import RunDirectoryError
from .run_dir import make_directory, write_atomically
from .user_state import user_state


def state_directory() -> Path:
    """Return where the user's looks at merged runs are: ``looks`` in the user's state directory."""
    return user_state() / "looks"


def looks_at_any_of(trials: pd.DataFrame) -> History:
    """Return the looks at merged runs that were recorded of these trials, or of some of them, in their order.

    Args:
        trials: The report's trials of a result.

    Raises:
        RunDirectoryError: A file is damaged, or cannot be read.
    """
    mine = set(_fingerprints(trials))
    found = (_read(path) for path in sorted(state_directory().glob("[0-9]*.json")))
    return History(tuple(look for look, seen in found if mine & set(seen)), recorded=True)


def add_merged_look(look: PastLook, trials: pd.DataFrame) -> None:
    """Record a look at merged runs, and wait until it is on the disk.

    Args:
        look: What was compared and claimed.
        trials: The report's trials that it was on.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    directory = state_directory()
    make_directory(directory)
    text = (
        json.dumps({"look": look.to_json(), "trials": list(_fingerprints(trials))}, ensure_ascii=False) + "\n"
    )
    path = directory / f"{time.time_ns():020}-{look.trials[:16]}.json"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _fingerprints(trials: pd.DataFrame) -> Iterable[str]:
    return (hashlib.sha256(row.encode()).hexdigest()[:24] for row in trial_rows(trials))


def _read(path: Path) -> tuple[PastLook, list[str]]:
    try:
        values: dict[str, Any] = json.loads(read_regular(path))
        return PastLook.from_json(values["look"]), list(map(str, values["trials"]))
    except (OSError, KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise RunDirectoryError(
            f"{path} is damaged: {type(error).__name__}: {error}; without it a look at merged runs is not "
            "counted"
        ) from error
