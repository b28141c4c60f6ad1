"""Read the fields of a result from its run directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.check import Check
from ..analysis.looks import History
from ..core.columns import PATHS_SCHEMA, PLANE_SCHEMA, RECORD_COLUMNS, TRIAL_COLUMNS
from ..core.comparison import Comparison
from ..core.table_schema import TableSchema
from ..errors import ComparisonError, RunDirectoryError
from ..storage import run_dir
from ..storage.looks_file import read_looks
from ..storage.run_tables import has_tables, read_run
from ..storage.table_bounds import most_points, refuse_strangers
from ..storage.table_files import read_table
from ..storage.under_way import is_under_way
from .how_far import CRASHED, how_far


def read_fields(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of a result.

    Args:
        path: The run directory.
        values: The contents of its ``comparison.json``.

    Returns:
        The fields of :class:`.tables.ResultTables`, by name.

    Raises:
        RunDirectoryError: No trial has ended, or a file is missing or damaged.
    """
    under_way, crashed = is_under_way(path, values), values.get("status") == "running"
    if not has_tables(path) and crashed:
        raise RunDirectoryError(f"{path} holds no trial{_why_none(path, under_way)}")
    try:
        comparison = Comparison.from_json(values["comparison"])
        repeat = ("repeat",) if comparison.repeats > 1 else ()
        records, trials = read_run(path, (*RECORD_COLUMNS, *repeat), (*TRIAL_COLUMNS, *repeat), comparison)
        unfinished = how_far(comparison, trials) if under_way else CRASHED
        return {
            "comparison": comparison,
            "records": records,
            "trials": trials,
            "certificate": [Check.read(check) for check in values["certificate"]],
            "status": "interrupted" if crashed else values["status"],
            "notes": [*values["notes"], *([unfinished] if crashed else [])],
            "environment": values["environment"],
            "paths": _points(path / run_dir.PATHS, PATHS_SCHEMA, comparison, trials),
            "plane": _points(path / run_dir.PLANE, PLANE_SCHEMA, comparison, trials),
            "looks": _looks(path, values),
        }
    except (KeyError, TypeError, ComparisonError) as error:
        raise RunDirectoryError(
            f"{path / run_dir.COMPARISON} is damaged: {type(error).__name__}: {error}"
        ) from error


def _why_none(path: Path, under_way: bool) -> str:
    if under_way:
        return " yet: this run is still under way, and its first trial has not ended"
    return f": the run was stopped before its first trial had ended; resume {path} to go on"


def _points(
    path: Path, schema: TableSchema, comparison: Comparison, trials: pd.DataFrame
) -> pd.DataFrame | None:
    """Read the points of a figure of two dimensions, where the run wrote them."""
    if not path.exists():
        return None
    table = read_table(path, schema, schema.required, most_points(trials))
    refuse_strangers(path, table, comparison)
    return table


def _looks(path: Path, about: Mapping[str, Any]) -> History:
    """Return the recorded looks; a run without any comparison has none, and records that."""
    looks = read_looks(path)
    return History(recorded=True) if not looks.looks and about.get("looks", looks) is None else looks
