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
from ..core.schema import Check, anything, fault
from ..errors import RunDirectoryError
from .run_schema import COMPARISON_SCHEMA, CONFIG_SCHEMA, RUN_SCHEMA

COMPARISON, SUMMARY = "comparison.json", "summary.csv"
RECORDS, TRIALS = RECORDS_SCHEMA.file, TRIALS_SCHEMA.file
PATHS, PLANE = PATHS_SCHEMA.file, PLANE_SCHEMA.file
_TEMPORARY = re.compile(
    r"\.(comparison|records|trials|paths|plane|summary|looks|checkpoint|tuning|scaling|\d+-(records|trials|states))\.\d+\.\w+"
)
"""How :func:`write_atomically` calls the files of a run until they are whole."""


def safe_name(text: str) -> str:
    """A text as the name of a file or directory."""
    return re.sub(r"[^\w.-]+", "_", text)[:40].strip("._") or "workload"


@contextmanager
def reserved(directory: Path, occupied: bool = False) -> Iterator[None]:
    """A run directory for this process alone; ``occupied``: an earlier run's, which need not be empty.

    Raises :class:`RunDirectoryError` where another process writes to it.
    """
    if not occupied:
        claim(directory)
    if os.name == "nt":  # a directory cannot be locked there
        yield
        return
    import fcntl

    with writing(directory):
        handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            advice = "wait for it, or give another --out"
            raise RunDirectoryError(f"another run is writing to {directory}; {advice}") from None
        except OSError:  # some network file systems have no locks
            pass
        else:
            _remove_unfinished(directory)
        yield
    finally:
        os.close(handle)


def _remove_unfinished(directory: Path) -> None:
    """Remove the temporary files of :func:`write_atomically` that killed processes left; only with the
    directory's lock.
    """
    for place in (directory, *(directory / name for name in ("parts", "states"))):
        for path in () if place.is_symlink() or not place.is_dir() else place.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                with suppress(OSError):
                    path.unlink()


def claim(directory: Path) -> None:
    """Makes the directory; raises :class:`RunDirectoryError` where it cannot, or where something is in it
    already.
    """
    refuse_occupied(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write to {directory}: {error.strerror or error}; give another --out"
        ) from error


def refuse_occupied(directory: Path) -> None:
    """Raises :class:`RunDirectoryError` where there is something already."""
    try:
        occupied = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read {directory}: {error.strerror or error}; give another --out"
        ) from error
    if occupied:
        raise RunDirectoryError(f"{directory} exists and is not empty; give another --out, or move it away")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises :class:`RunDirectoryError` with the path and the system's reason where what is inside cannot
    write to it.
    """
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises :class:`RunDirectoryError` with the path and the system's reason where what is inside cannot
    read it.
    """
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror or error}") from error


def make_directory(path: Path) -> None:
    """Makes a directory and those above it, if they are missing; raises :class:`RunDirectoryError` where it
    cannot.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Removes a file, if it is there; raises :class:`RunDirectoryError` where it cannot."""
    with writing(path.parent):
        path.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls ``write`` with a temporary path in the same directory, then renames: readers see all of a file or
    none.

    Raises :class:`RunDirectoryError` in one line where the disk is full or the directory is gone.
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
        with suppress(
            OSError
        ):  # where nothing can be written, nothing can be removed, and the first error says why
            temporary.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """So that a power cut does not take back the renaming."""
    if os.name == "nt":  # a directory cannot be opened there
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(directory: Path, values: dict[str, Any]) -> None:
    """Writes ``comparison.json``."""
    text = json.dumps(values, indent=2, ensure_ascii=False, default=str) + "\n"
    write_atomically(directory / COMPARISON, lambda path: path.write_text(text, encoding="utf-8"))


def write_table(directory: Path, name: str, table: pd.DataFrame) -> None:
    """Writes one Parquet table."""
    write_atomically(directory / name, lambda path: table.to_parquet(path, index=False))


def file_sha256(path: Path) -> str:
    """Of a file's bytes; raises OSError where it is no regular file, or cannot be read."""
    return regular_sha256(path)


def read_json(directory: Path) -> dict[str, Any]:
    """``comparison.json``, checked against its schema; raises :class:`RunDirectoryError` saying what is wrong
    with it.
    """
    path = directory / COMPARISON
    if not path.exists():
        raise RunDirectoryError(f"{directory} is no run directory: it has no {COMPARISON}")
    return read_json_file(path, RUN_SCHEMA)


def read_config(path: Path) -> dict[str, Any]:
    """The comparison of a saved ``comparison.json``, or of a file that holds it alone.

    Raises :class:`RunDirectoryError` saying what is wrong with it.
    """
    values = read_json_file(path)
    schema = CONFIG_SCHEMA if "comparison" in values else COMPARISON_SCHEMA
    wrong = fault(schema, values)
    if wrong:
        raise RunDirectoryError(
            f"{path} is damaged: this is not a comparison: {wrong}; give the comparison.json of a run"
        )
    found: dict[str, Any] = values.get("comparison", values)
    return found


def read_json_file(path: Path, schema: Check = anything) -> dict[str, Any]:
    """A JSON object from a file, as ``schema`` wants it; raises :class:`RunDirectoryError` for anything
    else.
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
    found = fault(schema, values)
    if found:
        raise RunDirectoryError(f"{path} is damaged: {found}; put back what the run wrote")


def _text(path: Path) -> str:
    """A file's text in UTF-8, or in the encoding that its byte order mark names, which editors on Windows
    write.
    """
    content = read_regular(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")
