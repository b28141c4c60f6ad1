"""Signals that end a run, and the output streams that a closed terminal leaves."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal that is sent when a terminal is closed; None on Windows, which lacks it."""


def ending_signals() -> tuple[int, ...]:
    """Return the signals that end a run.

    Returns:
        SIGINT, SIGTERM, and SIGHUP unless it is ignored, as under ``nohup``.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        signals.append(signal.Signals(HANGUP))
    return tuple(signals)


def discard_output_of_closed_terminal() -> None:
    """Redirect standard output and error to nowhere where their terminal was closed.

    Each write to a closed terminal is an error. A closed one is a character device that is no terminal any
    more; files, pipes and open terminals stay as they are.
    """
    for number in (1, 2):
        with suppress(OSError):  # the stream may be closed
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
