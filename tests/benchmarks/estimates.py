"""The estimates of ``--dry-run`` and of the progress lines against the real seconds of whole processes.

``python tests/benchmarks/estimates.py [ROUNDS] [ROW…]`` runs each command after its dry run, in turn, in a
few rounds, and prints the median ratio of the estimate and the real seconds, with the goal (from 1/1.5 to
1.5) as met or missed. An estimate of "at most" may be larger. ``left`` is the same ratio for the first
progress line after a tenth of the work, and counts from there to the end of the process. Rows are named by
their beginning.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

GOAL = 1.5
_COMPILER_SECONDS = 120.0
_LINE = re.compile(r"\d+ of \d+ trials, (\d+)%, (?:about )?(.*) left")
_UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}

DIGITS = ("run", "--workload", "digits", "--epochs", "20")
TEXT = ("run", "--workload", "stdlib-text", "--strategies", "mini", "--seeds", "2", "--updates", "60")
STUDY = ("scaling", "--workload", "digits", "--batch-sizes", "32,128,512", "--seeds", "5")


class Row(NamedTuple):
    """A command, and whether its compiled programs are in the cache."""

    name: str
    command: Sequence[str]
    fresh: bool = False


class Found(NamedTuple):
    """The estimate, the real seconds, and the ratio of the first time left that is shown after a tenth."""

    estimate: float
    real: float
    left: float | None
    most: bool


ROWS = [
    Row("line", ("run",)),
    Row("digits, first", DIGITS, fresh=True),
    Row("digits, again", DIGITS),
    Row(
        "breast-cancer, tuned",
        ("run", "--workload", "breast-cancer", "--strategies", "full,mini", "--tune", "5"),
    ),
    Row("stdlib-text", TEXT),
    Row("digits, loop", (*DIGITS, "--strategies", "full,mini", "--trainer", "loop")),
    Row("adaptive", (*DIGITS, "--strategies", "norm-test:8,growth:8:at=(2,4)", "--seeds", "3")),
    Row(
        "jobs 2, loop", (*DIGITS, "--strategies", "mini", "--trainer", "loop", "--seeds", "20", "--jobs", "2")
    ),
    Row("jobs 2, lanes", (*DIGITS, "--jobs", "2")),
    Row("study", STUDY),
]


def seconds_of(text: str) -> float:
    """Read a duration, such as ``1 min 05 s`` or ``less than 1 s``."""
    return sum(float(value) * _UNITS[unit] for value, unit in re.findall(r"([\d.]+) (h|min|ms|s)\b", text))


def first_left(lines: Sequence[tuple[float, str]], end: float) -> float | None:
    """Return stated / real seconds left of the first line after a tenth of the work; None: there is none.

    Args:
        lines: Each with the time at which it was printed.
        end: The time at which the process ended.
    """
    for at, line in lines:
        found = _LINE.search(line)
        if found is not None and int(found[1]) >= 10:
            return seconds_of(found[2]) / (end - at)
    return None


def verdict(ratio: float, most: bool) -> str:
    """Return whether a ratio meets the goal; of an upper bound only the lower limit counts."""
    return "met" if ratio >= 1 / GOAL and (most or ratio <= GOAL) else "missed"


def measured(row: Row, cache: Path, out: Path) -> Found:
    """Run a command after its dry run."""
    script, environment = str(Path(sys.executable).with_name("optcompare")), {**os.environ}
    environment["XDG_CACHE_HOME"] = str(cache)
    cache.mkdir(exist_ok=True)
    plan = subprocess.run(
        [script, *row.command, "--dry-run", "--json"], env=environment, capture_output=True, check=True
    )
    about = json.loads(plan.stdout)
    began = perf_counter()
    process = subprocess.Popen(
        [script, *row.command, "--out", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = [(perf_counter(), line) for line in process.stderr]
    process.wait()
    end = perf_counter()
    most = about["seconds_low"] < about["seconds_high"]
    return Found(about["seconds_high"], end - began, first_left(lines, end), most)


def wait_for_compilers(cache: Path) -> None:
    """Wait until compilers that outlived their run have ended."""
    end = perf_counter() + _COMPILER_SECONDS
    while perf_counter() < end and any((cache / "optcompare").glob("*.work")):
        time.sleep(0.5)


def main(rounds: int = 3, names: Sequence[str] = ()) -> None:
    """Print all rows."""
    rows = [row for row in ROWS if not names or any(row.name.startswith(name) for name in names)]
    found: dict[str, list[Found]] = {row.name: [] for row in rows}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for number in range(rounds):
            for row in rows:
                cache = root / (f"cache{number}" if row.fresh or number == 0 else "cache0")
                out = root / f"{number}-{row.name.replace(' ', '-')}"
                found[row.name].append(measured(row, cache, out))
                wait_for_compilers(cache)
                print(f"{number}: {row.name}: {found[row.name][-1]}", file=sys.stderr, flush=True)
    print(f"{'command':<22}  estimate  real     ratio          left")
    for name, each in found.items():
        ratio, most = median(one.estimate / one.real for one in each), each[0].most
        left = [one.left for one in each if one.left is not None]
        shown = f"{median(left):.2f} {verdict(median(left), False)}" if left else "–"
        estimate, real = median(one.estimate for one in each), median(one.real for one in each)
        print(
            f"{name:<22}  {estimate:>6.1f} s  {real:>5.1f} s  {ratio:.2f} {verdict(ratio, most):<6}"
            f"{' (at most)' if most else ''}  {shown}"
        )


if __name__ == "__main__":
    main(int((sys.argv[1:2] or ["3"])[0]), sys.argv[2:])
