"""Read and hash regular files only.

A pipe or a device under the name of a file would be read without end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

MAX_BYTES = 2**28
"""The largest size of a file that is read as a whole, in bytes."""


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading bytes; a link to one counts as one.

    Args:
        path: The path of the file.

    Returns:
        The open file.

    Raises:
        OSError: There is no such file, it cannot be opened, or it is a pipe, device, socket or directory.
    """
    _refuse_irregular(os.stat(path), path)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_irregular(os.fstat(handle), path)  # another file may have replaced it in between
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def read_regular(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: The path of the file.
        most: The largest allowed size, in bytes.

    Returns:
        The bytes of the file.

    Raises:
        OSError: The file is larger, or :func:`open_regular` cannot open it.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def regular_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes.

    Args:
        path: The path of the file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: :func:`open_regular` cannot open the file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_irregular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, and no file", str(path))
