"""Find the file of a tensor that ``torch.from_file`` opened, with rows that are read when they are used.

They may be larger than memory, as long as nothing copies them whole. They stay on the CPU in their own dtype,
and are sent to other processes as the name of their file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import WorkloadError


class FileSlice(NamedTuple):
    """The part of a file that a tensor shows.

    Attributes:
        file: The path of the file.
        bytes: The size of the whole mapping, in bytes.
        dtype: The dtype of all elements.
        offset: The first element, counted in elements.
        shape: The shape of the tensor.
        stride: The strides of the tensor, counted in elements.
    """

    file: str
    bytes: int
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def is_memory_mapped(tensor: torch.Tensor) -> bool:
    """Return whether a tensor shows a file.

    Args:
        tensor: Any tensor.
    """
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and _file(tensor) is not None


def file_slice_of(tensor: torch.Tensor) -> FileSlice | None:
    """Return the part of a file that a tensor shows.

    Args:
        tensor: Any tensor.

    Returns:
        None for a tensor that shows no file.
    """
    if not is_memory_mapped(tensor):
        return None
    file, size = str(Path(str(_file(tensor))).resolve()), tensor.untyped_storage().nbytes()
    return FileSlice(
        file, size, tensor.dtype, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()
    )


def open_file_slice(place: FileSlice) -> torch.Tensor:
    """Open the tensor that shows a part of a file.

    Args:
        place: The part of the file.

    Returns:
        A tensor that shares the file's memory.

    Raises:
        WorkloadError: The file is missing, or is smaller than it was.
    """
    file = Path(place.file)
    size = file.stat().st_size if file.is_file() else -1
    if size < place.bytes:
        fault = "is missing" if size < 0 else f"has {size:,} bytes instead of {place.bytes:,}"
        raise WorkloadError(
            f"the data of this run is in {file}, which {fault}; make the file available under this path to "
            "every process and machine"
        )
    whole = torch.from_file(
        place.file, shared=True, size=place.bytes // place.dtype.itemsize, dtype=place.dtype
    )
    return whole.as_strided(place.shape, place.stride, place.offset)


def _file(tensor: torch.Tensor) -> str | None:
    return tensor.untyped_storage().filename
