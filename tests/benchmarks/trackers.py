"""What trackers cost a run: training and wall time with each, over those with none.

``python tests/benchmarks/trackers.py [PAIRS]`` prints the medians of the ratios over interleaved pairs of
runs: of the time from the first update to the last record (``wall``), of the training clock (``clock``),
which curves are drawn against, and of the processor time of this process (``cpu``), which other work on the
machine changes least. The goal is 1.05 at most, also for trackers that sleep a second for each event, raise,
or compute without end. Beside them: the same in a thread of this process, which is why there are processes.
``missed``: events that were not taken in.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import optcompare
from optcompare.execution import tracker_process

PLUGIN = """
import time
from optcompare import Tracker, hookimpl

class Sleeps(Tracker):
    def measured(self, trial, record):
        time.sleep(1)

class Raises(Tracker):
    def measured(self, trial, record):
        raise OSError("on every record")

class Burns(Tracker):
    def measured(self, trial, record):
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            pass

@hookimpl
def optcompare_trackers():
    return {"sleeps": Sleeps, "raises": Raises, "burns": Burns}
"""
NAMES = [
    "sleeps",
    "raises",
    "burns",
    "jsonl",
    "tensorboard:{}/tb",
    "mlflow:sqlite:///{}/mlflow.db",
    "thread that burns",
]


class Timed:
    """Notes when training began and ended."""

    def __init__(self) -> None:
        self.first = self.last = self.began = self.ended = 0.0

    def measured(self, trial: Any, record: Any) -> None:
        self.last = time.perf_counter()

    def trial_finished(self, trial: Any, outcome: Any) -> None:
        self.last, self.ended = time.perf_counter(), time.process_time()

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        if not self.first:
            self.first, self.began = time.perf_counter(), time.process_time()


def seconds(track: list[str], plugin: str) -> tuple[list[float], str]:
    """Wall, training and processor time of one run, and what was said of its trackers."""
    timed = Timed()
    question: dict[str, Any] = {
        "seeds": 3,
        "epochs": 20,
        "trainer": "loop",
        "plugins": plugin,
        "track": track,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = optcompare.compare("digits", ["mini:32", "full"], **question, observer=timed)
    clock = float(result.trials["train_seconds"].sum())
    return [timed.last - timed.first, clock, timed.ended - timed.began], "; ".join(
        str(w.message) for w in caught
    )


def burning(stop: threading.Event) -> None:
    while not stop.is_set():
        pass


def main(pairs: int = 5) -> None:
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        plugin = Path(folder) / "trackers.py"
        plugin.write_text(PLUGIN)
        out, sys.stdout = sys.stdout, nowhere
        tracker_process.CLOSING = 2.0  # what a slow one misses is not what is asked here
        head = f"{'tracker':20} {'wall':>7} {'clock':>7} {'cpu':>7}   (ratios, medians of {pairs} pairs)"
        print(head, file=out, flush=True)
        for name in NAMES:
            found, said = [], ""
            for pair in range(pairs + 1):
                plain, _ = seconds([], str(plugin))
                stop = threading.Event()
                if name.startswith("thread"):
                    threading.Thread(target=burning, args=(stop,), daemon=True).start()
                tracked, said = seconds(
                    [] if name.startswith("thread") else [name.format(folder)], str(plugin)
                )
                stop.set()
                if pair:  # the first is to warm up
                    found.append([one / other for one, other in zip(tracked, plain, strict=True)])
            ratios = " ".join(f"{statistics.median(column):7.3f}" for column in zip(*found, strict=True))
            print(f"{name.partition(':')[0]:20} {ratios}   {said}", file=out, flush=True)
        sys.stdout = out


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
