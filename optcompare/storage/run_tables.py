"""Reads records and trials of a run directory: the whole tables, and the parts of what ended since."""

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


class Part(NamedTuple):
    """The two files of a part."""

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

    Records of a trial without a row are left out: a crash cut them off. Of a trial with several rows, the
    last part counts.

    Args:
        directory: The run directory.
        record_columns: Columns that the records must have.
        trial_columns: Columns that the trials must have.
        comparison: Of the run, which bounds the number of rows; None where this process wrote the tables.

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
    """Number the trials that the rows of some tables belong to; :class:`.TrialKey` for millions of rows.

    Args:
        tables: With the columns of :func:`.run_key`.

    Returns:
        For each table int64[rows]; equal numbers are the same trial, in all tables.
    """
    key = run_key(name for table in tables for name in table.columns)
    rows = pd.concat([table.reindex(columns=key) for table in tables], ignore_index=True)
    number = np.zeros(len(rows), dtype=np.int64)
    for name in key:
        places, values = pd.factorize(rows[name])
        number = pd.factorize(number * max(len(values), 1) + places)[0]
    return np.split(number, np.cumsum([len(table) for table in tables])[:-1])


def chosen(table: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Return some rows of a table with a new index; the table itself where they are all.

    Args:
        table: Any table.
        rows: bool[rows], whether each is kept.
    """
    return table if rows.all() else table[rows].reset_index(drop=True)


def read_part(part: Part) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read records and trials of a part that this process wrote."""
    return read_table(part.records, RECORDS_SCHEMA), read_table(part.trials, TRIALS_SCHEMA)


def forget_parts(directory: Path) -> None:
    """Remove the parts once the whole tables are written.

    Trials are removed first, since records without their trials are ignored.
    """
    for name in (TRIALS, RECORDS):
        for path in (directory / PARTS).glob(f"*-{name}"):
            remove(path)
    if (directory / PARTS).is_dir() and not any((directory / PARTS).iterdir()):  # what others put there stays
        with writing(directory / PARTS):
            (directory / PARTS).rmdir()
