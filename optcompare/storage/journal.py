"""Write ended trials to a run directory, in parts that survive a crash.

A part consists of two Parquet files, first records, then trials. Each is written, synced and renamed. A trial
counts as ended when its row is on disk. Small parts are merged into larger ones, so that there are never many
files. At the end of the run the whole tables replace the parts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..core.columns import Outcome, Record
from ..core.comparison import Trial
from ..core.trial_key import TrialKey
from ..errors import RunDirectoryError
from ..training.state import TrialState
from .run_dir import RECORDS, TRIALS, make_directory, remove, write_table
from .run_tables import PARTS, TablePair, read_part
from .state_files import CHECKPOINT, STATES, SavedTask, bytes_of, load_states, save_checkpoint, save_states

_FLUSH_SECONDS = 1.0
_MOST_RECORDS, _FEW_RECORDS = 20_000, 5_000
"""The most records that wait to be written, and the number below which a part is merged with others."""
_MOST_BYTES = 2**20
"""The size below which a file of states is merged with others."""
_MOST_SMALL = 32
"""The number of small parts, or of small files of states, at which they are merged."""

_NUMBERED = re.compile(r"[0-9]{6,12}-")
"""The beginning of the names of parts and of files of states."""


class Journal:
    """Collect ended trials, and write them as a part about once a second.

    Args:
        directory: The run directory; None: all trials are kept in memory.
        saved: Called with each trial and its row after they are on disk, or at once without a directory.
        keep: Bytes of final states to keep, from which trials can be trained further.
        pause: Seconds between checkpoints of the tasks under way.

    Attributes:
        notes: Sentences on checkpoints or states that could not be written; the run continues without them.
    """

    def __init__(
        self,
        directory: Path | None,
        saved: Callable[[Trial, Outcome], None],
        keep: float = 2**30,
        pause: float = 10.0,
    ) -> None:
        self._directory, self._saved, self._keep, self._pause = directory, saved, keep, pause
        self.notes: list[str] = []
        self._records: list[Record] = []
        self._trials: list[tuple[Trial, Outcome]] = []
        self._states: dict[TrialKey, TrialState] = {}
        self._flushed = self._checkpointed = time.perf_counter()
        self._number = 0
        self._parts, self._small, self._small_states = list[TablePair](), list[TablePair](), list[Path]()
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

    def add(
        self, trial: Trial, outcome: Outcome, records: Sequence[Record], state: TrialState | None = None
    ) -> None:
        """Add a trial that has ended, and write the collected trials if a second has passed.

        Args:
            trial: A trial of the comparison.
            outcome: The row of the trial.
            records: All records of the trial.
            state: The final state; None: the trial cannot be trained further.
        """
        self._trials.append((trial, outcome))
        self._records += records
        if self._directory is None:
            self._saved(trial, outcome)
        elif state is not None and trial.phase == "report" and (size := bytes_of(state)) <= self._keep:
            self._keep -= size
            self._states[TrialKey.of(trial)] = state
        late = self._directory is not None and time.perf_counter() - self._flushed > _FLUSH_SECONDS
        if late or len(self._records) > _MOST_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write the collected trials, then report each trial as saved."""
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
            self._saved(trial, outcome)

    @property
    def holds_trials(self) -> bool:
        """Return whether there are ended trials in the directory."""
        return bool(self._parts)

    @property
    def tables(self) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Return records and trials of each part; they are read from the directory if there is one."""
        return self._kept_tables if self._directory is None else [read_part(part) for part in self._parts]

    def _write_part(self, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
        part = self._new_part(tables)
        self._parts.append(part)
        if len(tables[0]) < _FEW_RECORDS:
            self._small.append(part)
        if len(self._small) >= _MOST_SMALL:
            self._merge_parts()

    def _new_part(self, tables: tuple[pd.DataFrame, pd.DataFrame]) -> TablePair:
        assert self._directory is not None
        self._number += 1
        part = TablePair(
            *(self._directory / PARTS / f"{self._number:06}-{name}" for name in (RECORDS, TRIALS))
        )
        for path, table in zip(part, tables, strict=True):
            write_table(path.parent, path.name, table)
        return part

    def _merge_parts(self) -> None:
        """Merge the small parts into one.

        Until the small parts are removed, trials are in two parts; the later part of a trial counts.
        """
        small, self._small = self._small, []
        records, trials = zip(*map(read_part, small), strict=True)
        merged = pd.concat(records, ignore_index=True), pd.concat(trials, ignore_index=True)
        self._parts = [part for part in self._parts if part not in small] + [self._new_part(merged)]
        if len(merged[0]) < _FEW_RECORDS:
            self._small = self._parts[-1:]
        for part in small:
            remove(part.trials)
            remove(part.records)

    def _write_states(self, states: dict[TrialKey, TrialState]) -> None:
        """Write states; many small files are merged."""
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

    def checkpoint(self, tasks: Iterable[SavedTask], now: bool = False) -> None:
        """Save the tasks under way, if the last checkpoint is old enough.

        Args:
            tasks: All tasks under way.
            now: Whether to save in any case.
        """
        due = now or time.perf_counter() - self._checkpointed > self._pause
        if self._directory is not None and due and not self.notes:
            self._checkpointed = time.perf_counter()
            path = self._directory / CHECKPOINT
            self._if_possible(
                lambda: save_checkpoint(path, tasks), "after a stop, trials that were under way begin again"
            )

    def _if_possible(self, write: Callable[[], None], otherwise: str) -> None:
        """Try to write an optional file; on failure, add a note and stop keeping states."""
        try:
            write()
        except RunDirectoryError as error:
            self._keep = -1
            self.notes.append(f"{error}; {otherwise}")

    def forget_checkpoint(self) -> None:
        """Remove the checkpoint, after all of its tasks have ended."""
        if self._directory is not None:
            remove(self._directory / CHECKPOINT)
