"""Display of progress: a bar on a terminal and in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.formatting import FINISHING, duration, time_left

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..core.comparison import Trial

_LINE_EVERY_SECONDS = 5.0
_SHOWN_EVERY_SECONDS = 0.25
_LONG_END_SECONDS = 3.0
"""The seconds after the last trial before a plain line says that statistics and figures are under way."""
_LONG_PREPARATION_SECONDS = 5.0
"""The seconds before a line says what happens before the first trial."""


@contextmanager
def preparation() -> Iterator[None]:
    """Say what happens before training, on standard error, if the context takes long."""
    words = "preparing: reading the data, measuring it once, a few updates with each arm…"
    timer = threading.Timer(_LONG_PREPARATION_SECONDS, _print, [words])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def progress() -> Iterator[Lines]:
    """Show progress during the context: in a notebook below the cell, else on standard error.

    Yields:
        The observer that shows it.
    """
    if in_notebook():
        with NotebookBar() as below:
            yield below
    elif sys.stderr.isatty():
        with Bar() as bar:
            yield bar
    else:
        with Lines() as lines:
            yield lines


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class Lines:
    """Show progress as plain lines, one every few seconds.

    Once all trials have ended, a last line says so if what follows takes long.

    Args:
        patience: The seconds until this last line; None: those of a long end.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._last = time.monotonic()
        self._patience = _LONG_END_SECONDS if patience is None else patience
        self._end: threading.Timer | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end.join()

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        pass

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        if outcome["status"] == "failed":
            print(f"failed: {trial.name}: {outcome['reason']}", file=sys.stderr, flush=True)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        if done >= of and self._end is None:
            self._end = threading.Timer(self._patience, _print, [f"{done} of {of} trials, {FINISHING}"])
            self._end.daemon = True
            self._end.start()
        now = time.monotonic()
        if done < of and now - self._last >= _LINE_EVERY_SECONDS:
            self._last = now
            _print(f"{done} of {of} trials, {fraction:.0%}, {time_left(seconds_left)}")


class Bar(Lines):
    """Show progress as a bar on a terminal, and a spinner once all trials have ended."""

    def __enter__(self) -> Bar:
        from rich.console import Console

        self._bar = _bar(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("training", total=1.0, left="")
        self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        over = done >= of
        self._bar.update(
            self._task,
            completed=min(fraction, 0.999),  # At 1 the spinner would stop.
            description=f"{of} of {of} trials" if over else f"trial {done + 1} of {of}",
            left=FINISHING if over else time_left(seconds_left),
        )


class NotebookBar(Bar):
    """Show progress as a bar below a cell, replaced by a line at the end."""

    def __enter__(self) -> NotebookBar:
        from IPython.display import display

        self._began, self._shown, self._of = time.monotonic(), 0.0, 0
        self._bar = _bar(spinner=False, auto_refresh=False)
        self._task = self._bar.add_task("training", total=1.0, left="")
        self._output = display(self._bar, display_id=True)
        return self

    def __exit__(self, *raised: object) -> None:
        took = duration(time.monotonic() - self._began)
        line = f"{self._done} of {self._of} trials in {took}" if self._of else "nothing was trained"
        self._output.update({"text/plain": line}, raw=True)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        super().advanced(done, of, fraction, seconds_left)
        self._done, self._of = done, of
        if done >= of or time.monotonic() - self._shown > _SHOWN_EVERY_SECONDS:
            self._output.update(self._bar)
            self._shown = time.monotonic()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _bar(spinner: bool = True, **settings: Any) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    return Progress(
        *([SpinnerColumn()] if spinner else []),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[left]}"),
        **settings,
    )
