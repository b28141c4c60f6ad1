"""The run directory: written atomically, read without executing anything in it."""

from __future__ import annotations

import codecs
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.columns import PATHS_SCHEMA, PLANE_SCHEMA, RECORDS_SCHEMA, TRIALS_SCHEMA
from ..core.regular_files import read_regular, regular_sha256
from ..core.schema import Check, anything, find_fault
from ..errors import RunDirectoryError
from .run_schema import COMPARISON_SCHEMA, CONFIG_SCHEMA, RUN_SCHEMA

COMPARISON, SUMMARY = "comparison.json", "summary.csv"
RECORDS, TRIALS = RECORDS_SCHEMA.file, TRIALS_SCHEMA.file
PATHS, PLANE = PATHS_SCHEMA.file, PLANE_SCHEMA.file
LOCK = ".lock"
"""The file that a run locks on Windows."""
_TEMPORARY = re.compile(
    r"\.(comparison|records|trials|paths|plane|summary|looks|checkpoint|tuning|scaling"
    r"|\d+-(records|trials|states))\.\d+\.\w+"
)
"""The temporary names of a run's files in :func:`write_atomically`."""


def safe_name(text: str) -> str:
    """Return a text as the name of a file or directory."""
    return re.sub(r"[^\w.-]+", "_", text)[:40].strip("._") or "workload"


@contextmanager
def reserved(directory: Path, occupied: bool = False) -> Iterator[None]:
    """Reserve a run directory for this process.

    Args:
        directory: The run directory.
        occupied: Whether it belongs to a previous run; if not, it must be empty.

    Raises:
        RunDirectoryError: Another process writes to it, or it cannot be written to.
    """
    if not occupied:
        claim(directory)
    with _lock_file(directory) if os.name == "nt" else _lock_directory(directory) as locked:
        if locked:
            _remove_unfinished(directory)
        yield


@contextmanager
def _lock_directory(directory: Path) -> Iterator[bool]:
    """Lock a directory itself; yield False if the file system has no locks.

    ``filelock`` can lock only files, which would be visible in the run directory. Other processes recognize a
    run by its open directory; see :func:`.is_under_way`.
    """
    import fcntl

    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
    try:
        locked = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(directory) from None
        except OSError:  # Some network file systems have no locks.
            locked = False
        yield locked
    finally:
        os.close(handle)


@contextmanager
def _lock_file(directory: Path) -> Iterator[bool]:
    """Lock a file in a directory, for Windows, which cannot lock directories; yield True."""
    from filelock import FileLock, Timeout

    lock = FileLock(directory / LOCK, timeout=0)
    with writing(directory):
        try:
            lock.acquire()
        except Timeout:
            raise _taken(directory) from None
    try:
        yield True
    finally:
        lock.release()


def _taken(directory: Path) -> RunDirectoryError:
    return RunDirectoryError(f"another run is writing to {directory}; wait for it, or give another directory")


def _remove_unfinished(directory: Path) -> None:
    """Remove temporary files of killed processes; only the owner of the directory's lock may call it."""
    for folder in (directory, *(directory / name for name in ("parts", "states"))):
        for path in () if folder.is_symlink() or not folder.is_dir() else folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                with suppress(OSError):
                    path.unlink()


def claim(directory: Path) -> None:
    """Make a run directory.

    Raises:
        RunDirectoryError: It cannot be made, or is not empty.
    """
    refuse_occupied(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write to {directory}: {error.strerror or error}; give another directory"
        ) from error


def refuse_occupied(directory: Path) -> None:
    """Refuse a directory that exists and is not empty.

    Raises:
        RunDirectoryError: It is not empty, or cannot be read.
    """
    try:
        occupied = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read {directory}: {error.strerror or error}; give another directory"
        ) from error
    if occupied:
        instead = "give another directory, or move it away"
        raise RunDirectoryError(f"{directory} exists and is not empty; {instead}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the context, which writes a path, into a RunDirectoryError with its reason."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError of the context, which reads a path, into a RunDirectoryError with its reason."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror or error}") from error


def make_directory(path: Path) -> None:
    """Make a directory and its parents, if they are missing.

    Raises:
        RunDirectoryError: It cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file, if it exists.

    Raises:
        RunDirectoryError: It cannot be removed.
    """
    with writing(path.parent):
        path.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that readers see all of it or none.

    Args:
        path: The file.
        write: Called with a temporary path in the same directory, which is renamed afterwards.

    Raises:
        RunDirectoryError: The disk is full, or the directory is gone.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with writing(path):
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_directory(path.parent)
    finally:
        with suppress(OSError):  # The error of the writing is enough.
            temporary.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Sync a directory, so that a power cut does not undo a renaming."""
    if os.name == "nt":  # Windows cannot open a directory.
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(directory: Path, values: dict[str, Any]) -> None:
    """Write ``comparison.json`` into a run directory."""
    text = json.dumps(values, indent=2, ensure_ascii=False, default=str) + "\n"
    write_atomically(directory / COMPARISON, lambda path: path.write_text(text, encoding="utf-8"))


def write_table(directory: Path, name: str, table: pd.DataFrame) -> None:
    """Write one Parquet table into a run directory."""
    write_atomically(directory / name, lambda path: table.to_parquet(path, index=False))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or raise OSError if it is not a readable regular file."""
    return regular_sha256(path)


def read_json(directory: Path) -> dict[str, Any]:
    """Read ``comparison.json``.

    Raises:
        RunDirectoryError: It is missing or damaged, or does not match its schema.
    """
    path = directory / COMPARISON
    if not path.exists():
        run = min((str(path.parent) for path in directory.glob(f"*/{COMPARISON}")), default="")
        hint = f"; give one of the runs in it, such as {run}" if run else ""
        raise RunDirectoryError(f"{directory} is no run directory: it has no {COMPARISON}{hint}")
    return read_json_file(path, RUN_SCHEMA)


def read_config(path: Path) -> dict[str, Any]:
    """Read the comparison from a saved ``comparison.json``, or from a file with nothing else.

    Args:
        path: The file.

    Raises:
        RunDirectoryError: The file cannot be read, or holds no comparison.
    """
    values = read_json_file(path)
    schema = CONFIG_SCHEMA if "comparison" in values else COMPARISON_SCHEMA
    wrong = find_fault(schema, values)
    if wrong:
        raise RunDirectoryError(
            f"{path} is damaged: this is not a comparison: {wrong}; give the comparison.json of a run"
        )
    found: dict[str, Any] = values.get("comparison", values)
    return found


def read_json_file(path: Path, schema: Check = anything) -> dict[str, Any]:
    """Read a JSON object from a file.

    Args:
        path: The file.
        schema: The schema of the object.

    Raises:
        RunDirectoryError: The file cannot be read, or does not match the schema.
    """
    try:
        with reading(path):
            values = json.loads(_text(path))
    except RecursionError:
        raise RunDirectoryError(f"cannot read {path}: its lists and objects are nested too deep") from None
    except ValueError as error:
        raise RunDirectoryError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise RunDirectoryError(f"{path} holds no JSON object; give the comparison.json of a run")
    _refuse_faults(path, schema, values)
    return values


def _refuse_faults(path: Path, schema: Check, values: dict[str, Any]) -> None:
    found = find_fault(schema, values)
    if found:
        raise RunDirectoryError(f"{path} is damaged: {found}; put back what the run wrote")


def _text(path: Path) -> str:
    """Return a file's text in UTF-8, or in the encoding of its byte order mark (Windows)."""
    content = read_regular(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")
