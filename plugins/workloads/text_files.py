"""Read text from a file, or from all files of a folder, as code points or bytes."""

from __future__ import annotations

import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, AnyStr

import numpy as np

from optcompare import WorkloadError

from .table_source import PACKED, Source, is_wide, marked_encoding, unpacked_size, wide_without_mark
from .text_model import Unit, text_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.unsignedinteger]

_OTHER_FILES = {
    b"PK\x03\x04": "a zip archive, or a document of an office program",
    b"%PDF": "a PDF document",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
}
"""Kinds of files that may hold text, which is not read from them, by their first bytes."""
_PORTION = 2**20
_HEAD = 2**12
_BYTES_A_SYMBOL = 16
"""Memory for a symbol: four bytes of text, eight of codes, and what it takes to convert them."""


def files_of(path: Path, endings: Sequence[str]) -> list[Path]:
    """Return a file, or the files of a folder and its folders in the order of their paths.

    Args:
        path: The file, of any name, or the folder.
        endings: How the names of a folder's files end, in small letters or large ones, perhaps with ``.gz``,
            ``.bz2`` or ``.xz`` after it.

    Raises:
        WorkloadError: There are none, or a folder cannot be read.
    """
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        what = "is neither a file nor a folder" if os.path.lexists(path) else "does not exist"
        raise text_error(f"{path} {what}; give a file of text, or a folder of such files")
    wanted = tuple(ending.lower() + packed for ending in endings for packed in ("", ".gz", ".bz2", ".xz"))
    found = sorted(each for each in _below(path) if each.name.lower().endswith(wanted))
    if not endings:
        raise text_error("endings is empty; give endings=(.txt,.rst) or others")
    if not found:
        raise text_error(
            f"no file in {path} ends in {', '.join(endings)} (hidden ones are left out); give "
            "endings=(.txt,.rst) or others"
        )
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its folders, but hidden ones; links to folders are not followed.

    Raises:
        WorkloadError: A folder cannot be read, whose files would be missing.
    """

    def refuse(error: OSError) -> None:
        raise text_error(f"{error.filename} cannot be read ({error.strerror}); allow it, or name other files")

    for below, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]  # os.walk enters the rest.
        paths = (Path(below, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if os.path.isfile(path))


def read_text(files: Sequence[Path], unit: Unit, encoding: str, length: int | None, memory: int) -> Codes:
    """Read texts one after another, with a line break between two files.

    Args:
        files: The files, plain or compressed.
        unit: ``characters`` or ``bytes``.
        encoding: The encoding of characters; the byte order mark of a file overrides it. Line ends are read
            as in Python: all become ``\\n``.
        length: The number of characters or bytes after which reading ends; None: at the end.
        memory: The bytes of memory of the machine.

    Returns:
        Code points, uint32[N], or bytes, uint8[N].

    Raises:
        WorkloadError: A file cannot be read or decoded, the encoding is unknown, or the text is too large.
    """
    try:
        b"".decode(encoding)
        "".encode(encoding)
    except (LookupError, ValueError):
        raise text_error(
            f"encoding={encoding} is not known; give one of Python's, such as utf-8, or unit=bytes"
        ) from None
    parts: list[Codes] = []
    missing = _wanted(files, length, memory)
    for file in files:
        if parts and missing > 0:
            parts.append(np.array([10], parts[0].dtype))
            missing -= 1
        if missing <= 0:
            break
        parts.append(_read(file, unit, encoding, missing))
        missing -= len(parts[-1])
    return np.concatenate(parts)


def _wanted(files: Sequence[Path], length: int | None, memory: int) -> int:
    """Return the number of symbols to read at most, which fit into memory."""
    try:
        size = sum(map(unpacked_size, files)) + len(files)
    except OSError as error:
        raise text_error(f"{error.filename} cannot be read ({error.strerror})") from error
    most = memory // _BYTES_A_SYMBOL
    if (size if length is None else min(size, length)) > most:
        what = f"about {size:,} bytes of text" if length is None else f"length={length:,}"
        raise text_error(f"{what} do not fit into memory; give length={most // 2} or less")
    return 2**62 if length is None else length


def _read(file: Path, unit: Unit, encoding: str, most: int) -> Codes:
    """Read at most so many symbols of a file."""
    unpack: Callable[[Path], IO[bytes]] | None = None
    try:
        with file.open("rb") as raw:
            start = raw.read(8)
        unpack = next((opener for magic, opener in PACKED.items() if start.startswith(magic)), None)
        with unpack(file) if unpack else file.open("rb") as stream:
            if unit == "bytes":
                return np.frombuffer(b"".join(_portions(stream, most)), np.uint8)
            head = stream.read(_HEAD)
            encoding = marked_encoding(head) or encoding
            _refuse_other_files(file, head, encoding)
            stream.seek(0)
            with io.TextIOWrapper(stream, encoding=encoding) as decoded:
                text = "".join(_portions(decoded, most))
    except UnicodeError as error:
        raise text_error(
            f"{file} cannot be decoded: {Source(file, encoding, unpack).undecodable()}, or unit=bytes"
        ) from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise text_error(f"{file} cannot be read ({why}); repair or remove it") from error
    if "\0" in text:
        raise _no_text(file)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def _no_text(file: Path) -> WorkloadError:
    return text_error(f"{file} holds zero bytes, as files do that are no text; remove it, or give unit=bytes")


def _refuse_other_files(file: Path, head: bytes, encoding: str) -> None:
    """Refuse a file whose beginning is not that of a text in this encoding.

    Raises:
        WorkloadError: It is of another kind.
    """
    for magic, what in _OTHER_FILES.items():
        if head.startswith(magic):
            raise text_error(f"{file} is {what}; give its text as a file, or unit=bytes")
    without_mark = wide_without_mark(head, encoding)
    if without_mark:
        raise text_error(f"{file} seems to be UTF-16 without its mark; give encoding={without_mark}")
    if b"\0" in head and not is_wide(encoding):
        raise _no_text(file)


def _portions(stream: IO[AnyStr], most: int) -> Iterator[AnyStr]:
    """Yield at most so many symbols, in portions: a stream reserves memory for all that it is to read."""
    while most > 0 and (portion := stream.read(min(most, _PORTION))):
        yield portion
        most -= len(portion)
