"""Name the files of figures drawn from run directories, and keep them out of run directories."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import RunDirectoryError
from ..storage.run_dir import COMPARISON

_LONGEST = 60
"""The greatest length of a name in characters: with four bytes each and a figure's name it fits any file
system.
"""


def refuse_run_directory(out: Path) -> None:
    """Refuse to write into a run directory, all of whose files belong to the run itself.

    Args:
        out: A directory, which need not exist yet.

    Raises:
        RunDirectoryError: It is a run directory, or lies in one.
    """
    place = out.resolve()
    for directory in (place, *place.parents):
        if (directory / COMPARISON).is_file():
            where = "the current directory" if out == Path() else str(out)
            lies = "is" if directory == place else f"lies in {directory}, which is"
            raise RunDirectoryError(
                f"{where} {lies} a run directory, where report writes nothing; give another directory with "
                "--out"
            )


def names_of_runs(directories: Sequence[Sequence[Path]], workloads: Sequence[str]) -> list[str]:
    """Name the figures of each result after its run directories.

    Args:
        directories: The run directories of each result.
        workloads: The label of each result's workload.

    Returns:
        One distinct name for each result: ``RUN``, or ``RUN+RUN`` for merged runs; with the workload if names
        would be
        equal.
    """
    names = [joined([path.resolve().name for path in paths]) for paths in directories]
    if len(set(names)) < len(names):
        names = [joined([name, workload], "-") for name, workload in zip(names, workloads, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    return names


def joined(names: Sequence[str], between: str = "+") -> str:
    """Join names to one that is safe as the name of a file.

    Args:
        names: Any texts.
        between: The separator.

    Returns:
        At most 60 characters. A longer name is cut, and ends in the first digits of the SHA-256 of the whole
        name, so
        that different names stay different.
    """
    safe = [_safe(name) for name in names]
    whole = between.join(dict.fromkeys(safe))
    if len(set(safe)) < len(safe):  # a/run and b/run
        whole += f"{between}{len(safe) - len(set(safe))}-more"
    if len(whole) <= _LONGEST:
        return whole
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{whole[: _LONGEST - 9].rstrip('._-+')}-{digest}"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip("._+-") or "run"
