"""The job of benchopt against ours: three strategies, ten epochs each, as whole processes in one run.

``python tests/benchmarks/benchopt_job.py [ROUNDS]`` trains an MLP 20-32-3 (ReLU, cross-entropy, SGD) on 2,048
rows of ``make_classification``, with full batches, batches of 32 and single samples, and prints seconds and
ratios with goals met or missed. Both measure the training loss and the accuracy on all rows at the start and
after each epoch, save a table and draw; ours adds the points within the first epoch, its checks and its
statistics. Both run with their defaults: ``benchopt run`` one process, ours one for each core where it helps.

benchopt's 30 repetitions are estimated from 3: the seconds of the same command with no epoch, plus ten times
the rest. Ours at 30 seeds is measured. First time means an empty cache of compiled programs; the cache of
matplotlib's fonts is left as it is.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from printed import goal, load
from processes import Seconds, seconds

EPOCHS, REPETITIONS, MORE = 10, 3, 30
SIZES = {"full": 2048, "mini": 32, "single": 1}
LR = 0.02
FIRST_OF_THEIRS, MORE_OF_THEIRS = 0.5, 0.1

DATA = "make_classification(2048, 20, n_informative=10, n_classes=3, random_state=0)"
MODEL = "nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))"

WORKLOAD = f"""
import torch
from sklearn.datasets import make_classification
from torch import nn

from optcompare import Workload, accuracy


def mlp():
    x, y = {DATA}
    return Workload(
        model=lambda: {MODEL},
        train=(torch.tensor(x, dtype=torch.float32), torch.tensor(y)),
        loss=nn.functional.cross_entropy,
        metrics={{"accuracy": accuracy}},
        lr={LR},
        batch_size={SIZES["mini"]},
    )
"""

OBJECTIVE = """
import torch
from benchopt import BaseObjective
from benchopt.stopping_criterion import NoCriterion
from torch import nn


class Objective(BaseObjective):
    name = "Cross-entropy"
    sampling_strategy = "callback"
    stopping_criterion = NoCriterion(strategy="callback")

    def set_data(self, X, y):
        self.X, self.y = X, y

    def get_objective(self):
        return dict(X=self.X, y=self.y)

    def evaluate_result(self, model):
        with torch.no_grad():
            scores = model(self.X)
            loss = nn.functional.cross_entropy(scores, self.y).item()
            accuracy = (scores.argmax(1) == self.y).float().mean().item()
        return dict(value=loss, accuracy=accuracy)

    def get_one_result(self):
        return dict(model=nn.Linear(20, 3))
"""

DATASET = f"""
import torch
from benchopt import BaseDataset
from sklearn.datasets import make_classification


class Dataset(BaseDataset):
    name = "Simulated"

    def get_data(self):
        X, y = {DATA}
        return dict(X=torch.tensor(X, dtype=torch.float32), y=torch.tensor(y))
"""

SOLVER = """
import torch
from benchopt import BaseSolver
from torch import nn


class Solver(BaseSolver):
    name = "{name}"

    def set_objective(self, X, y):
        self.X, self.y = X, y

    def get_next(self, stop_val):
        return stop_val + 1

    def run(self, callback):
        torch.set_num_threads(1)
        torch.manual_seed(self.get_seed(use_repetition=True))
        self.model = {model}
        optimizer = torch.optim.SGD(self.model.parameters(), lr={lr})
        epoch = 0
        while callback() and epoch < {epochs}:
            for batch in torch.randperm(len(self.X)).split({size}):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(self.X[batch]), self.y[batch]).backward()
                optimizer.step()
            epoch += 1

    def get_result(self):
        return dict(model=self.model)
"""


def write_benchmark(folder: Path, epochs: int) -> None:
    """Write the folder of the job that ``benchopt run`` reads.

    Args:
        folder: The folder, which does not exist yet.
        epochs: Epochs of each solver.
    """
    texts = {"objective.py": OBJECTIVE, "datasets/simulated.py": DATASET}
    for name, size in SIZES.items():
        solver = SOLVER.format(name=name, model=MODEL, lr=LR, size=size, epochs=epochs)
        texts[f"solvers/{name}.py"] = solver
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text.lstrip())


def of_benchopt(directory: Path, number: int, epochs: int) -> Seconds:
    """Return the seconds of benchopt's job, in a folder of its own, whose cache is empty.

    Args:
        directory: The directory of the folder.
        number: The number of the round, part of the folder's name.
        epochs: Epochs of each solver.
    """
    folder = directory / f"benchopt-{number}-{epochs}"
    write_benchmark(folder, epochs)
    most = ["--max-runs", str(10 * EPOCHS), "--no-display"]
    return seconds(["benchopt", "run", str(folder), "--n-repetitions", str(REPETITIONS), *most], directory)[0]


def of_ours(directory: Path, number: int, seeds: int) -> tuple[Seconds, Seconds]:
    """Return the seconds of our job with an empty cache, and again.

    Args:
        directory: The directory of the workload's file, of the runs and of the cache.
        number: The number of the round.
        seeds: Seeds of each strategy.
    """
    file, name = directory / "job.py", f"ours-{number}-{seeds}"
    file.write_text(WORKLOAD.lstrip())
    options = ["--strategies", ",".join(SIZES), "--epochs", str(EPOCHS), "--seeds", str(seeds), "--quiet"]
    first, again = (
        seconds(
            ["optcompare", "run", "--workload", f"{file}:mlp", *options, "--out", str(directory / out)],
            directory / f"cache-{name}",
        )[0]
        for out in (f"{name}-first", f"{name}-again")
    )
    return first, again


def main(rounds: int = 1) -> None:
    """Print seconds and ratios.

    Args:
        rounds: Interleaved rounds, of which medians are printed.
    """
    if find_spec("benchopt") is None:
        print("benchopt is not installed, so nothing was compared: pip install 'optcompare[bench]'")
        return
    print(load())
    found = []
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        for number in range(rounds):
            row = [of_benchopt(directory, number, epochs) for epochs in (EPOCHS, 0)]
            for seeds in (REPETITIONS, MORE):
                row += of_ours(directory, number, seeds)
            found.append(row)
    columns = list(zip(*found, strict=True))
    for title, clock in (
        ("seconds", "wall"),
        ("seconds of cores, which other processes disturb less", "cores"),
    ):
        print(title)
        _print_ratios([median(getattr(each, clock) for each in column) for column in columns])


def _print_ratios(found: list[float]) -> None:
    """Print a table of benchopt's job, its start, and ours: with few and more seeds, first and again."""
    theirs, start, *ours = found
    times = MORE // REPETITIONS
    more = start + times * (theirs - start)
    print(f"  benchopt, {REPETITIONS} repetitions: {theirs:.1f}, of which {start:.1f} without any epoch")
    print(f"  benchopt, {MORE} repetitions: {more:.1f}, estimated as {start:.1f} plus {times} times the rest")
    rows = (
        (REPETITIONS, "first time", theirs, FIRST_OF_THEIRS),
        (REPETITIONS, "again", theirs, None),
        (MORE, "first time", more, MORE_OF_THEIRS),
        (MORE, "again", more, None),
    )
    for (seeds, when, peer, limit), own in zip(rows, ours, strict=True):
        text = f"  ours, {seeds} seeds, {when}: {own:.1f}, {own / peer:.3f} of benchopt's"
        print(f"{text}   {goal(own / peer, '≤', limit)}".rstrip())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
