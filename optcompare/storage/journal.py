"""The run directory while a run is under way: what has ended is appended in parts, durably, and survives a crash.

A part is two Parquet files, records and then trials, each written, synced and renamed. A trial counts as ended once its row
is on disk; only then is anybody told. Small parts are merged into larger ones, so that there are never many files. At the
end of the run one table of each replaces the parts.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core.columns import run_key
from ..core.comparison import Trial
from ..errors import RunDirectoryError
from .run_dir import RECORDS, TRIALS, make_directory, read_table, remove, write_atomically, write_table, writing

PARTS, STATES, CHECKPOINT = "parts", "states", "checkpoint.pt"
_FLUSH_SECONDS = 1.0
_MOST_RECORDS, _FEW_RECORDS = 20_000, 5_000
"""Records that are collected before they are written, and below which a part is merged with others."""
_MOST_BYTES = 2**20
_MOST_SMALL = 32
"""Parts of less than so many records, and files of less than so many bytes of states, are merged when there are so many."""

Row = Mapping[str, Any]
State = dict[str, Any]
Saved = tuple[dict[str, list[Row]], State]
"""A task under way: the records so far of each of its trials, by its key, and their state."""


class Part(NamedTuple):
    """The two files of a part."""

    records: Path
    trials: Path


class Journal:
    """Collects ended trials, and writes them as a part about once a second.

    ``directory`` None: keeps all of them in memory. ``told`` of a trial once it is safe. ``keep``: bytes of final states to
    keep, from which trials can be trained on; ``pause``: seconds between checkpoints of what is under way. Where checkpoints
    or states cannot be written any more, ``notes`` says so, and the run goes on without them.
    """

    def __init__(
        self, directory: Path | None, told: Callable[[Trial, Row], None], keep: float = 2**30, pause: float = 10.0
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
            written = [*(directory / PARTS).glob("[0-9]*-*"), *(directory / STATES).glob("[0-9]*-*")]
            self._number = max((int(path.name.partition("-")[0]) for path in written), default=0)
            self._keep -= sum(path.stat().st_size for path in written if path.suffix == ".pt")

    def add(self, trial: Trial, outcome: Row, records: Sequence[Row], state: State | None = None) -> None:
        """A trial that has ended, with all its records and its final state; written now if it is time."""
        self._trials.append((trial, outcome))
        self._records += records
        if self._directory is None:
            self._told(trial, outcome)
        elif state is not None and trial.phase == "report" and (size := _bytes(state)) <= self._keep:
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
        """Records and trials of all that was flushed, in tables for parts of it; read from the directory if there is one."""
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
        """The small ones become one. Until they are gone both are there, and the later part of a trial counts."""
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
            states = {key: state for path in merged for key, state in _load(path).items()} | states
        path = self._directory / STATES / f"{self._number + 1:06}-{STATES}.pt"
        _save(path, states)
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
            self._if_possible(lambda: _save(path, values), "after a stop, trials that were under way begin again")

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


class Kept:
    """States that a run directory holds: of ended trials, and of the tasks that were under way."""

    def __init__(self, directory: Path) -> None:
        self._files = sorted((directory / STATES).glob(f"[0-9]*-{STATES}.pt"))
        self._read: tuple[Path, dict[str, State]] | None = None
        self._checkpoint = directory / CHECKPOINT

    @cached_property
    def _places(self) -> dict[str, Path]:
        return {key: path for path in self._files for key in _load(path)}

    def __contains__(self, trial: Trial) -> bool:
        return key_of(trial) in self._places

    def __getitem__(self, trial: Trial) -> State:
        path = self._places[key_of(trial)]
        if self._read is None or self._read[0] != path:
            self._read = path, _load(path)
        return self._read[1][key_of(trial)]

    def items(self) -> Iterator[tuple[str, State]]:
        """Every trial's key with its last state, file by file, so that each is read once."""
        for path in self._files:
            for key, state in _load(path).items():
                if self._places[key] == path:
                    yield key, state

    def checkpoint(self) -> list[Saved]:
        """The tasks that were under way."""
        if not self._checkpoint.is_file():
            return []
        return [(records, state) for records, state in _load(self._checkpoint)["tasks"]]


def key_of(trial: Trial) -> str:
    """A trial's name within a run directory; the same for one that is read and one that is asked for."""
    return _key(trial.phase, trial.seed, trial.arm.lr, trial.arm.label, trial.repeat)


def key_of_row(row: Row) -> str:
    """The same name from a row of the trials or the records."""
    return _key(row["phase"], row["seed"], float(row["lr"]), row["arm"], row.get("repeat", 0))


def _key(phase: str, seed: int, lr: float, arm: str, repeat: int) -> str:
    return f"{phase}{f'/{repeat}' if repeat else ''} {seed} {lr!r} {arm}"


def _save(path: Path, values: Any) -> None:
    import torch

    packed = io.BytesIO()  # written to a file, a full disk would be a RuntimeError that does not say so
    torch.save(values, packed)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed.getbuffer()))


def _load(path: Path) -> Any:
    """Nothing is executed: tensors and plain values alone are read."""
    import torch

    try:
        return torch.load(path, weights_only=True)
    except Exception as error:
        raise RunDirectoryError(f"{path} is damaged; delete it, and what it held is trained again") from error


def _bytes(state: Any) -> int:
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    if isinstance(state, (list, tuple)):
        return sum(map(_bytes, state))
    return getattr(state, "nbytes", 16)


def has_tables(directory: Path) -> bool:
    """Whether any trial of a run directory has ended."""
    whole = (directory / TRIALS).is_file() or (directory / RECORDS).is_file()
    return whole or any((directory / PARTS).glob(f"*-{TRIALS}"))


def read_run(
    directory: Path, record_columns: Sequence[str], trial_columns: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials of a run directory: the whole tables, and the parts of what ended since they were written.

    Records whose trial's row is missing were cut off by a crash, and are left out; of a trial that went on later, the
    later rows count.
    """
    while True:
        before = sorted((directory / PARTS).glob(f"*-{TRIALS}"))
        try:
            return _read_parts(directory, before, record_columns, trial_columns)
        except RunDirectoryError:
            if before == sorted((directory / PARTS).glob(f"*-{TRIALS}")):
                raise  # else the run, which is under way, has merged some of them meanwhile


def _read_parts(
    directory: Path, trials: Sequence[Path], record_columns: Sequence[str], trial_columns: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    both = (directory / RECORDS).is_file() and (directory / TRIALS).is_file()  # a run may be about to write the second
    whole = both or not trials
    found = [(directory, RECORDS, TRIALS)] if whole else []
    found += [(directory / PARTS, path.name.replace(TRIALS, RECORDS), path.name) for path in trials]
    pairs = [(read_table(place, a, record_columns), read_table(place, b, trial_columns)) for place, a, b in found]
    if len(pairs) == 1:
        return pairs[0]
    of_records, of_trials = (
        np.repeat(np.arange(len(pairs)), [len(table) for table in tables]) for tables in zip(*pairs, strict=True)
    )
    records, ended = (pd.concat(tables, ignore_index=True) for tables in zip(*pairs, strict=True))
    del pairs
    numbers, ended_numbers = trial_numbers(records, ended)
    last = np.full(max(numbers.max(initial=-1), ended_numbers.max(initial=-1)) + 1, -1)
    last[ended_numbers] = np.arange(len(ended))  # of several the last remains
    records_kept = (last[numbers] >= 0) & (of_trials[last[numbers]] == of_records)
    return chosen(records, records_kept), chosen(ended, last[ended_numbers] == np.arange(len(ended)))


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
    return read_table(part.records.parent, part.records.name), read_table(part.trials.parent, part.trials.name)


def forget_parts(directory: Path) -> None:
    """Once the whole tables are written: the parts go."""
    for path in (directory / PARTS).glob("*.parquet"):
        remove(path)
    if (directory / PARTS).is_dir():
        with writing(directory / PARTS):
            (directory / PARTS).rmdir()
