"""Read images and labels from IDX files, the form of MNIST, and from the archive that Keras makes of it."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .data_folders import Form, Pixels, file_in

if TYPE_CHECKING:
    from .data_folders import Bytes

_BYTE = 8  # the code of unsigned bytes in the third byte of an IDX file
_CHUNK_BYTES = 2**20
_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DIMENSIONS = (3, 1, 3, 1)
_ARCHIVE = "mnist.npz"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def idx_form(folder: str) -> Form:
    """Return the form of four IDX files, packed by gzip or not; ``train-images.idx3-ubyte`` is read, too.

    Args:
        folder: Their folder, below one that holds data sets.
    """
    return Form(folder, tuple(map(_spellings, _NAMES)), _read_folder)


def keras_form() -> Form:
    """Return the form of MNIST in Keras: arrays in ``mnist.npz``."""
    return Form(".", ((_ARCHIVE,),), _read_archive)


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
        if not all(shape):
            raise ValueError(f"{file} holds nothing: its sizes are {' × '.join(map(str, shape))}")
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
    for name in _NAMES:
        file = file_in(folder, *_spellings(name))
        if file is None:
            raise ValueError(f"{folder} has no {name} nor {name}.gz")
        files.append(file)
    parts = [read_idx(file, dimensions) for file, dimensions in zip(files, _DIMENSIONS, strict=True)]
    return Pixels(parts[0][:, None], parts[1], parts[2][:, None], parts[3])


def _read_archive(folder: Path) -> Pixels:
    """Read the arrays of ``mnist.npz``; those of Python objects, which are pickled, are refused."""
    import numpy as np

    file = file_in(folder, _ARCHIVE) or folder / _ARCHIVE
    with one_line_errors(file):
        try:
            with zipfile.ZipFile(file), np.load(file, allow_pickle=False) as archive:
                parts = [archive[name] for name in _ARRAYS]
        except (KeyError, ValueError, MemoryError) as error:
            raise ValueError(f"{file} holds no arrays {', '.join(_ARRAYS)} of numbers ({error})") from error
    parts = [np.asarray(part) for part in parts]  # a member that is no array comes as bytes
    if [part.ndim for part in parts] != list(_DIMENSIONS) or any(part.dtype != np.uint8 for part in parts):
        kinds = ", ".join(f"{part.dtype}{list(part.shape)}" for part in parts)
        raise ValueError(f"{file} should hold images uint8[N, S, S] and labels uint8[N], and holds {kinds}")
    return Pixels(parts[0][:, None], parts[1], parts[2][:, None], parts[3])


def _spellings(name: str) -> tuple[str, ...]:
    """Return the names of an IDX file, with a dash or, as in other copies, a dot; packed or not."""
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"


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
