"""Tensors that lie in a file, opened by ``torch.from_file``: rows are read when they are asked for.

They may be larger than memory, as long as nobody copies them whole. So they stay on the CPU in their own
dtype, and go to other processes as the name of their file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import WorkloadError


class FileSlice(NamedTuple):
    """Where in a file a tensor lies; ``offset`` and ``stride`` are in elements, as torch has them."""

    file: str
    bytes: int
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def is_memory_mapped(tensor: torch.Tensor) -> bool:
    """Whether the tensor lies in a file."""
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and _file(tensor) is not None


def file_slice_of(tensor: torch.Tensor) -> FileSlice | None:
    """Where the tensor lies, if that is a file."""
    if not is_memory_mapped(tensor):
        return None
    file, size = str(Path(str(_file(tensor))).resolve()), tensor.untyped_storage().nbytes()
    return FileSlice(
        file, size, tensor.dtype, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()
    )


def open_file_slice(place: FileSlice) -> torch.Tensor:
    """The tensor of a place; raises :class:`WorkloadError` where its file is not there, or is another."""
    file = Path(place.file)
    size = file.stat().st_size if file.is_file() else -1
    if size < place.bytes:
        what = "is not there" if size < 0 else f"has {size:,} bytes instead of {place.bytes:,}"
        raise WorkloadError(
            f"the data of this run lie in {file}, which {what}; every process and machine must see it"
        )
    whole = torch.from_file(
        place.file, shared=True, size=place.bytes // place.dtype.itemsize, dtype=place.dtype
    )
    return whole.as_strided(place.shape, place.stride, place.offset)


def _file(tensor: torch.Tensor) -> str | None:
    return tensor.untyped_storage().filename
