"""Seconds of whole runs with ``--jobs auto`` against ``--jobs 1``: trials of the loop, and lanes with them.

``python tests/benchmarks/jobs.py [PAIRS]`` times whole processes, interleaved, and prints the median ratio of
each case, beside the seconds of the processor. On two idle cores the goal is 0.7 at most; a short run must
not take longer than alone. Other load on the machine shows in the ratio: run it where nothing else runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from optcompare.core.cores import usable_cores

CASES = {
    "loop, 18 trials": (
        "--workload digits --strategies mini:32,mini:64,mini:256 --seeds 6 --epochs 100 --trainer loop",
        0.7,
    ),
    "lanes and loop, 40 trials": (
        "--workload digits --strategies mini:8,mini:16,norm-test:16,norm-test:32 --seeds 10 --epochs 40",
        0.7,
    ),
    "short": ("--workload digits --strategies full,mini --seeds 3 --epochs 5", 1.05),
}


def seconds(options: str, jobs: str, out: Path, cache: Path) -> tuple[float, float]:
    """Return the seconds of a command from its start to its end, and those of the processor."""
    script = str(Path(sys.executable).with_name("optcompare"))
    command = [script, "run", *options.split(), "--jobs", jobs, "--quiet", "--out", str(out)]
    began, before = perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(cache)})
    taken, after = perf_counter() - began, os.times()
    return taken, sum(after[2:4]) - sum(before[2:4])


def main(pairs: int = 3) -> None:
    """Time each case, and print its ratio.

    Args:
        pairs: The number of interleaved pairs of runs.
    """
    print(f"{usable_cores()} cores; load before: {os.getloadavg()[0]:.1f}")
    for name, (options, goal) in CASES.items():
        with tempfile.TemporaryDirectory() as directory:
            outs = (Path(directory) / str(number) for number in range(2 * pairs + 1))
            cache = Path(directory) / "cache"
            seconds(options, "1", next(outs), cache)  # compiles what is compiled
            found = [
                (seconds(options, "auto", next(outs), cache), seconds(options, "1", next(outs), cache))
                for _ in range(pairs)
            ]
        ratio = statistics.median(auto[0] / alone[0] for auto, alone in found)
        auto, alone = (
            "{:.1f} s (processor {:.1f} s)".format(*map(statistics.median, zip(*runs, strict=True)))
            for runs in zip(*found, strict=True)
        )
        met = "met" if ratio <= goal else "MISSED"
        print(f"{name}: auto {auto}, alone {alone}, ratio {ratio:.2f}; goal {goal:g} {met}")
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
