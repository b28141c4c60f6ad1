"""The whole default command against importing torch, pandas and matplotlib and training the same in loops by
hand.

``python tests/benchmarks/command.py [PAIRS]`` times whole processes, interleaved, and prints the median
ratio. The goal is 1.5 at most, with rehearsal, measuring, certificate, statistics, Parquet files and the plot
in the command.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

BY_HAND = """
import torch, pandas, matplotlib.pyplot
from torch import nn
torch.set_num_threads(1)
x = torch.arange(1., 7.).reshape(6, 1)
for seed in range(10):
    for size in (6, 2, 1):
        torch.manual_seed(seed)
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for epoch in range(100):
            for batch in torch.randperm(6).split(size):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x[batch]), x[batch]).backward()
                optimizer.step()
"""


def seconds(command: list[str]) -> float:
    began = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - began


def main(pairs: int = 5) -> None:
    script = str(Path(sys.executable).with_name("optcompare"))
    by_hand = [sys.executable, "-c", BY_HAND]
    with tempfile.TemporaryDirectory() as directory:
        runs = (str(Path(directory) / str(number)) for number in range(pairs + 1))
        seconds([script, "run", "--out", next(runs)]), seconds(by_hand)
        found = [(seconds([script, "run", "--out", out]), seconds(by_hand)) for out in runs]
    ours, theirs = zip(*found, strict=True)
    ratio = statistics.median(a / b for a, b in found)
    print(
        f"optcompare run: {statistics.median(ours):.2f} s, imports and loops by hand: "
        f"{statistics.median(theirs):.2f} s"
    )
    print(f"ratio: {ratio:.2f} (median of {pairs} interleaved pairs)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
