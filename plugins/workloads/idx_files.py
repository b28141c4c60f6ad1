"""Read images and labels from IDX files, the form of MNIST, and from the archive that Keras makes of it."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .data_folders import Form, Pixels

if TYPE_CHECKING:
    from .data_folders import Bytes

_BYTE = 8  # the code of unsigned bytes in the third byte of an IDX file
_CHUNK_BYTES = 2**20
_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_ARCHIVE = "mnist.npz"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def idx_form(folder: str) -> Form:
    """Return the form of four IDX files, packed by gzip or not.

    Args:
        folder: Their folder, below one that holds data sets.
    """
    return Form(folder, tuple(_names(_PARTS[0])), _read_folder)


def keras_form() -> Form:
    """Return the form of MNIST in Keras: arrays in ``mnist.npz``."""
    return Form(".", (_ARCHIVE,), _read_archive)


def read_idx(file: Path, dimensions: int) -> Bytes:
    """Read an IDX file of bytes, packed by gzip or not.

    The first four bytes are 0, 0, the type of the elements, and the number of dimensions; then each size
    follows as a big-endian number of four bytes, and then the elements (Y. LeCun, THE MNIST DATABASE).

    Args:
        file: The file.
        dimensions: The number of dimensions that it must have.

    Returns:
        uint8 of the shape in the file.

    Raises:
        ValueError: The file cannot be read, has another form, or is too short or too long.
    """
    import numpy as np

    with one_line_errors(file), file.open("rb") as raw, _unpacked(raw) as stream:
        head = stream.read(4 + 4 * dimensions)
        if head[:4] != bytes((0, 0, _BYTE, dimensions))[: len(head)] or not head:
            begin = f"begins with the bytes {head[:4].hex(' ')}" if head else "is empty"
            raise ValueError(
                f"{file} {begin}, and an IDX file of bytes in {dimensions} dimensions begins with 00 00 "
                f"{_BYTE:02x} {dimensions:02x}"
            )
        if len(head) < 4 + 4 * dimensions:
            raise ValueError(f"{file} is cut within its header")
        shape = struct.unpack(f">{dimensions}I", head[4:])
        content = _read_up_to(stream, math.prod(shape) + 1)
    if len(content) != math.prod(shape):
        there = "more" if len(content) > math.prod(shape) else f"only {len(content):,}"
        raise ValueError(
            f"{file} should hold {math.prod(shape):,} bytes after its header, by its sizes "
            f"{' × '.join(map(str, shape))}, and holds {there}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


@contextmanager
def one_line_errors(file: Path) -> Iterator[None]:
    """Raise errors of reading or unpacking a file as ValueError, with the name of the file.

    Args:
        file: The file.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror or error})") from error
    except (EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} cannot be unpacked to its end ({error})") from error


def _read_folder(folder: Path) -> Pixels:
    files = []
    for part in _PARTS:
        found = [folder / name for name in _names(part) if os.path.isfile(folder / name)]
        if not found:
            raise ValueError(f"{folder} has no {part}-ubyte nor {part}-ubyte.gz")
        files.append(found[0])
    parts = [read_idx(file, 3 if "idx3" in file.name else 1) for file in files]
    return Pixels(parts[0][:, None], parts[1], parts[2][:, None], parts[3])


def _read_archive(folder: Path) -> Pixels:
    """Read the arrays of ``mnist.npz``; those of Python objects, which are pickled, are refused."""
    import numpy as np

    file = folder / _ARCHIVE
    with one_line_errors(file):
        try:
            with zipfile.ZipFile(file), np.load(file, allow_pickle=False) as archive:
                parts = [archive[name] for name in _ARRAYS]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{file} holds no arrays {', '.join(_ARRAYS)} of numbers ({error})") from error
    if [part.ndim for part in parts] != [3, 1, 3, 1] or any(part.dtype != np.uint8 for part in parts):
        kinds = ", ".join(f"{part.dtype}{list(part.shape)}" for part in parts)
        raise ValueError(f"{file} should hold images uint8[N, S, S] and labels uint8[N], and holds {kinds}")
    return Pixels(parts[0][:, None], parts[1], parts[2][:, None], parts[3])


def _names(part: str) -> list[str]:
    return [f"{part}-ubyte", f"{part}-ubyte.gz"]


@contextmanager
def _unpacked(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    if packed:
        with gzip.GzipFile(fileobj=raw) as stream:
            yield stream  # type: ignore[misc]
    else:
        yield raw


def _read_up_to(stream: IO[bytes], count: int) -> bytearray:
    """Read at most ``count`` bytes in portions, since a damaged header may ask for more than the memory."""
    content = bytearray()
    while len(content) < count and (part := stream.read(min(_CHUNK_BYTES, count - len(content)))):
        content += part
    return content
