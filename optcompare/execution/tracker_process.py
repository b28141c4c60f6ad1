"""Tells trackers what happens in a run, each in a process of its own, so that none can slow it or stop it.

A thread would not do: one that computes takes the interpreter from the trainer, whose updates are then timed
too long.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..core.signals import ending_signals
from ..errors import USER_CODE_ERRORS, ComparisonError, PluginError, explain
from ..registry.manager import Registry

if TYPE_CHECKING:
    from ..core.comparison import Comparison, Trial
    from ..interfaces.tracker import Tracker
    from ..report.result import Result

ROOM = 10_000
"""Events that wait for a tracker at most."""
AT_ONCE = 200
OPENING, CLOSING = 120.0, 60.0
"""Seconds that a run waits for a tracker: before it begins, and after it has ended."""
REPLY_SECONDS = 0.1
EVENTS = ("run_started", "measured", "trial_finished", "run_finished")

Event = tuple[str, tuple[Any, ...]]


class Hello(NamedTuple):
    """What a tracker's process is told first."""

    name: str
    address: str
    directory: Path | None
    plugins: tuple[str, ...]


class Reply(NamedTuple):
    """A reply of a tracker's process.

    Attributes:
        handled: Events so far.
        said: What was printed since the last reply.
        failed: Why this is the last reply; empty while the tracker works.
    """

    handled: int
    said: str = ""
    failed: str = ""


@contextmanager
def tracking(registry: Registry, names: Sequence[str], directory: Path | None) -> Iterator[list[Tracked]]:
    """Start the trackers of ``name[:address]``, and close them at the end of the context.

    Later failures are in ``registry.warnings`` at the end.

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
    """A tracker's process; events for it wait in a queue, and are dropped if too many wait."""

    def __init__(self, text: str, plugins: tuple[str, ...], directory: Path | None) -> None:
        self.name, _, address = text.partition(":")
        self.warnings: list[str] = []
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._told = self._handled = 0
        self._failed = ""
        self._ready = threading.Event()
        begin = (
            "import sys; sys.path[:] = sys.argv[1:]; from optcompare.execution.tracker_process import "
            "serve; serve()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", begin, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=None
            if os.name == "nt"
            else 0,  # Ctrl-C is for the run; a session would not give way to it
        )
        hello = Hello(self.name, address, None if directory is None else directory.absolute(), plugins)
        self._sender = threading.Thread(target=self._send, args=(hello,), daemon=True)
        self._listener = threading.Thread(target=self._listen, args=(sys.stdout,), daemon=True)
        self._sender.start()
        self._listener.start()

    def wait_until_ready(self) -> None:
        """Raises :class:`ComparisonError` with the reason where the tracker could not be made."""
        if not self._ready.wait(OPENING):
            raise ComparisonError(f"tracker {self.name} was not ready after {OPENING:g} s; leave it out")
        if self._failed:
            raise ComparisonError(self._failed)

    def run_started(self, comparison: Comparison) -> None:
        self._tell("run_started", comparison)

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        self._tell("measured", trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._tell("trial_finished", trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        pass

    def run_finished(self, result: Result) -> None:
        self._tell("run_finished", dataclasses.replace(result, workload=None, weights={}, panels=None))

    def close(self, end: float) -> None:
        """Wait until the tracker has handled all events, until ``end`` at the latest, and note the rest."""
        self._queue.put(None)
        with suppress(OSError, AttributeError):  # it need not give way any more, where that can be taken back
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 0)
        self._listener.join(max(end - time.monotonic(), 0.01))
        late = self._listener.is_alive()
        self.kill()
        if self._failed:
            self.warnings.append(self._failed)
        elif self._handled < self._told:
            code = self._process.returncode
            ended = (
                f"its process ended with exit code {code}"
                if code
                else f"it took in no more than {ROOM:,} at once"
            )
            self.warnings.append(
                f"tracker {self.name} missed up to {self._told - self._handled:,} of {self._told:,} events: "
                + (f"it was not done {CLOSING:g} s after the run" if late else ended)
            )

    def kill(self) -> None:
        """Ends the process, whatever it is at."""
        self._queue.put(None)
        self._process.kill()
        self._process.wait()
        for thread in (self._listener, self._sender):
            thread.join(1.0)

    def _tell(self, event: str, *arguments: Any) -> None:
        self._told += 1
        if not self._failed and (event == "run_finished" or self._queue.qsize() < ROOM):
            self._queue.put((event, arguments))

    def _send(self, hello: Hello) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:  # a process that ended has said why
            pickle.dump(hello, pipe)
            pipe.flush()
            while batch := self._waiting():
                try:
                    packed = pickle.dumps(batch)
                except USER_CODE_ERRORS as error:
                    self._failed = f"tracker {self.name} cannot be told of this run: {explain(error)}"
                    break
                pipe.write(packed)
                pipe.flush()

    def _waiting(self) -> list[Event]:
        """The next events, as soon as there are any; none at the end."""
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
                    reply: Reply = pickle.load(pipe)
                    if reply.said:
                        out.write(reply.said)
                        out.flush()
                    self._handled, self._failed = reply.handled, self._failed or reply.failed
                    self._ready.set()
            except (EOFError, pickle.UnpicklingError):
                if not self._ready.is_set():
                    self._failed = (
                        f"tracker {self.name}: its process ended with exit code {self._process.wait()}"
                    )
            except (OSError, ValueError) as error:  # whoever read the standard output has read enough
                self._failed = f"tracker {self.name} is left out from now on: {explain(error)}"
            finally:
                self._ready.set()


def serve() -> None:
    """In a tracker's process: makes it, and calls it with what comes in, until there is no more."""
    for number in ending_signals():
        if number != signal.SIGTERM:  # Ctrl-C and a closed terminal reach the whole group of processes
            signal.signal(number, signal.SIG_IGN)
    with os.fdopen(os.dup(0), "rb") as events, os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)  # what a library writes there past Python is not meant for us

        def answer(reply: Reply) -> None:
            pickle.dump(reply, replies)
            replies.flush()

        _serve(events, answer)


def _serve(events: IO[bytes], answer: Callable[[Reply], None]) -> None:
    hello: Hello = pickle.load(events)
    said = sys.stdout = io.StringIO()
    try:
        tracker = _made(hello)
        importlib.import_module(
            "optcompare.report.result"
        )  # now, not when the run waits for its end to be taken in
    except ComparisonError as refusal:
        answer(Reply(0, failed=str(refusal)))
        return
    except USER_CODE_ERRORS as error:
        answer(Reply(0, failed=f"tracker {hello.name} cannot begin: {explain(error)}"))
        return
    if hasattr(os, "nice"):
        os.nice(14)  # where no core is free, a trainer gets 23 times as much of one: 4% is lost at most
    answer(Reply(0))
    handled, answered = 0, time.monotonic()
    for batch in _batches(events):
        for number, (name, arguments) in enumerate(batch, 1):
            try:
                getattr(tracker, name)(*arguments)
            except USER_CODE_ERRORS as error:
                why = f"tracker {hello.name} is left out from now on: {explain(error)}"
                answer(Reply(handled, _taken(said), why))
                return
            handled += 1
            if number == len(batch) or time.monotonic() - answered > REPLY_SECONDS:
                answer(Reply(handled, _taken(said)))
                answered = time.monotonic()


def _made(hello: Hello) -> Tracker:
    factory = Registry.load(hello.plugins, kind="trackers").find("trackers", hello.name).factory
    made: Tracker = factory(hello.address, hello.directory)
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


def _taken(said: io.StringIO) -> str:
    text = said.getvalue()
    said.seek(0)
    said.truncate()
    return text
