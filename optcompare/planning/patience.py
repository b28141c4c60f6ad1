"""Limit the time between two batches of a strategy, to find endless loops before the run."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import StrategyError

PATIENCE = 60.0
"""Seconds that a strategy may take for a batch; a slower one counts as an endless loop."""


class _Expired(BaseException):
    """Interrupt code that took too long; it is no Exception, which a loop might catch."""


class Limit:
    """Limit the seconds between the values of an iterator that is :meth:`watched`.

    Args:
        seconds: The most seconds that may pass between two values.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._thread, self._turn = threading.get_ident(), threading.Lock()
        self._over = threading.Event()
        self._end = time.monotonic() + seconds

    def watched(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield the values of an iterator; each value starts the time again.

        Args:
            values: The batches that a strategy yields.

        Yields:
            The same values.
        """
        for value in values:
            self._end = time.monotonic() + self.seconds
            yield value

    def over(self) -> None:
        """Stop the limit, so that it interrupts nothing any more."""
        with self._turn:
            self._over.set()

    def wait(self) -> None:
        """Wait until the limit is stopped; if a value takes too long, interrupt the limit's thread."""
        while not self._over.wait(max(self._end - time.monotonic(), 0.0)):
            with self._turn:
                if time.monotonic() >= self._end and not self._over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._thread), ctypes.py_object(_Expired)
                    )
                    return


@contextmanager
def yielding(name: str) -> Iterator[Limit]:
    """Limit the seconds in which a strategy yields a batch to ``PATIENCE``.

    Args:
        name: The name of the strategy, for the error message.

    Yields:
        The limit.

    Raises:
        StrategyError: It yielded nothing for so long.
    """
    limit = Limit(PATIENCE)
    threading.Thread(target=limit.wait, daemon=True).start()
    try:
        try:
            yield limit
        finally:
            limit.over()
    except _Expired:
        raise StrategyError(
            f"strategy {name}, epoch 0: batches() yielded nothing for {limit.seconds:g} s; does it loop "
            "without a yield?"
        ) from None
