"""A previous run of the same comparison, read from its directory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.columns import KEY, RECORD_COLUMNS, TRIAL_COLUMNS, Outcome, Record
from ..core.comparison import Comparison, Trial
from ..core.goal import TEST
from ..core.trial_key import TrialKey
from ..training.state import TrialState
from .run_dir import read_json
from .run_tables import chosen, has_tables, read_run, trial_numbers
from .state_files import SavedStates


@dataclass
class PreviousRun:
    """Hold a previous run; its trials are not trained again.

    Attributes:
        comparison: The comparison of the run.
        records: The records of trials that ended.
        trials: The trials that ended, without interrupted ones.
        environment: The versions, hardware, sources and data of the run.
        notes: The notes of the run.
        states: The final states of its trials, and the states of the tasks that were under way.
        directory: The run directory.
    """

    comparison: Comparison
    records: pd.DataFrame
    trials: pd.DataFrame
    environment: Mapping[str, Any]
    notes: Sequence[str]
    states: SavedStates
    directory: Path

    def __post_init__(self) -> None:
        self._rows = _lists(self.trials)
        self._row_of = {key: number for number, key in enumerate(TrialKey.of_rows(self.trials))}
        of_records, of_trials = trial_numbers(self.records, self.trials)
        self._order = np.argsort(of_records, kind="stable")
        self._begins, self._ends = (
            np.searchsorted(of_records[self._order], of_trials, side).tolist() for side in ("left", "right")
        )

    @classmethod
    def read(cls, directory: Path) -> PreviousRun:
        """Read the directory of a finished or interrupted run.

        Args:
            directory: The run directory.

        Raises:
            RunDirectoryError: It is not a run directory, or is damaged.
        """
        values = read_json(directory)
        comparison = Comparison.from_json(values["comparison"])
        environment, notes = values["environment"], values["notes"]
        if has_tables(directory):
            records, trials = read_run(directory, RECORD_COLUMNS, TRIAL_COLUMNS, comparison)
        else:  # The run was stopped before the first trial had ended.
            records, trials = pd.DataFrame(columns=list(KEY)), pd.DataFrame(columns=[*KEY, "status"])
        trials = trials[~trials["status"].isin(["interrupted"])]
        return cls(comparison, records, trials, environment, notes, SavedStates(directory), directory)

    def with_columns(self, values: Mapping[str, Any]) -> PreviousRun:
        """Return the run with further columns of its records, which earlier versions did not write.

        Args:
            values: By the name of a column, the value of every record; existing columns stay.
        """
        if self.records.empty:
            return self
        missing = {name: value for name, value in values.items() if name not in self.records}
        return dataclasses.replace(self, records=self.records.assign(**missing)) if missing else self

    def row(self, trial: Trial) -> Outcome | None:
        """Return the row of a trial that ended; None for other trials."""
        index = self._row_of.get(TrialKey.of(trial))
        return None if index is None else {name: values[index] for name, values in self._rows.items()}

    def records_of(self, trial: Trial) -> list[Record]:
        """Return the records of a trial that ended; none for other trials."""
        begin, end = self._bounds_of(trial)
        names, columns = (
            list(self._columns),
            [column.at(self._order[begin:end]) for column in self._columns.values()],
        )
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def first_of(self, trial: Trial) -> list[Record]:
        """Return the numbers of a trial's first record, in a list, which is empty if there is none."""
        begin, end = self._bounds_of(trial)
        index = self._row_of.get(TrialKey.of(trial), 0)
        return [{name: values[index] for name, values in self._firsts.items()}] if begin < end else []

    def last_of(self, trial: Trial) -> list[Record]:
        """Return the numbers of a trial's last record, in a list, which is empty if there is none."""
        begin, end = self._bounds_of(trial)
        index = self._row_of.get(TrialKey.of(trial), 0)
        return [{name: values[index] for name, values in self._lasts.items()}] if begin < end else []

    def _bounds_of(self, trial: Trial) -> tuple[int, int]:
        index = self._row_of.get(TrialKey.of(trial))
        return (0, 0) if index is None else (self._begins[index], self._ends[index])

    @cached_property
    def _columns(self) -> dict[str, _Column]:
        return {str(name): _Column(self.records[name]) for name in self.records.columns}

    @cached_property
    def _firsts(self) -> dict[str, list[Any]]:
        return self._numbers_at(np.minimum(self._begins, len(self._order) - 1))

    @cached_property
    def _lasts(self) -> dict[str, list[Any]]:
        return self._numbers_at(np.maximum(np.array(self._ends) - 1, 0))

    def _numbers_at(self, places: np.ndarray) -> dict[str, list[Any]]:
        return _lists(self.records.select_dtypes("number").iloc[self._order[places]])

    def with_later(self, records: pd.DataFrame, trials: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the records and trials of this run and a later one.

        Args:
            records: The records of the later run.
            trials: The trials of the later run; its rows replace those of this run, unless the trial was
                interrupted.
        """
        if trials.empty:
            return self.records_of_ended(), self.trials
        cut = trials[trials["status"] == "interrupted"]
        kept = _rows_in(cut, self.trials)  # trials that had ended in this run, with a smaller budget
        later = trials[~_rows_in(trials, cut[kept])]
        records = chosen(records, ~_rows_in(records, cut[kept]))
        before = self.trials[~_rows_in(self.trials, later)]
        old = chosen(self.records, _rows_in(self.records, before))
        return pd.concat([old, records], ignore_index=True), pd.concat([before, later], ignore_index=True)

    def records_of_ended(self) -> pd.DataFrame:
        """Return the records of trials that ended."""
        return chosen(self.records, _rows_in(self.records, self.trials))


def _lists(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each column as lists, from which single rows are read much faster."""
    return {str(name): table[name].tolist() for name in table.columns}


class _Column:
    """Hold a column for reading a few values at a time; texts are stored as indices of distinct texts."""

    def __init__(self, column: pd.Series) -> None:
        self._texts: np.ndarray | None = None
        if pd.api.types.is_numeric_dtype(column):
            self._values = column.to_numpy()
            return
        indices, texts = pd.factorize(column, use_na_sentinel=False)
        self._values, self._texts = indices.astype(np.int32), np.asarray(texts, dtype=object)

    def at(self, rows: np.ndarray) -> list[Any]:
        values = self._values[rows]
        found: list[Any] = (values if self._texts is None else self._texts[values]).tolist()
        return found


def _rows_in(table: pd.DataFrame, trials: pd.DataFrame) -> np.ndarray:
    """Return whether each row belongs to one of these trials, bool[rows]."""
    if table.empty or trials.empty:
        return np.zeros(len(table), dtype=bool)
    numbers, wanted = trial_numbers(table, trials)
    return np.isin(numbers, wanted)


def prolonged(state: TrialState) -> TrialState:
    """Return the final state of a trial as the state of a trial that continues."""
    return {**state, "progress": {**state["progress"], "status": "running", "tested": {}}}


def records_before_end(records: Sequence[Record], state: TrialState) -> list[Record]:
    """Return the records of a trial that continues as they were before it ended.

    Args:
        records: Its records, the last of which has values on the test set and over all rows.
        state: Its final state, with the values of the last record on the sample of rows.

    Returns:
        Copies without values on the test set, the last with those on the sample.
    """
    before = [
        {name: math.nan if name.startswith(TEST) else value for name, value in record.items()}
        for record in records
    ]
    if before:
        before[-1] |= state["progress"].get("sampled", {})
    return before
