"""Seconds of ``optcompare run`` with many seeds, as whole processes, against the same trials by hand.

``python tests/benchmarks/lanes.py command`` prints the table. By hand is an estimate: one process imports
torch and the data and trains one seed of every strategy without any evaluation; its loops are multiplied by
the number of trials. The cache of compiled programs is a fresh directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from time import perf_counter

import matplotlib
from printed import goal, load

STRATEGIES = (1437, 32, 1)
COMMANDS = [
    ("10 seeds, first time", ["--seeds", "10"], 10, 8),
    ("10 seeds, again", ["--seeds", "10"], 10, 12),
    ("--tune 8, first time", ["--seeds", "10", "--tune", "8"], 10 + 8 * 3, 10),
    ("--tune 8, again", ["--seeds", "10", "--tune", "8"], 10 + 8 * 3, 10),
    ("100 seeds, first time", ["--seeds", "100"], 100, 30),
    ("100 seeds, again", ["--seeds", "100"], 100, 30),
]
"""A label, further options, trials of every strategy, and the goal: how many times faster than by hand."""

BY_HAND = """
from time import perf_counter
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
torch.set_num_threads(1)
pixels, labels = load_digits(return_X_y=True)
x, _, y, _ = map(
    torch.from_numpy, train_test_split(pixels / 16, labels, test_size=0.2, stratify=labels, random_state=0)
)
x = x.float()
began = perf_counter()
for size in {sizes}:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(20):
        for batch in torch.randperm(len(x)).split(size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
print(perf_counter() - began)
"""


def command(engine: str = "auto", rows: str = "") -> None:
    """Print a row for each command.

    Args:
        engine: The engine of the lanes.
        rows: Commands are run whose label contains this text.
    """
    chosen = [each for each in COMMANDS if rows in each[0]]
    options = ["--workload", "digits", "--strategies", "full,mini,single", "--epochs", "20", "--quiet"]
    print(load())
    print(f"optcompare run {' '.join(options)} --engine {engine}, whole processes")
    print("(by hand: start and imports once, plus the loops of one seed, times trials: an estimate)")
    print(f"{'':22} {'trials':>6} {'by hand':>9} {'ours':>9} {'ratio':>7}")
    script = str(Path(sys.executable).with_name("optcompare"))
    with tempfile.TemporaryDirectory() as directory:
        cache = Path(directory) / "cache"
        starts, loops, found = list[float](), list[float](), list[tuple[float, str]]()
        for number, (_, more, _, _) in enumerate(chosen):
            _measure_by_hand(starts, loops)
            call = [script, "run", *options, "--engine", engine, *more]
            began = perf_counter()
            done = subprocess.run(
                [*call, "--out", str(Path(directory) / str(number))],
                capture_output=True,
                text=True,
                env=environment(cache),
            )
            found.append((perf_counter() - began, done.stderr if done.returncode else ""))
            wait_for_compilers(cache)
    for (label, _, trials, limit), (ours, error) in zip(chosen, found, strict=True):
        hand = median(starts) + trials * median(loops)
        row = f"{hand:7.1f} s {ours:7.1f} s {hand / ours:7.1f}   {goal(hand / ours, '≥', limit)}"
        print(
            f"{label:22} {len(STRATEGIES) * trials:6} {'failed: ' + error.strip()[-300:] if error else row}"
        )
    if chosen:
        print(f"by hand: {median(starts):.1f} s of start and imports, {median(loops):.2f} s for one seed")


def environment(cache: Path) -> dict[str, str]:
    """Return the environment of a command with a cache of compiled programs of its own.

    The cache of matplotlib's fonts stays that of this process.

    Args:
        cache: The ``XDG_CACHE_HOME`` of the command.
    """
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": matplotlib.get_cachedir()}


def wait_for_compilers(cache: Path) -> None:
    """Wait for compilers that a command left running.

    Args:
        cache: The ``XDG_CACHE_HOME`` of the command.
    """
    while list((cache / "optcompare").glob("*.work")):
        time.sleep(0.2)


def _measure_by_hand(starts: list[float], loops: list[float]) -> None:
    """Time a script by hand, and append the seconds of its start and of its loops."""
    began = perf_counter()
    script = [sys.executable, "-c", BY_HAND.format(sizes=STRATEGIES)]
    loops.append(float(subprocess.run(script, check=True, capture_output=True, text=True).stdout))
    starts.append(perf_counter() - began - loops[-1])
