"""Seconds of ``optcompare run`` with many seeds, as whole processes, against the same trials by hand.

``python tests/benchmarks/lanes.py command`` prints the table. By hand is an estimate: one process imports
torch and the data and trains one seed of every strategy without any evaluation; its loops are multiplied by
the number of trials. The cache of compiled programs is a fresh directory.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from printed import goal, load
from processes import Seconds, seconds

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
from time import perf_counter, process_time
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
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)  # the first one imports for about a second
began, began_cores = perf_counter(), process_time()
for size in {sizes}:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(20):
        for batch in torch.randperm(len(x)).split(size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
print(perf_counter() - began, process_time() - began_cores)
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
    print(f"{'':22} {'trials':>6} {'by hand':>9} {'ours':>9} {'ratio':>7}   (ratio of seconds of cores)")
    with tempfile.TemporaryDirectory() as directory:
        cache = Path(directory) / "cache"
        by_hand, found = list[tuple[Seconds, Seconds]](), list[Seconds | RuntimeError]()
        for number, (_, more, _, _) in enumerate(chosen):
            by_hand.append(_by_hand(cache))
            out = ["--out", str(Path(directory) / str(number))]
            try:
                ours, _ = seconds(["optcompare", "run", *options, "--engine", engine, *more, *out], cache)
                found.append(ours)
            except RuntimeError as error:
                found.append(error)
    for (label, _, trials, limit), own in zip(chosen, found, strict=True):
        row = str(own) if isinstance(own, RuntimeError) else _row(by_hand, trials, own, limit)
        print(f"{label:22} {len(STRATEGIES) * trials:6} {row}")
    if chosen:
        start, loops = (median(each[part].wall for each in by_hand) for part in (0, 1))
        print(f"by hand: {start:.1f} s of start and imports, {loops:.2f} s for one seed")


def _by_hand(cache: Path) -> tuple[Seconds, Seconds]:
    """Return the seconds of a script by hand: of its start, and of its loops over one seed."""
    both, said = seconds([sys.executable, "-c", BY_HAND.format(sizes=STRATEGIES)], cache)
    wall, cores = map(float, said.split())
    loops = Seconds(wall, cores)
    return both - loops, loops


def _row(by_hand: list[tuple[Seconds, Seconds]], trials: int, ours: Seconds, limit: float) -> str:
    """Return the seconds by hand and ours, their ratio with its goal, and that of seconds of cores."""
    wall, cores = (
        median(getattr(start, clock) for start, _ in by_hand)
        + trials * median(getattr(loops, clock) for _, loops in by_hand)
        for clock in ("wall", "cores")
    )
    ratio = wall / ours.wall
    beside = f"({cores / ours.cores:.1f})" if ours.cores else ""
    return f"{wall:7.1f} s {ours.wall:7.1f} s {ratio:7.1f}   {goal(ratio, '≥', limit)} {beside}".rstrip()
