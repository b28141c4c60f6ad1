"""A limit on the time that a strategy may take to yield, so that one that never does is found before the
run.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import StrategyError

PATIENCE = 60.0
"""Seconds that a strategy may take for a batch before it is taken to loop without end."""


class _Expired(BaseException):
    """Raised within code that took too long; no Exception, which a loop might catch."""


class Limit:
    """Lets no more than so many seconds pass between the values of an iterator that is :meth:`watched`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._thread, self._turn = threading.get_ident(), threading.Lock()
        self._over = threading.Event()
        self._end = time.monotonic() + seconds

    def watched(self, values: Iterable[Any]) -> Iterator[Any]:
        """The same values; the time begins again with each."""
        for value in values:
            self._end = time.monotonic() + self.seconds
            yield value

    def over(self) -> None:
        """Nothing is limited any more."""
        with self._turn:
            self._over.set()

    def wait(self) -> None:
        """Until it is over; where that takes too long, the thread that made it is interrupted."""
        while not self._over.wait(max(self._end - time.monotonic(), 0.0)):
            with self._turn:
                if time.monotonic() >= self._end and not self._over.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._thread), ctypes.py_object(_Expired)
                    )
                    return


@contextmanager
def yielding(name: str) -> Iterator[Limit]:
    """Raises :class:`StrategyError` where the strategy that is asked for batches inside yields nothing for
    ``PATIENCE`` seconds.
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
