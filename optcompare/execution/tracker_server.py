"""Run a tracker in its own process: make the tracker, and call it with incoming events."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..core.signals import ending_signals
from ..errors import USER_CODE_ERRORS, ComparisonError, PluginError, explain
from ..registry.manager import Registry

if TYPE_CHECKING:
    from ..interfaces.tracker import Tracker

REPLY_SECONDS = 0.1
"""The most seconds between two replies."""
EVENTS = ("run_started", "measured", "trial_finished", "run_finished")

Event = tuple[str, tuple[Any, ...]]
"""The name of a tracker's method, and its arguments."""


class TrackerStart(NamedTuple):
    """The first message to a tracker's process."""

    name: str
    address: str
    directory: Path | None
    plugins: tuple[str, ...]


class TrackerReply(NamedTuple):
    """A reply of a tracker's process.

    Attributes:
        handled: The number of events that were handled so far.
        printed: The text that was printed since the last reply.
        failed: Why this is the last reply; empty while the tracker works.
    """

    handled: int
    printed: str = ""
    failed: str = ""


def serve() -> None:
    """Make a tracker in its process, and call it with events until there are no more."""
    for number in ending_signals():
        if number != signal.SIGTERM:  # Ctrl-C and a closed terminal reach the whole group of processes
            signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(0), "rb") as events, os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)  # Output of libraries that bypasses Python must not mix with the replies.

        def answer(reply: TrackerReply) -> None:
            pickle.dump(reply, replies)
            replies.flush()

        _serve(events, answer)


def _serve(events: IO[bytes], answer: Callable[[TrackerReply], None]) -> None:
    start: TrackerStart = pickle.load(events)
    printed = sys.stdout = io.StringIO()
    try:
        tracker = _made(start)
        # Import it now, not at the end of the run, which waits for this process.
        importlib.import_module("optcompare.report.result")
    except ComparisonError as refusal:
        answer(TrackerReply(0, failed=str(refusal)))
        return
    except USER_CODE_ERRORS as error:
        answer(TrackerReply(0, failed=f"tracker {start.name} cannot begin: {explain(error)}"))
        return
    if hasattr(os, "nice"):
        os.nice(14)  # If no core is free, a trainer gets 23 times as much time: it loses at most 4%.
    answer(TrackerReply(0))
    handled, answered = 0, time.monotonic()
    for batch in _batches(events):
        for number, (name, arguments) in enumerate(batch, 1):
            try:
                getattr(tracker, name)(*arguments)
            except USER_CODE_ERRORS as error:
                why = f"tracker {start.name} is left out from now on: {explain(error)}"
                answer(TrackerReply(handled, _taken(printed), why))
                return
            handled += 1
            if number == len(batch) or time.monotonic() - answered > REPLY_SECONDS:
                answer(TrackerReply(handled, _taken(printed)))
                answered = time.monotonic()


def _made(start: TrackerStart) -> Tracker:
    factory = Registry.load(start.plugins, kind="trackers").find("trackers", start.name).factory
    made: Tracker = factory(start.address, start.directory)
    missing = [event for event in EVENTS if not callable(getattr(made, event, None))]
    if missing:
        raise PluginError(
            f"a {type(made).__name__} has no {', '.join(missing)}; derive it from optcompare.Tracker"
        )
    return made


def _batches(events: IO[bytes]) -> Iterator[list[Event]]:
    while True:
        try:
            batch: list[Event] = pickle.load(events)
        except EOFError:
            return
        yield batch


def _taken(printed: io.StringIO) -> str:
    """Return the printed text, and empty the buffer."""
    text = printed.getvalue()
    printed.seek(0)
    printed.truncate()
    return text
