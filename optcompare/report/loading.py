"""Load results from run directories, and merge those of one workload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import RunDirectoryError
from ..results.merge import merge, run_directories
from ..storage.merged_looks import add_merged_look, looks_at_any_of
from .result import Result


def load(directory: str | Path) -> Result:
    """Read a result from its run directory, without executing anything in it.

    A run that is still in progress, or was killed, is read with the trials that have ended.

    Args:
        directory: The run directory, or a copy of it.

    Raises:
        RunDirectoryError: Something is missing or damaged.
    """
    return Result.read(directory)


def load_all(directories: Sequence[Path]) -> list[Result]:
    """Read one result for each workload.

    Runs of one workload are merged. Together they are a new set of trials, so that this look at them is
    recorded; see :mod:`optcompare.storage.merged_looks`. The run directories stay as they are.

    Args:
        directories: Run directories, and directories that contain run directories.

    Raises:
        RunDirectoryError: A directory is no run and contains none, or a file in it is damaged.
        ComparisonError: Runs of one workload do not have the same question.
    """
    return [result for result, _ in load_with_paths(directories)]


def load_with_paths(directories: Sequence[Path]) -> list[tuple[Result, list[Path]]]:
    """Read results as :func:`load_all` does, each with its run directories.

    Args:
        directories: Run directories, and directories that contain run directories.

    Raises:
        RunDirectoryError: A directory is no run and contains none, or a file in it is damaged.
        ComparisonError: Runs of one workload do not have the same question.
    """
    by_workload: dict[str, list[tuple[Path, Result]]] = {}
    for path in run_directories(directories):
        result = load(path)
        by_workload.setdefault(result.comparison.workload.label, []).append((path, result))
    return [
        (_looked_at(merge(runs)) if len(runs) > 1 else runs[0][1], [path for path, _ in runs])
        for runs in by_workload.values()
    ]


def _looked_at(merged: Result) -> Result:
    """Count the previous looks at merged runs, and record this one if it can be written."""
    trials = merged.reported[1]
    merged.looks = merged.looks.together_with(looks_at_any_of(trials))
    look = None if merged.looks.holds(trials) else merged.as_past_look()
    if look is None:
        return merged
    recorded = True
    try:
        add_merged_look(look, trials)
    except RunDirectoryError:
        recorded = False
    merged.looks = merged.looks.followed_by(look, recorded)
    return merged
