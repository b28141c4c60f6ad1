"""The run directory while a run is under way: what has ended is appended in parts, durably, and survives a crash.

A part is two Parquet files, records and then trials, each written, synced and renamed. A trial counts as ended once its row
is on disk; only then is anybody told. At the end of the run one table of each replaces the parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .comparison import Trial
from .rundir import RECORDS, TRIALS, read_table, write_table

PARTS = "parts"
_FLUSH_SECONDS = 1.0
_MOST_RECORDS = 20_000
KEY = ["phase", "arm", "lr", "seed"]

Row = Mapping[str, Any]


class Journal:
    """Collects ended trials, and writes them as a part about once a second. ``directory`` None: keeps nothing."""

    def __init__(self, directory: Path | None, told: Callable[[Trial, Row], None]) -> None:
        self._parts = None if directory is None else directory / PARTS
        self._told = told
        self._records: list[Row] = []
        self._trials: list[tuple[Trial, Row]] = []
        self._last = time.perf_counter()
        self._number = 0
        if self._parts is not None:
            self._parts.mkdir(exist_ok=True)
            self._number = max(
                (int(path.name.partition("-")[0]) for path in self._parts.glob("*-*.parquet")), default=0
            )

    def add(self, trial: Trial, outcome: Row, records: Sequence[Row]) -> None:
        """A trial that has ended, with all its records; written now if it is time."""
        self._trials.append((trial, outcome))
        self._records += records
        late = time.perf_counter() - self._last > _FLUSH_SECONDS
        if self._parts is None or late or len(self._records) > _MOST_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was collected, then says of each trial that it has ended."""
        trials, records = self._trials, self._records
        self._trials, self._records = [], []
        if self._parts is not None and trials:
            self._number += 1
            write_table(self._parts, f"{self._number:06}-{RECORDS}", pd.DataFrame(records))
            write_table(self._parts, f"{self._number:06}-{TRIALS}", pd.DataFrame([outcome for _, outcome in trials]))
        self._last = time.perf_counter()
        for trial, outcome in trials:
            self._told(trial, outcome)


def read_run(
    directory: Path, record_columns: Sequence[str], trial_columns: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials of a run directory: the whole tables, and the parts of what ended since they were written.

    Records whose trial's row is missing were cut off by a crash, and are left out; of a trial that went on later, the
    later rows count.
    """
    trials = sorted((directory / PARTS).glob(f"*-{TRIALS}"))
    whole = (directory / RECORDS).is_file() or not trials
    found = [(directory, RECORDS, TRIALS)] if whole else []
    found += [(directory / PARTS, path.name.replace(TRIALS, RECORDS), path.name) for path in trials]
    pairs = [(read_table(place, a, record_columns), read_table(place, b, trial_columns)) for place, a, b in found]
    if len(pairs) == 1:
        return pairs[0]
    everything = pd.concat([part for _, part in pairs], ignore_index=True)
    last = everything.assign(part=np.repeat(np.arange(len(pairs)), [len(part) for _, part in pairs]))
    last = last.drop_duplicates(KEY, keep="last")
    kept = [
        part[pd.MultiIndex.from_frame(part[KEY]).isin(pd.MultiIndex.from_frame(last.loc[last["part"] == number, KEY]))]
        for number, (part, _) in enumerate(pairs)
    ]
    return pd.concat(kept, ignore_index=True), last.drop(columns="part").reset_index(drop=True)


def forget_parts(directory: Path) -> None:
    """Once the whole tables are written: the parts go."""
    for path in (directory / PARTS).glob("*.parquet"):
        path.unlink(missing_ok=True)
    if (directory / PARTS).is_dir():
        (directory / PARTS).rmdir()
