"""Read records and trials of a run directory: the whole tables, and the parts written since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..core.columns import RECORDS_SCHEMA, TRIALS_SCHEMA, run_key
from ..core.comparison import Comparison
from ..errors import RunDirectoryError
from .run_dir import RECORDS, TRIALS, remove, writing
from .table_bounds import most_records, most_trials, refuse_strangers
from .table_files import read_table

PARTS = "parts"


class TablePair(NamedTuple):
    """The two files of a part of the tables."""

    records: Path
    trials: Path


def has_tables(directory: Path) -> bool:
    """Return whether any trial of a run directory has ended."""
    whole = (directory / TRIALS).exists() or (directory / RECORDS).exists()
    return whole or any((directory / PARTS).glob(f"*-{TRIALS}"))


def read_run(
    directory: Path,
    record_columns: Sequence[str],
    trial_columns: Sequence[str],
    comparison: Comparison | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read records and trials of a run directory.

    Records without the row of their trial are left out, since a crash came between both. If several parts
    contain a trial, the last one counts.

    Args:
        directory: The run directory.
        record_columns: Columns that the records must have.
        trial_columns: Columns that the trials must have.
        comparison: The comparison of the run, which bounds the number of rows; None: this process wrote the
            tables.

    Returns:
        The records and the trials.

    Raises:
        RunDirectoryError: A table is missing or damaged, or does not belong to this comparison.
    """
    while True:
        before = sorted((directory / PARTS).glob(f"*-{TRIALS}"))
        try:
            return _read_parts(directory, before, (record_columns, trial_columns), comparison)
        except RunDirectoryError:
            if before == sorted((directory / PARTS).glob(f"*-{TRIALS}")):
                raise  # If the parts differ, the run is under way and has merged some: read again.


def _read_parts(
    directory: Path,
    trials: Sequence[Path],
    columns: tuple[Sequence[str], Sequence[str]],
    comparison: Comparison | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    # A run that is about to end may have written only the first of the whole tables.
    both = (directory / RECORDS).exists() and (directory / TRIALS).exists()
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
    last[ended_numbers] = np.arange(len(ended))  # the last row of each trial
    records_kept = (last[numbers] >= 0) & (of_trials[last[numbers]] == of_records)
    return chosen(records, records_kept), chosen(ended, last[ended_numbers] == np.arange(len(ended)))


def _read_pair(
    records_file: Path,
    trials_file: Path,
    columns: tuple[Sequence[str], Sequence[str]],
    comparison: Comparison | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the two tables of a part, or the whole tables."""
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
    """Assign a number to the trial of each row of some tables; a fast :class:`.TrialKey` for many rows.

    Args:
        *tables: Tables with the columns of :func:`.run_key`.

    Returns:
        int64[rows] for each table; equal numbers mean the same trial, in all tables.
    """
    key = run_key(name for table in tables for name in table.columns)
    rows = pd.concat([table.reindex(columns=key) for table in tables], ignore_index=True)
    number = np.zeros(len(rows), dtype=np.int64)
    for name in key:
        indices, values = pd.factorize(rows[name])
        number = pd.factorize(number * max(len(values), 1) + indices)[0]
    return np.split(number, np.cumsum([len(table) for table in tables])[:-1])


def chosen(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Return some rows of a table with a new index; the table itself if all rows are kept.

    Args:
        table: Any table.
        rows: Whether each row is kept, bool[rows].
    """
    return table if rows.all() else table[rows].reset_index(drop=True)


def read_part(part: TablePair) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read records and trials of a part that this process wrote."""
    return read_table(part.records, RECORDS_SCHEMA), read_table(part.trials, TRIALS_SCHEMA)


def forget_parts(directory: Path) -> None:
    """Remove the parts after the whole tables are written.

    Trials are removed first, since records without their trials are ignored.
    """
    for name in (TRIALS, RECORDS):
        for path in (directory / PARTS).glob(f"*-{name}"):
            remove(path)
    # Files of others in this folder stay.
    if (directory / PARTS).is_dir() and not any((directory / PARTS).iterdir()):
        with writing(directory / PARTS):
            (directory / PARTS).rmdir()
