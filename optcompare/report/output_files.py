"""Where figures drawn from run directories are written, and under which names: never into a run directory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import RunDirectoryError
from ..storage.run_dir import COMPARISON

_LONGEST = 60
"""Characters of a name that runs give to a file: with four bytes each and a figure's name it fits any file
system.
"""


def refuse_run_directory(out: Path) -> None:
    """Refuse to write into a run directory, whose files are all of the run itself.

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
    """Name what is drawn of each result: by the run directories that it is from.

    Args:
        directories: Those of each result.
        workloads: The label of each result's workload.

    Returns:
        One name a result, all different: ``RUN``, or ``RUN+RUN`` of merged runs; with the workload where
        names would be equal.
    """
    names = [joined([path.resolve().name for path in paths]) for paths in directories]
    if len(set(names)) < len(names):
        names = [joined([name, workload], "-") for name, workload in zip(names, workloads, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    return names


def joined(names: Sequence[str], between: str = "+") -> str:
    """Join names to one that a file may have.

    Args:
        names: Of anything.
        between: What stands between two of them.

    Returns:
        At most 60 characters. Of a longer name the beginning, and the first digits of the SHA-256 of all of
        it, so that different names stay different.
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
