"""Ctrl-C, SIGTERM and SIGHUP while trials are trained: the first asks to stop after the update under way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.signals import HANGUP, discard_output_of_closed_terminal, ending_signals

PATIENCE = 5.0
"""Seconds that an update, or whatever else is under way, may take after the first signal: then it is stopped
within.
"""


class Stop:
    """Whether the user asked to stop; once ``saving``, nothing stops it any more.

    ``at_once``: whether what was under way was, or is to be, stopped within.
    """

    def __init__(self) -> None:
        self.asked = self.saving = self.at_once = False
        self._impatient: threading.Timer | None = None

    def __call__(self, number: int, *frame: Any) -> None:
        if number == HANGUP:
            discard_output_of_closed_terminal()
        if self.saving:
            return
        if self.asked:
            self.at_once = True
            raise KeyboardInterrupt
        self.asked = True
        self._impatient = threading.Timer(PATIENCE, _send, [number])
        self._impatient.daemon = True
        self._impatient.start()

    def over(self) -> None:
        """Nothing is under way any more."""
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient.join()


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """The first Ctrl-C, SIGTERM or SIGHUP asks to stop after the update under way.

    The second, or an update that takes longer than ``PATIENCE``, stops within it. Then all is saved. A SIGHUP
    that is ignored, as under ``nohup``, stays ignored.
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
    """To the main thread, which may be waiting for something."""
    if os.name == "nt":
        signal.raise_signal(number)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, number)
