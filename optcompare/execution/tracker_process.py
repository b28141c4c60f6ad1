"""Trackers, each in its own process, so that none can slow or stop a run.

Threads are not enough: a thread that computes takes the interpreter from the trainer, and the measured times
of updates become too long.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..registry.manager import Registry
from .tracker_server import Event, TrackerReply, TrackerStart

if TYPE_CHECKING:
    from ..core.comparison import Comparison, Trial
    from ..report.result import Result

ROOM = 10_000
"""The most events that wait for a tracker."""
AT_ONCE = 200
OPENING, CLOSING = 120.0, 60.0
"""Seconds that a run waits for a tracker: before it begins, and after it has ended."""


@contextmanager
def tracking(registry: Registry, names: Sequence[str], directory: Path | None) -> Iterator[list[Tracked]]:
    """Start trackers, and close them at the end of the context.

    Failures after the start are added to ``registry.warnings`` at the end.

    Args:
        registry: The registry of plugins.
        names: The trackers as ``name[:address]``.
        directory: The run directory; None: nothing is saved.

    Yields:
        The processes of the trackers.

    Raises:
        OptcompareError: A tracker cannot be made.
    """
    for name in names:
        registry.find("trackers", name.partition(":")[0])
    if len(set(names)) < len(names):
        raise ComparisonError(f"a tracker is named twice in {', '.join(names)}; leave one out")
    trackers: list[Tracked] = []
    try:
        for name in names:
            trackers.append(Tracked(name, registry.named, directory))
        for tracker in trackers:
            tracker.wait_until_ready()
        yield trackers
        end = time.monotonic() + CLOSING
        for tracker in trackers:
            tracker.close(end)
    finally:
        for tracker in trackers:
            tracker.kill()
            registry.warnings += tracker.warnings


class Tracked:
    """Send events to the process of a tracker; they wait in a queue, and are dropped if too many wait."""

    def __init__(self, text: str, plugins: tuple[str, ...], directory: Path | None) -> None:
        self.name, _, address = text.partition(":")
        self.warnings: list[str] = []
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._posted = self._handled = 0
        self._failed = ""
        self._ready = threading.Event()
        begin = (
            "import sys; sys.path[:] = sys.argv[1:]; from optcompare.execution.tracker_server import "
            "serve; serve()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", begin, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=None
            if os.name == "nt"
            else 0,  # Ctrl-C must reach the run alone; in another session nice() would not yield to it.
        )
        start = TrackerStart(self.name, address, None if directory is None else directory.absolute(), plugins)
        self._sender = threading.Thread(target=self._send, args=(start,), daemon=True)
        self._listener = threading.Thread(target=self._listen, args=(sys.stdout,), daemon=True)
        self._sender.start()
        self._listener.start()

    def wait_until_ready(self) -> None:
        """Wait until the tracker is made.

        Raises:
            ComparisonError: It cannot be made, or takes too long.
        """
        if not self._ready.wait(OPENING):
            raise ComparisonError(f"tracker {self.name} was not ready after {OPENING:g} s; leave it out")
        if self._failed:
            raise ComparisonError(self._failed)

    def run_started(self, comparison: Comparison) -> None:
        self._post("run_started", comparison)

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        self._post("measured", trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._post("trial_finished", trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        pass

    def run_finished(self, result: Result) -> None:
        self._post("run_finished", dataclasses.replace(result, workload=None, weights={}, panels=None))

    def close(self, end: float) -> None:
        """Wait until the tracker has handled all events, at most until ``end``, and warn about the rest."""
        self._queue.put(None)
        with suppress(OSError, AttributeError):  # Restore its priority, where the system allows it.
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 0)
        self._listener.join(max(end - time.monotonic(), 0.01))
        late = self._listener.is_alive()
        self.kill()
        if self._failed:
            self.warnings.append(self._failed)
        elif self._handled < self._posted:
            code = self._process.returncode
            ended = (
                f"its process ended with exit code {code}"
                if code
                else f"it took in no more than {ROOM:,} at once"
            )
            missed = f"{self._posted - self._handled:,} of {self._posted:,} events"
            why = f"it was not done {CLOSING:g} s after the run" if late else ended
            self.warnings.append(f"tracker {self.name} missed up to {missed}: {why}")

    def kill(self) -> None:
        """End the process at once."""
        self._queue.put(None)
        self._process.kill()
        self._process.wait()
        for thread in (self._listener, self._sender):
            thread.join(1.0)

    def _post(self, event: str, *arguments: Any) -> None:
        self._posted += 1
        if not self._failed and (event == "run_finished" or self._queue.qsize() < ROOM):
            self._queue.put((event, arguments))

    def _send(self, start: TrackerStart) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:  # A process that ended has replied why.
            pickle.dump(start, pipe)
            pipe.flush()
            while batch := self._waiting():
                try:
                    packed = pickle.dumps(batch)
                except USER_CODE_ERRORS as error:
                    self._failed = (
                        f"tracker {self.name}: an event of this run cannot be sent: {explain(error)}"
                    )
                    break
                pipe.write(packed)
                pipe.flush()

    def _waiting(self) -> list[Event]:
        """Wait for the next events and return them; none at the end."""
        batch: list[Event] = []
        while len(batch) < AT_ONCE and not (batch and self._queue.empty()):
            event = self._queue.get()
            if event is None:
                self._queue.put(None)
                break
            batch.append(event)
        return batch

    def _listen(self, out: IO[str]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            try:
                while not self._failed:
                    reply: TrackerReply = pickle.load(pipe)
                    if reply.printed:
                        out.write(reply.printed)
                        out.flush()
                    self._handled, self._failed = reply.handled, self._failed or reply.failed
                    self._ready.set()
            except (EOFError, pickle.UnpicklingError):
                if not self._ready.is_set():
                    self._failed = (
                        f"tracker {self.name}: its process ended with exit code {self._process.wait()}"
                    )
            except (OSError, ValueError) as error:  # The standard output was closed.
                self._failed = f"tracker {self.name} is left out from now on: {explain(error)}"
            finally:
                self._ready.set()
