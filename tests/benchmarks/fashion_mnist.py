"""Five seeds of a perceptron on Fashion-MNIST against the same loops by hand, as whole processes.

``python tests/benchmarks/fashion_mnist.py [PAIRS]`` trains ``mini:64,mini:512,full`` for two epochs, five
seeds each, and prints the median ratio of seconds over interleaved rounds, and the peak of resident memory,
with goals met or missed. The script by hand reads the same files, makes as many updates with as many samples,
and measures the same: at the same updates, on as many rows, loss and accuracy of each set. It draws, saves
and checks nothing, and has one thread; ours is timed in one process, and with its default, one for each core.
Then it prints the seconds of a whole run of a convolutional network on all images that makes one update.
With PYTHONDONTWRITEBYTECODE in the environment both compile what they import each time, ours more of it.
Debian's package dataset-fashion-mnist is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import pandas as pd
from printed import goal, load
from processes import environment

IMAGES = Path("/usr/share/datasets/fashion-mnist")
SIZES = {"mini:64": 64, "mini:512": 512, "full": 54_000}
SEEDS, EPOCHS, VALID, TEST, LR = 5, 2, 6_000, 10_000, 0.02
MOST_TIMES, MOST_GIB, MOST_SECONDS = 1.15, 1.5, 10.0

BY_HAND = """
import gzip, json, sys
import numpy as np, torch
from torch import nn

with open(sys.argv[1]) as file:
    plan = json.load(file)
torch.set_num_threads(1)

def read(name, header):
    with gzip.open(f"{plan['folder']}/{name}-ubyte.gz") as file:
        return torch.from_numpy(np.frombuffer(bytearray(file.read()), np.uint8, offset=header))

def images(name):
    return read(name, 16).reshape(-1, 1, 28, 28).float().div_(255).sub_(0.2860).div_(0.3530)

x, y = images("train-images-idx3"), read("train-labels-idx1", 8).long()
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
held, stay = order[:plan["valid"]], order[plan["valid"]:]
sets = {"train": (x[stay], y[stay]), "valid": (x[held], y[held])}
sets["test"] = images("t10k-images-idx3"), read("t10k-labels-idx1", 8).long()
del x, y
x, y = sets["train"]

def measure(model, rows):
    values = {}
    for name, count in rows.items():
        loss = right = 0.0
        with torch.no_grad():
            for part in torch.arange(count).split(1024):
                begin, end = int(part[0]), int(part[-1]) + 1
                scores, labels = model(sets[name][0][begin:end]), sets[name][1][begin:end]
                loss += nn.functional.cross_entropy(scores, labels, reduction="sum").item()
                right += (scores.argmax(1) == labels).sum().item()
        values[f"{name}_loss"], values[f"{name}_accuracy"] = loss / count, right / count
    return values

records = []
for name, arm in plan["arms"].items():
    for seed in range(plan["seeds"]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=plan["lr"])
        points, updates = {int(update): rows for update, rows in arm["points"].items()}, 0
        records.append({"arm": name, "seed": seed, "update": 0, **measure(model, points[0])})
        for epoch in range(plan["epochs"]):
            for batch in torch.randperm(len(x)).split(arm["size"]):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
                updates += 1
                if updates in points:
                    values = measure(model, points[updates])
                    records.append({"arm": name, "seed": seed, "update": updates, **values})
print(json.dumps(records))
"""


class Cost(NamedTuple):
    """Hold the seconds of a process, and the peak of its resident memory in GiB."""

    seconds: float
    memory: float


def cost(command: list[str], cache: Path) -> tuple[Cost, str]:
    """Return the cost of a process, and what it printed.

    Args:
        command: The command.
        cache: The ``XDG_CACHE_HOME`` of the process.

    Raises:
        RuntimeError: The process failed.
    """
    with tempfile.TemporaryFile("w+") as out:
        began = perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment(cache))
        _, status, usage = os.wait4(process.pid, 0)
        taken = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} failed: {said.strip()[-500:]}")
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, else KiB
    return Cost(taken, usage.ru_maxrss * unit / 2**30), said


def plan_of(records: pd.DataFrame, sizes: dict[str, int], **settings: Any) -> dict[str, Any]:
    """Return what the script by hand does: at which updates it measures each arm, on how many rows.

    Args:
        records: The records of our run.
        sizes: The batch size of each arm.
        settings: ``folder``, ``lr``, ``seeds``, ``epochs``, and the rows of ``valid`` and ``test``.
    """
    arms = {}
    for name, size in sizes.items():
        rows = records[(records["strategy"] == name) & (records["seed"] == records["seed"].min())]
        points: dict[int, dict[str, int]] = {}
        for row in rows.to_dict("records"):
            points[int(row["update"])] = {
                "train": int(row["train_rows"]),
                "valid": int(row["valid_rows"]),
                **({"test": settings["test"]} if row["test_loss"] == row["test_loss"] else {}),
            }
        arms[name] = {"size": size, "points": points}
    return {**settings, "arms": arms}


def ours(out: Path, jobs: str) -> list[str]:
    """Return our command.

    Args:
        out: The run directory.
        jobs: The number of processes, or ``auto``.
    """
    script = str(Path(sys.executable).with_name("optcompare"))
    options = f"--seeds {SEEDS} --epochs {EPOCHS} --lr {LR} --jobs {jobs} --quiet"
    strategies = ",".join(SIZES)
    workload = f"fashion-mnist:data={IMAGES}"
    return [
        *(script, "run", "--workload", workload, "--strategies", strategies),
        *(*options.split(), "--out", str(out)),
    ]


def main(pairs: int = 3) -> None:
    """Print seconds, ratios and memory.

    Args:
        pairs: The number of interleaved rounds, of which medians are printed.
    """
    if not IMAGES.is_dir():
        print("Debian's package dataset-fashion-mnist is not installed, so nothing was compared")
        return
    print(load())
    found = []
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        plan, cache = directory / "plan.json", directory / "cache"
        cost(ours(directory / "first", "1"), cache)  # reads files from the disk, compiles what is compiled
        records = pd.read_parquet(directory / "first" / "records.parquet")
        settings = {"folder": str(IMAGES), "valid": VALID, "test": TEST, "lr": LR}
        plan.write_text(json.dumps(plan_of(records, SIZES, **settings, seeds=SEEDS, epochs=EPOCHS)))
        by_hand = [sys.executable, "-c", BY_HAND, str(plan)]
        for number in range(pairs):
            commands = (
                ours(directory / f"one-{number}", "1"),
                by_hand,
                ours(directory / f"{number}", "auto"),
            )
            found.append([cost(command, cache)[0] for command in commands])
        script = str(Path(sys.executable).with_name("optcompare"))
        workload = f"fashion-mnist:cnn:data={IMAGES}"
        one_update = f"--strategies mini:64 --updates 1 --seeds 1 --quiet --out {directory / 'cnn'}"
        network, _ = cost([script, "run", "--workload", workload, *one_update.split()], cache)
    print_costs(found)
    taken = goal(network.seconds, "≤", MOST_SECONDS)
    print(f"one update of a convolutional network and all around it: {network.seconds:.1f} s   {taken}")
    print(load())


def print_costs(found: list[list[Cost]]) -> None:
    """Print medians and ratios of rounds of three: ours in one process, by hand, ours with its default.

    Args:
        found: The costs of each round.
    """
    one, hand, default = (list(column) for column in zip(*found, strict=True))
    print(f"by hand: {median(each.seconds for each in hand):.1f} s, {_peak(hand):.2f} GiB")
    for name, costs in (("one process", one), ("default jobs", default)):
        ratio = median(each.seconds / peer.seconds for each, peer in zip(costs, hand, strict=True))
        seconds = median(each.seconds for each in costs)
        text = f"ours, {name}: {seconds:.1f} s, {ratio:.2f} of by hand   {goal(ratio, '≤', MOST_TIMES)}"
        peak = f"   peak of a process {_peak(costs):.2f} GiB   {goal(_peak(costs), '≤', MOST_GIB)}"
        print(text + peak)


def _peak(costs: list[Cost]) -> float:
    return max(each.memory for each in costs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
