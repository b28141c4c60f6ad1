"""Open CSV files: recognise other kinds of files, compression, and the encoding of the text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

_HEAD = 2**18
_UNPACKED = 5  # compressed text takes about a fifth of its size
_SAVE = "open it there and save it as CSV"
_OTHER_FILES = {
    b"PAR1": "is a Parquet file; write parquet:PATH instead of csv:PATH",
    b"\xd0\xcf\x11\xe0": f"is a workbook of an old Excel (.xls); {_SAVE}",
    b"%PDF": "is a PDF document; export the table as CSV",
    b"\x89HDF": "is an HDF5 file; read it with pandas.read_hdf and save it with to_csv",
    b"SQLite format 3": "is an SQLite database; export a table of it as CSV",
    b"ARROW1": "is a Feather file; read it with pandas.read_feather and save it with to_csv",
    b"{\\rtf": "is a text document (RTF); save it as plain text",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it, or compress it with gzip",
    b"7z\xbc\xaf": "is a 7-Zip archive; unpack it",
    b"Rar!": "is a RAR archive; unpack it",
}
PACKED: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": cast("Callable[[Path], IO[bytes]]", gzip.GzipFile),
    b"BZh": cast("Callable[[Path], IO[bytes]]", bz2.BZ2File),
    b"\xfd7zXZ": cast("Callable[[Path], IO[bytes]]", lzma.LZMAFile),
}
"""Functions that open compressed files, by the first bytes of such files."""
_MARKS = {  # longer marks first, since the mark of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ENCODINGS = {
    "cp1252": "Windows, Western Europe",
    "mac_roman": "old Macs",
    "cp1250": "Windows, Central Europe",
    "cp1251": "Windows, Cyrillic",
    "cp1253": "Windows, Greek",
    "shift_jis": "Japanese",
    "gb18030": "Chinese",
    "euc_kr": "Korean",
}


@dataclass(frozen=True)
class Source:
    """Hold a text file, plain or compressed, and its encoding."""

    file: Path
    encoding: str
    unpack: Callable[[Path], IO[bytes]] | None

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Yield the input for pandas: the path of a plain file, else a stream of the unpacked bytes."""
        if self.unpack is None:
            yield self.file
            return
        with self.unpack(self.file) as stream:
            yield stream

    def head(self) -> tuple[str, bool]:
        """Return the beginning of the text, and whether that is the whole text.

        Raises:
            ValueError: The text has another encoding.
        """
        with (self.unpack or _plain)(self.file) as stream:
            start = stream.read(_HEAD)
            whole = len(start) < _HEAD
        try:
            return codecs.getincrementaldecoder(self.encoding)().decode(start, final=whole), whole
        except UnicodeDecodeError as error:
            raise ValueError(self.undecodable()) from error

    def undecodable(self) -> str:
        """Describe the first byte that is not in the encoding, and suggest other encodings."""
        if not _is_ascii_like(self.encoding):
            return f"its bytes are not in the encoding {self.encoding}; give another encoding=NAME"
        with (self.unpack or _plain)(self.file) as stream:
            for number, line in enumerate(stream, 1):
                try:
                    line.decode(self.encoding)
                except UnicodeDecodeError as error:
                    return _advice(line, error.start, number, self.encoding)
        return f"it is not in the encoding {self.encoding}; give another encoding=NAME"


def source_of(file: Path, encoding: str) -> Source:
    """Find how to read a file; a byte order mark overrides the encoding.

    Args:
        file: The file.
        encoding: The encoding that the user named.

    Raises:
        ValueError: The file is no text, or the encoding is unknown.
    """
    try:
        "a".encode(encoding)
    except LookupError:
        raise ValueError(
            f"encoding={encoding} is not known; give one of Python's, such as utf-8, {', '.join(_ENCODINGS)}"
        ) from None
    with file.open("rb") as stream:
        start = stream.read(16)
    for magic, what in _OTHER_FILES.items():
        if start.startswith(magic):
            raise ValueError(f"it {what}")
    unpack = next((opener for magic, opener in PACKED.items() if start.startswith(magic)), None)
    if start.startswith(b"PK\x03\x04"):
        unpack = _member(file)
    try:
        with (unpack or _plain)(file) as stream:
            start = stream.read(4096)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"it cannot be unpacked ({error})") from error
    encoding = marked_encoding(start) or encoding
    _refuse_other_text(start, encoding)
    return Source(file, encoding, unpack)


def marked_encoding(start: bytes) -> str | None:
    """Return the encoding of a text that begins with a byte order mark; None: it does not."""
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)


def is_wide(encoding: str) -> bool:
    """Return whether a character takes two bytes or four, so that texts hold zero bytes."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def wide_without_mark(start: bytes, encoding: str) -> str | None:
    """Return the encoding of a text that seems to be UTF-16, where another was named; None: it does not."""
    if is_wide(encoding):
        return None
    pairs = len(start) // 2 or 1
    little, big = start[1::2].count(0) > 0.4 * pairs, start[::2].count(0) > 0.4 * pairs
    return None if little == big else f"utf-16-{'le' if little else 'be'}"


def unpacked_size(file: Path) -> int:
    """Estimate the bytes of a file's text."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(4)
    packed = start.startswith((b"PK\x03\x04", *PACKED))
    return _UNPACKED * size if packed else size


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _member(file: Path) -> Callable[[Path], IO[bytes]]:
    """Return a function that opens the only file in a zip archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"it is a damaged zip archive ({error})") from error
    if "[Content_Types].xml" in names:
        raise ValueError(f"it is a workbook of Excel (.xlsx), or another document of Office; {_SAVE}")
    if "mimetype" in names:
        raise ValueError(f"it is a document of LibreOffice (.ods); {_SAVE}")
    hidden = ("__MACOSX", ".")
    files = [name for name in names if not name.endswith("/") and not name.split("/")[-1].startswith(".")]
    files = [name for name in files if not name.startswith(hidden)]
    if len(files) != 1:
        held = f"{len(files)} files ({', '.join(files[:4])})" if files else "no file"
        raise ValueError(f"it is a zip archive of {held}; unpack it and give the path of one CSV file")

    def opened(path: Path) -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:
            return archive.open(files[0])

    return opened


def _refuse_other_text(start: bytes, encoding: str) -> None:
    """Refuse bytes that are no table in this encoding."""
    without_mark = wide_without_mark(start, encoding)
    if without_mark:
        raise ValueError(f"it seems to be UTF-16 without its mark; give encoding={without_mark}")
    if b"\0" in start and not is_wide(encoding):
        raise ValueError("it holds zero bytes, as binary files do; save the table as CSV")
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError(
            "it is a web page or XML (was an error page saved in its place?); download or export the CSV"
        )
    if text.startswith((b'{"', b"[{", b"[[")):
        raise ValueError("it is JSON; read it with pandas.read_json and save it with to_csv")


def _is_ascii_like(encoding: str) -> bool:
    """Return whether a line end is a single byte, which it is not in UTF-16."""
    return "\n".encode(encoding) == b"\n" or encoding == "utf-8-sig"


def _advice(line: bytes, place: int, number: int, encoding: str) -> str:
    begin = max(line.rfind(mark, 0, place) for mark in b",;\t|\" '") + 1
    end = min((at for mark in b",;\t|\"' \r\n" if (at := line.find(mark, place)) >= 0), default=len(line))
    word = line[begin:end]
    fitting = []
    for name, where in _ENCODINGS.items():
        try:
            line.decode(name)
            read = word.decode(name)
        except UnicodeDecodeError:
            continue
        if name != encoding and all(character.isascii() or character.isalpha() for character in read):
            fitting.append(f"{name} ({where}: '{read}')")
    wanted = ", ".join(fitting[:4]) or "NAME (as the program that wrote it uses)"
    named = "UTF-8" if encoding in ("utf-8", "utf-8-sig") else encoding
    return f"it is not in {named}: byte 0x{line[place]:02x} in line {number}; give encoding={wanted}"
