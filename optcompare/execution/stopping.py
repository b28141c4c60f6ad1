"""Ctrl-C, SIGTERM and SIGHUP during training: the first one requests a stop after the present update."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.signals import HANGUP, discard_output_of_closed_terminal, ending_signals

PATIENCE = 5.0
"""The seconds that an update, or other work, may take after the first signal before it is interrupted."""


class Stop:
    """Handle the signals by which the user stops a run.

    Attributes:
        requested: Whether the user wants to stop.
        saving: Whether the results are being saved; then signals are ignored.
        at_once: Whether the present work was interrupted.
    """

    def __init__(self) -> None:
        self.requested = self.saving = self.at_once = False
        self._impatient: threading.Timer | None = None

    def __call__(self, number: int, *frame: Any) -> None:
        if number == HANGUP:
            discard_output_of_closed_terminal()
        if self.saving:
            return
        if self.requested:
            self.at_once = True
            raise KeyboardInterrupt
        self.requested = True
        self._impatient = threading.Timer(PATIENCE, _send, [number])
        self._impatient.daemon = True
        self._impatient.start()

    def over(self) -> None:
        """Cancel the timer that interrupts the present work, since all work has ended."""
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient.join()


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Handle Ctrl-C, SIGTERM and SIGHUP within the context.

    The first signal requests a stop after the present update. A second one, or an update that takes longer
    than ``PATIENCE``, interrupts the update by a KeyboardInterrupt. Then all results are saved. A SIGHUP that
    is ignored, as under ``nohup``, stays ignored.

    Yields:
        The state of the request.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in ending_signals()}
    try:
        yield stop
    finally:
        stop.saving = True
        stop.over()
        for number, handler in before.items():
            signal.signal(number, handler)


def _send(number: int) -> None:
    """Send a signal to the main thread, which may be waiting."""
    if os.name == "nt":
        signal.raise_signal(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)
