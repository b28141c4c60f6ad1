"""Keep a table as tensors in files, which are written once, so that it may be larger than memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .table_columns import TableLog
from .table_rows import Allocate, Facts

_FORMAT = 2
_FACTS = "table.json"
Make = Callable[[Path, Allocate], tuple[Facts, dict[str, Tensor]]]


def cached_tensors(
    file: Path, store: Path, settings: tuple[object, ...], make: Make, log: TableLog
) -> tuple[Facts, dict[str, Tensor]]:
    """Return the tensors of a table from files under ``store``, which are written if they do not exist.

    Files are identified by the path, size and time of change of the table and by the settings. They appear
    all at once or not at all. If two processes write them, the second one uses the files of the first.

    Args:
        file: The table.
        store: The directory of all copies.
        settings: What the tensors depend on, apart from the table.
        make: ``make(folder, allocate)`` makes the tensors; ``folder`` is for temporary files.
        log: The log for notes about the table.
    """
    state = file.stat()
    key = [_FORMAT, str(file.resolve()), state.st_size, state.st_mtime_ns, *map(str, settings)]
    folder = store / f"{file.stem}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}"
    exists = folder.is_dir()
    if not exists:
        _write_copy(folder, make, log)
    facts, tensors = _read_copy(folder, log)
    size = sum(tensor.nbytes for tensor in tensors.values())
    when = "made before" if exists else "made now, for this run and later ones"
    log.notes[:] = [
        *facts.notes,
        f"{log.kind}: read from a copy on disk, {folder} ({_bytes(size)}), {when}",
    ]
    return facts, tensors


def _write_copy(folder: Path, make: Make, log: TableLog) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise log.error(
            f"no copy of the table can be kept in {folder.parent}: {error}; give store=PATH"
        ) from error
    try:
        done = work / "done"
        done.mkdir()
        facts, tensors = make(work, lambda name, shape, dtype: _allocate_file(done / name, shape, dtype, log))
        for name in tensors:
            _flush(done / name)
        (done / _FACTS).write_text(json.dumps(dataclasses.asdict(facts)), encoding="utf-8")
        try:
            done.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _read_copy(folder: Path, log: TableLog) -> tuple[Facts, dict[str, Tensor]]:
    try:
        held: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8-sig"))
        held |= {name: tuple(value) for name, value in held.items() if isinstance(value, list)}
        facts = Facts(**held)
        tensors = {name: _map_file(folder / name, *form) for name, form in facts.parts().items()}
    except (OSError, ValueError, TypeError) as error:
        raise log.error(
            f"the copy of the table in {folder} is damaged ({error}); delete that directory"
        ) from error
    return facts, tensors


def _allocate_file(path: Path, shape: tuple[int, ...], dtype: torch.dtype, log: TableLog) -> Tensor:
    """Map a file of zeros whose space on the disk is reserved, so that writing to it cannot fail."""
    size = torch.Size(shape).numel() * dtype.itemsize
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        free = _bytes(shutil.disk_usage(path.parent).free)
        raise log.error(
            f"a copy of the table takes {_bytes(size)} in {path.parents[2]}, where {free} are free "
            f"({error.strerror}); give store=PATH"
        ) from error
    return _map_file(path, shape, dtype)


def _map_file(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = torch.Size(shape).numel()
    if path.stat().st_size != count * dtype.itemsize:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} bytes instead of {count * dtype.itemsize:,}"
        )
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).reshape(shape)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _bytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
