"""The whole default command against a script by hand that trains, measures and draws the same.

``python tests/benchmarks/command.py [PAIRS]`` times whole processes, interleaved, and prints the median
ratios. The goal is 1.0 at most, with dry run, reference loop, certificate, statistics and Parquet files in
the command. The scripts by hand measure the loss after each epoch, keep the path of the first seed, and draw
the same six axes, as a notebook would.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

GOAL = 1.0
STRATEGIES = {"optcompare run": (6, 2, 1), "optcompare run --strategies full,mini": (6, 2)}
"""The batch sizes of each command."""

BY_HAND = """
import sys
from time import perf_counter
import torch, pandas as pd, matplotlib.pyplot as plt
from torch import nn

sizes, file = [int(size) for size in sys.argv[1].split(",")], sys.argv[2]
torch.set_num_threads(1)
x = torch.arange(1., 7.).reshape(6, 1)
y = x.clone()
rows, paths = [], {size: [] for size in sizes}
for seed in range(10):
    for size in sizes:
        torch.manual_seed(seed)
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        updates, seconds = 0, 0.0
        for epoch in range(101):
            with torch.no_grad():
                loss = nn.functional.mse_loss(model(x), y).item()
            rows.append((size, seed, epoch, updates, seconds, loss))
            if epoch == 100:
                break
            began = perf_counter()
            for batch in torch.randperm(6).split(size):
                if seed == 0:
                    paths[size].append((model.weight.item(), model.bias.item()))
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
                optimizer.step()
                updates += 1
            seconds += perf_counter() - began
records = pd.DataFrame(rows, columns=["size", "seed", "epoch", "updates", "seconds", "loss"])

fig, axes = plt.subplots(2, 3, figsize=(10, 8))
colours = dict(zip((6, 2, 1), ("C0", "C1", "C2")))
for ax, axis in zip(axes[0], ("epoch", "updates", "seconds")):
    for size, arm in records.groupby("size"):
        for _, trial in arm.groupby("seed"):
            ax.plot(trial[axis], trial["loss"], color=colours[size], alpha=0.4, linewidth=0.8)
        middle = arm.groupby("epoch")[[axis, "loss"]].median()
        ax.plot(middle[axis], middle["loss"], color=colours[size], linewidth=3, label=f"batch size {size}")
    ax.set_yscale("log")
    if axis != "epoch":
        ax.set_xscale("symlog", linthresh=1 if axis == "updates" else 1e-4)
    ax.set_xlabel(axis)
    ax.grid(alpha=0.3)
axes[0, 0].set_ylabel("training loss")
axes[0, 0].legend()
weight, bias = torch.meshgrid(torch.linspace(-0.2, 1.2, 60), torch.linspace(-0.1, 0.9, 60), indexing="xy")
loss = ((weight[..., None] * x[:, 0] + bias[..., None] - y[:, 0]) ** 2).mean(-1)
for ax, size in zip(axes[1], sizes):
    ax.contourf(weight, bias, loss.log(), levels=12, cmap="Greys", alpha=0.4)
    ax.contour(weight, bias, loss.log(), levels=12, colors="grey", linewidths=0.5)
    path = pd.DataFrame(paths[size], columns=["weight", "bias"])
    ax.plot(path["weight"], path["bias"], ".-", color=colours[size], linewidth=1, markersize=3)
    ax.plot(1, 0, "k*")
    ax.set_title(f"batch size {size}, {len(path)} updates")
    ax.set_xlabel("weight")
axes[1, 0].set_ylabel("bias")
fig.suptitle("Batch sizes on y = x, ten seeds")
fig.tight_layout()
fig.savefig(file)
records.to_parquet(file + ".parquet")
print(records[records["epoch"] == 100].groupby("size")["loss"].agg(["mean", "std"]))
"""


def seconds(command: list[str]) -> float:
    began = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - began


def compare(command: str, sizes: tuple[int, ...], pairs: int) -> None:
    script = str(Path(sys.executable).with_name("optcompare"))
    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(pairs + 1):  # the first pair reads files from the disk
            out = str(Path(directory) / str(number))
            ours = [script, *command.split()[1:], "--out", out]
            by_hand = [sys.executable, "-c", BY_HAND, ",".join(map(str, sizes)), f"{out}.png"]
            found.append((seconds(ours), seconds(by_hand)))
    ours_, theirs = zip(*found[1:], strict=True)
    ratio = statistics.median(a / b for a, b in found[1:])
    print(f"{command}: {statistics.median(ours_):.2f} s, by hand: {statistics.median(theirs):.2f} s")
    met = "met" if ratio <= GOAL else "missed"
    print(f"  ratio: {ratio:.2f} (median of {pairs} interleaved pairs); goal of {GOAL} {met}")


def main(pairs: int = 5) -> None:
    for command, sizes in STRATEGIES.items():
        compare(command, sizes, pairs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
