"""Tables of text that fit a terminal: titles and names wrap, then columns move below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

GAP = 2
"""Spaces between two columns."""
_PARTS = re.compile(r"(?:\([^()]*\)|[^ @:,/+])*[ @:,/+]*")
"""A name is broken after each of these, so that ``lr=0.1`` and ``betas=(0.9,0.999)`` stay whole."""
_FINER = "=_-."
"""Where a part is longer than a line, it is broken after one of these."""
_WORDS = re.compile(r"[^ ]* *")

Cells = list[list[str]]
"""Rows of cells; the first is the header."""


def fitted(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int, breaks: Sequence[int] = ()
) -> list[tuple[list[str], list[str]]]:
    """Lay a table out in at most some columns of characters.

    Where it is too wide, titles are wrapped at spaces, then the names in the first column; columns that do
    not fit even then come in further blocks below, each with the names again.

    Args:
        header: A title for each column.
        rows: The rows, with as many cells each; those of the first column are names, which stand on the left.
        width: The width of the terminal in characters; at least 20 are used.
        breaks: Columns with which a further block begins, if there has to be one.

    Returns:
        The blocks, each as lines of its header and lines of its rows.
    """
    table, width = [list(header), *map(list, rows)], max(width, 20)
    natural = [max(cell_len(row[i]) for row in table) for i in range(len(header))]
    if _sum(natural) <= width:
        return [_block(table, range(len(header)), natural)]
    narrow = [
        max(_longest_word(table[0][i]), *(cell_len(row[i]) for row in table[1:]), 1)
        for i in range(len(header))
    ]
    names = min(natural[0], max(width // 5, 14))
    rest = width - names - GAP
    least = [names, *(min(each, rest) for each in narrow[1:])]
    parts = _packed(least, width, () if _sum(least) <= width else breaks)
    return [_block(table, columns, _widened(columns, least, natural, width)) for columns in parts]


def _packed(least: Sequence[int], width: int, breaks: Sequence[int]) -> Iterator[list[int]]:
    """Yield the columns of each block, the first column in all of them."""
    columns = [0]
    for i in range(1, len(least)):
        if len(columns) > 1 and (i in breaks or _sum([least[j] for j in (*columns, i)]) > width):
            yield columns
            columns = [0]
        columns.append(i)
    yield columns


def _widened(columns: Sequence[int], least: Sequence[int], natural: Sequence[int], width: int) -> list[int]:
    """Return the widths of a block's columns; spare room goes to the names, then to the titles."""
    widths = [least[i] for i in columns]
    for position, i in enumerate(columns):
        widths[position] += max(min(natural[i] - widths[position], width - _sum(widths)), 0)
    return widths


def _block(table: Cells, columns: Sequence[int], widths: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the lines of a block's header and of its rows."""
    lines = [list(_lines([row[i] for i in columns], widths, title=row is table[0])) for row in table]
    return lines[0], [line for row in lines[1:] for line in row]


def _lines(cells: Sequence[str], widths: Sequence[int], *, title: bool) -> Iterator[str]:
    """Yield the lines of one row; those of titles are aligned at the bottom."""
    wrapped = [
        wrap(cell, width, indent=0 if title or position else 2, words=title)
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    height = max(map(len, wrapped))
    for number in range(height):
        parts = []
        for position, (lines, width) in enumerate(zip(wrapped, widths, strict=True)):
            at = number - (height - len(lines)) if title else number
            text = lines[at] if 0 <= at < len(lines) else ""
            space = " " * (width - cell_len(text))
            parts.append(space + text if position else text + space)
        yield (" " * GAP).join(parts).rstrip()


def wrap(text: str, width: int, indent: int = 0, words: bool = False) -> list[str]:
    """Break a text into lines, at spaces or after punctuation where it can be, anywhere where it must be.

    Args:
        text: The text to break. No character is lost except spaces at the ends of lines.
        width: The width of each line in characters.
        indent: Spaces before all lines but the first.
        words: Break at spaces alone, where that is possible, as in a title.
    """
    lines, line = list[str](), ""
    for part in (_WORDS if words else _PARTS).findall(text):
        if cell_len((line + part).rstrip()) <= width:
            line += part
            continue
        if line.strip():
            lines.append(line.rstrip())
            line = " " * indent
        line += part
        while cell_len(line.rstrip()) > width:
            cut = _cut(line, width)
            lines.append(line[:cut])
            line = " " * indent + line[cut:]
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _cut(line: str, width: int) -> int:
    """Count the characters of a line that fit, up to a finer break in their second half."""
    most = max(i for i in range(1, len(line)) if cell_len(line[:i]) <= width or i == 1)
    finer = max(line.rfind(mark, 0, most) for mark in _FINER) + 1
    return finer if finer > most / 2 else most


def _longest_word(title: str) -> int:
    return max((cell_len(word) for word in title.split()), default=0)


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
