"""Signals that end a run, and what a closed terminal leaves of its output."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""Sent when the terminal is closed; None on Windows, which has none."""


def ending_signals() -> tuple[int, ...]:
    """The signals that ask a run to stop: SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under
    ``nohup``.
    """
    asks = [signal.SIGINT, signal.SIGTERM]
    if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        asks.append(signal.Signals(HANGUP))
    return tuple(asks)


def discard_output_of_closed_terminal() -> None:
    """Send what is written to a closed terminal to nowhere, since each write to it is an error.

    A closed one is a character device that does not answer as a terminal; what goes to a file, a pipe or a
    terminal that is still there stays as it is.
    """
    for number in (1, 2):
        with suppress(OSError):  # it may not be open at all
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
