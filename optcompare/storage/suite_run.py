"""The file ``suite.json`` of a folder with a run for each workload of a suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..core.comparison import Comparison
from ..core.schema import anything, map_of, object_of
from ..errors import ComparisonError, RunDirectoryError, SpecError
from ..interfaces.suite import Suite
from .run_dir import make_directory, read_json_file, write_atomically
from .run_schema import COMPARISON_SCHEMA

SUITE = "suite.json"
_SCHEMA = object_of({"suite": anything, "comparisons": map_of(COMPARISON_SCHEMA)})


def is_suite_run(directory: Path) -> bool:
    """Return whether a folder holds the runs of a suite.

    Args:
        directory: Any path.
    """
    return (directory / SUITE).exists()


def write_suite_run(directory: Path, suite: Suite, comparisons: Mapping[str, Comparison]) -> None:
    """Write the suite and all its comparisons, so that those which were never begun can be begun later.

    Args:
        directory: The folder, which is created if it does not exist.
        suite: The suite.
        comparisons: The comparisons by the names of their folders.

    Raises:
        RunDirectoryError: It cannot be written.
    """
    make_directory(directory)
    values = {
        "suite": suite.to_json(),
        "comparisons": {folder: one.to_json() for folder, one in comparisons.items()},
    }
    text = json.dumps(values, indent=2) + "\n"
    write_atomically(directory / SUITE, lambda path: path.write_text(text, encoding="utf-8"))


def read_suite_run(directory: Path) -> tuple[Suite, dict[str, Comparison]]:
    """Read the suite and its comparisons by the names of their folders.

    Args:
        directory: The folder.

    Raises:
        RunDirectoryError: The file cannot be read, or is damaged.
    """
    path = directory / SUITE
    values = read_json_file(path, _SCHEMA)
    try:
        suite = Suite.from_json(values["suite"])
        comparisons = {name: Comparison.from_json(each) for name, each in values["comparisons"].items()}
    except (ComparisonError, SpecError) as error:
        raise RunDirectoryError(f"{path} is damaged: {error}; put back what the run wrote") from error
    wrong = next((name for name in comparisons if Path(name).name != name or name in (".", "..")), None)
    if wrong is not None:
        raise RunDirectoryError(f"{path} is damaged: {wrong!r} is no name of a folder")
    return suite, comparisons
