"""The run directory while a run is under way: what has ended is appended in parts, durably, and survives a
crash.

A part is two Parquet files, records and then trials, each written, synced and renamed. A trial counts as
ended once its row is on disk; only then is anybody told. Small parts are merged into larger ones, so that
there are never many files. At the end of the run one table of each replaces the parts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..core.columns import run_key
from ..core.comparison import Comparison, Trial
from ..errors import RunDirectoryError
from .run_dir import RECORDS, TRIALS, make_directory, remove, write_table, writing
from .state_files import CHECKPOINT as CHECKPOINT
from .state_files import STATES as STATES
from .state_files import Kept as Kept
from .state_files import Row as Row
from .state_files import Saved as Saved
from .state_files import State as State
from .state_files import bytes_of, load_states, save_states
from .state_files import key_of as key_of
from .state_files import key_of_row as key_of_row
from .table_bounds import most_records, most_trials, refuse_strangers
from .table_files import RECORDS_SCHEMA, TRIALS_SCHEMA, read_table

PARTS = "parts"
_FLUSH_SECONDS = 1.0
_MOST_RECORDS, _FEW_RECORDS = 20_000, 5_000
"""Records that are collected before they are written, and below which a part is merged with others."""
_MOST_BYTES = 2**20
_MOST_SMALL = 32
"""Parts of less than so many records, and files of less than so many bytes of states, are merged when there
are so many.
"""

_NUMBERED = re.compile(r"[0-9]{6,12}-")
"""How the names of parts and of files of states begin."""


class Part(NamedTuple):
    """The two files of a part."""

    records: Path
    trials: Path


class Journal:
    """Collects ended trials, and writes them as a part about once a second.

    ``directory`` None: keeps all of them in memory. ``told`` of a trial once it is safe. ``keep``: bytes of
    final states to keep, from which trials can be trained on; ``pause``: seconds between checkpoints of what
    is under way. Where checkpoints or states cannot be written any more, ``notes`` says so, and the run goes
    on without them.
    """

    def __init__(
        self,
        directory: Path | None,
        told: Callable[[Trial, Row], None],
        keep: float = 2**30,
        pause: float = 10.0,
    ) -> None:
        self._directory, self._told, self._keep, self._pause = directory, told, keep, pause
        self.notes: list[str] = []
        self._records: list[Row] = []
        self._trials: list[tuple[Trial, Row]] = []
        self._states: dict[str, State] = {}
        self._flushed = self._checkpointed = time.perf_counter()
        self._number = 0
        self._parts, self._small, self._small_states = list[Part](), list[Part](), list[Path]()
        self._kept_tables: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        if directory is not None:
            for name in (PARTS, STATES):
                make_directory(directory / name)
            written = [
                path
                for name in (PARTS, STATES)
                for path in (directory / name).iterdir()
                if _NUMBERED.match(path.name)
            ]
            self._number = max((int(path.name.partition("-")[0]) for path in written), default=0)
            self._keep -= sum(path.stat().st_size for path in written if path.suffix == ".pt")

    def add(self, trial: Trial, outcome: Row, records: Sequence[Row], state: State | None = None) -> None:
        """A trial that has ended, with all its records and its final state; written now if it is time."""
        self._trials.append((trial, outcome))
        self._records += records
        if self._directory is None:
            self._told(trial, outcome)
        elif state is not None and trial.phase == "report" and (size := bytes_of(state)) <= self._keep:
            self._keep -= size
            self._states[key_of(trial)] = state
        late = self._directory is not None and time.perf_counter() - self._flushed > _FLUSH_SECONDS
        if late or len(self._records) > _MOST_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was collected, then says of each trial that it has ended."""
        trials, records, states = self._trials, self._records, self._states
        self._trials, self._records, self._states = [], [], {}
        self._flushed = time.perf_counter()
        if not trials:
            return
        tables = pd.DataFrame(records), pd.DataFrame([outcome for _, outcome in trials])
        if self._directory is None:
            self._kept_tables.append(tables)
            return
        if states:
            self._if_possible(
                lambda: self._write_states(states), "no later state is kept, from which trials could go on"
            )
        self._write_part(tables)
        for trial, outcome in trials:
            self._told(trial, outcome)

    @property
    def holds_trials(self) -> bool:
        """Whether there are ended trials in the directory."""
        return bool(self._parts)

    @property
    def tables(self) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Records and trials of all that was flushed, in tables for parts of it; read from the directory if
        there is one.
        """
        return self._kept_tables if self._directory is None else [_read_part(part) for part in self._parts]

    def _write_part(self, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        part = self._new_part(tables)
        self._parts.append(part)
        if len(tables[0]) < _FEW_RECORDS:
            self._small.append(part)
        if len(self._small) >= _MOST_SMALL:
            self._merge_parts()

    def _new_part(self, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Part:
        assert self._directory is not None
        self._number += 1
        part = Part(*(self._directory / PARTS / f"{self._number:06}-{name}" for name in (RECORDS, TRIALS)))
        for path, table in zip(part, tables, strict=True):
            write_table(path.parent, path.name, table)
        return part

    def _merge_parts(self) -> None:
        """The small ones become one.

        Until they are gone both are there, and the later part of a trial counts.
        """
        small, self._small = self._small, []
        records, trials = zip(*map(_read_part, small), strict=True)
        merged = pd.concat(records, ignore_index=True), pd.concat(trials, ignore_index=True)
        self._parts = [part for part in self._parts if part not in small] + [self._new_part(merged)]
        if len(merged[0]) < _FEW_RECORDS:
            self._small = self._parts[-1:]
        for part in small:
            remove(part.trials)
            remove(part.records)

    def _write_states(self, states: dict[str, State]) -> None:
        """In files that grow to some size."""
        assert self._directory is not None
        merged: list[Path] = []
        if len(self._small_states) + 1 >= _MOST_SMALL:
            merged, self._small_states = self._small_states, []
            states = {key: state for path in merged for key, state in load_states(path).items()} | states
        path = self._directory / STATES / f"{self._number + 1:06}-{STATES}.pt"
        save_states(path, states)
        if path.stat().st_size < _MOST_BYTES:
            self._small_states.append(path)
        for old in merged:
            remove(old)

    def checkpoint(self, tasks: Iterable[Saved], now: bool = False) -> None:
        """Keeps what is under way, if the last checkpoint is old enough; ``now``: in any case."""
        due = now or time.perf_counter() - self._checkpointed > self._pause
        if self._directory is not None and due and not self.notes:
            self._checkpointed = time.perf_counter()
            path, values = self._directory / CHECKPOINT, {"tasks": [list(saved) for saved in tasks]}
            self._if_possible(
                lambda: save_states(path, values), "after a stop, trials that were under way begin again"
            )

    def _if_possible(self, write: Callable[[], None], otherwise: str) -> None:
        """What a run can do without: its results take less room."""
        try:
            write()
        except RunDirectoryError as error:
            self._keep = -1
            self.notes.append(f"{error}; {otherwise}")

    def forget_checkpoint(self) -> None:
        """What was under way has ended."""
        if self._directory is not None:
            remove(self._directory / CHECKPOINT)


def has_tables(directory: Path) -> bool:
    """Whether any trial of a run directory has ended."""
    whole = (directory / TRIALS).exists() or (directory / RECORDS).exists()
    return whole or any((directory / PARTS).glob(f"*-{TRIALS}"))


def read_run(
    directory: Path,
    record_columns: Sequence[str],
    trial_columns: Sequence[str],
    comparison: Comparison | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials of a run directory: the whole tables, and the parts of what ended since they were
    written.

    Records whose trial's row is missing were cut off by a crash, and are left out; of a trial that went on
    later, the later rows count.

    Args:
        directory: The run directory.
        record_columns: What the records have to have.
        trial_columns: What the trials have to have.
        comparison: What was asked, which bounds how many rows there are; None where this process wrote them.

    Raises:
        RunDirectoryError: A table is missing or damaged, or does not belong to this comparison.
    """
    while True:
        before = sorted((directory / PARTS).glob(f"*-{TRIALS}"))
        try:
            return _read_parts(directory, before, (record_columns, trial_columns), comparison)
        except RunDirectoryError:
            if before == sorted((directory / PARTS).glob(f"*-{TRIALS}")):
                raise  # else the run, which is under way, has merged some of them meanwhile


def _read_parts(
    directory: Path,
    trials: Sequence[Path],
    columns: tuple[Sequence[str], Sequence[str]],
    comparison: Comparison | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    both = (directory / RECORDS).exists() and (
        directory / TRIALS
    ).exists()  # a run may be about to write the second
    whole = both or not trials
    found = [(directory / RECORDS, directory / TRIALS)] if whole else []
    found += [(path.with_name(path.name.replace(TRIALS, RECORDS)), path) for path in trials]
    pairs = [_read_pair(records, ended, columns, comparison) for records, ended in found]
    if len(pairs) == 1:
        return pairs[0]
    of_records, of_trials = (
        np.repeat(np.arange(len(pairs)), [len(table) for table in tables])
        for tables in zip(*pairs, strict=True)
    )
    records, ended = (pd.concat(tables, ignore_index=True) for tables in zip(*pairs, strict=True))
    del pairs
    numbers, ended_numbers = trial_numbers(records, ended)
    last = np.full(max(numbers.max(initial=-1), ended_numbers.max(initial=-1)) + 1, -1)
    last[ended_numbers] = np.arange(len(ended))  # of several the last remains
    records_kept = (last[numbers] >= 0) & (of_trials[last[numbers]] == of_records)
    return chosen(records, records_kept), chosen(ended, last[ended_numbers] == np.arange(len(ended)))


def _read_pair(
    records_file: Path,
    trials_file: Path,
    columns: tuple[Sequence[str], Sequence[str]],
    comparison: Comparison | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A part, or the whole tables."""
    of_records, of_trials = columns
    if comparison is None:
        return read_table(records_file, RECORDS_SCHEMA, of_records), read_table(
            trials_file, TRIALS_SCHEMA, of_trials
        )
    trials = read_table(trials_file, TRIALS_SCHEMA, of_trials, most_trials(comparison))
    records = read_table(records_file, RECORDS_SCHEMA, of_records, most_records(comparison, trials))
    for path, table in ((trials_file, trials), (records_file, records)):
        refuse_strangers(path, table, comparison)
    return records, trials


def trial_numbers(*tables: pd.DataFrame) -> list[np.ndarray]:
    """For each table int64[rows]: the same number for the same trial, in all of them."""
    key = run_key(name for table in tables for name in table.columns)
    rows = pd.concat([table.reindex(columns=key) for table in tables], ignore_index=True)
    number = np.zeros(len(rows), dtype=np.int64)
    for name in key:
        places, values = pd.factorize(rows[name])
        number = pd.factorize(number * max(len(values), 1) + places)[0]
    return np.split(number, np.cumsum([len(table) for table in tables])[:-1])


def chosen(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """These rows, numbered anew; without a copy where they are all."""
    return table if rows.all() else table[rows].reset_index(drop=True)


def _read_part(part: Part) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_table(part.records, RECORDS_SCHEMA), read_table(part.trials, TRIALS_SCHEMA)


def forget_parts(directory: Path) -> None:
    """Once the whole tables are written: the parts go, trials first, since records without their trials are
    ignored.
    """
    for name in (TRIALS, RECORDS):
        for path in (directory / PARTS).glob(f"*-{name}"):
            remove(path)
    if (directory / PARTS).is_dir() and not any((directory / PARTS).iterdir()):  # what others put there stays
        with writing(directory / PARTS):
            (directory / PARTS).rmdir()
