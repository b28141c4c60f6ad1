"""Print lines and tables that fit the width of a terminal, or to a file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..errors import printable
from ..execution.progress import Lines, preparation, progress
from .fitted_tables import fitted


class Printer:
    """Print lines and tables.

    Args:
        quiet: Whether :meth:`progress` shows nothing; subclasses print less then.
        to_stderr: Print to standard error, where standard output is a program's.
    """

    def __init__(self, quiet: bool, to_stderr: bool = False) -> None:
        self.quiet, self.to_stderr = quiet, to_stderr
        self._out = Console(highlight=False, soft_wrap=True, stderr=to_stderr)

    @contextmanager
    def progress(self) -> Iterator[Lines | None]:
        """Show progress on standard error: a bar on a terminal, lines elsewhere, nothing when quiet.

        Yields:
            The observer that shows it; None when quiet.
        """
        if self.quiet:
            yield None
        else:
            with progress() as shown:
                yield shown

    def preparation(self) -> AbstractContextManager[None]:
        """Say on standard error what happens before training, if it takes long; nothing when quiet."""
        return nullcontext() if self.quiet else preparation()

    def line(self, text: str = "") -> None:
        """Print a text; on a terminal, long lines are broken between words.

        Args:
            text: One line, or several.
        """
        lines = map(printable, text.split("\n"))
        self._out.print(Text("\n".join(map(self._broken, lines) if self._out.is_terminal else lines)))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], breaks: Sequence[int] = ()) -> None:
        """Print a table that is not wider than the terminal, or than 80 columns elsewhere (or ``COLUMNS``).

        Args:
            header: A title for each column.
            rows: The rows, with as many cells each.
            breaks: Columns with which a further block begins, if there has to be one.
        """
        cells = [[printable(cell) for cell in row] for row in (header, *rows)]
        for number, (titles, lines) in enumerate(fitted(cells[0], cells[1:], self._out.width, breaks)):
            if number:
                self._out.print()
            self._out.print(Text("\n".join(titles), style="bold" if self._out.is_terminal else ""))
            for line in lines:
                self._out.print(Text(line))

    def entries(self, lines: Sequence[str]) -> None:
        """Print lines; a long one continues below its beginning, indented.

        Args:
            lines: The lines of the verdict.
        """
        for line in lines:
            self.line(wrapped(line, self._out.width) if self._out.is_terminal else line)

    def _broken(self, line: str) -> str:
        """Break a line between words that a terminal would break within one; a long path stays whole."""
        parts = textwrap.wrap(line, self._out.width, break_long_words=False, break_on_hyphens=False)
        return "\n".join(parts) if cell_len(line) > self._out.width else line


def wrapped(line: str, width: int) -> str:
    """Break a line of the verdict; a ranked entry continues below the name of its arm.

    Args:
        line: A line without line breaks.
        width: Columns of the terminal.

    Returns:
        Lines of at most ``width`` columns, but for words that are longer.
    """
    hanging = " " * 3 if line[:1].isdigit() else ""
    return textwrap.fill(
        line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
