"""Looks at merged runs, in the user's state directory, since only runs change a run directory.

A verdict on trials of several runs spends error rate of all of them. So the look must count in the next
``optcompare report`` of these runs, with any output directory, and in ``optcompare run --resume`` of one of
them. Looks are found by the fingerprints of their trials, even if run directories were moved, copied or
renamed. A look counts for all results with any of its trials. A run that continues copies the looks with its
trials into its own ``looks.jsonl`` before the trials change. The looks are not known to other users or on
other machines.

There is one file for each look, in the order of their names, each written atomically, so that reports at the
same time lose none.
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
from ..errors import RunDirectoryError, fault
from .run_dir import make_directory, write_atomically
from .user_state import user_state


def state_directory() -> Path:
    """Return the directory of the user's looks at merged runs."""
    return user_state() / "looks"


def looks_at_any_of(trials: pd.DataFrame) -> History:
    """Return the recorded looks at merged runs that include any of these trials, in their order.

    Args:
        trials: The report's trials of a result.

    Raises:
        RunDirectoryError: A file is damaged, or cannot be read.
    """
    own = set(_fingerprints(trials))
    found = (_read(path) for path in sorted(state_directory().glob("[0-9]*.json")))
    return History(tuple(look for look, seen in found if own & set(seen)), recorded=True)


def add_merged_look(look: PastLook, trials: pd.DataFrame) -> None:
    """Record a look at merged runs, and wait until it is on the disk.

    Args:
        look: The comparisons and claims of the look.
        trials: The report's trials of the look.

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
            f"{path} is damaged: {fault(error)}; without it a look at merged runs is not counted"
        ) from error
