"""What it costs to hold arms to a plain loop, and whether honest arms are ever refused.

``python tests/benchmarks/reference.py [ROUNDS] [FOLDER]`` prints the ratio of a run of ``digits`` (three
strategies, ten seeds, twenty epochs) with the check to the same run without it, medians over interleaved
rounds, goal 1.05; how many of 240 combinations of model, optimizer, learning rate and chunk are refused, goal
0; and, given a folder of scripts that each try a piece of a stranger's code, how many of them end with
another exit code than 0, goal 0.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optcompare import OptcompareError, Workload, compare
from optcompare.analysis.certificate import Reference
from optcompare.core.comparison import Budget
from optcompare.planning import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry

GENERATOR = torch.Generator().manual_seed(0)
X, IMAGES = torch.randn(200, 6, generator=GENERATOR), torch.randn(200, 1, 6, 6, generator=GENERATOR)
Y, CLASSES = torch.randn(200, 1, generator=GENERATOR), torch.randint(3, (200,), generator=GENERATOR)
OPTIMIZERS = ["sgd", "sgd:momentum=0.9", "adam", "rmsprop", "adagrad"]
RATES, CHUNKS = (1e-3, 0.1, 1.0, 30.0), (7, 512)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x + torch.tanh(self.inner(self.norm(x))))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.GRU(1, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cells(x[..., None])[0][:, -1])  # type: ignore[no-any-return]


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Any, Any], Any]] = {
    "linear": (lambda: nn.Linear(6, 1), (X, Y), nn.functional.mse_loss),
    "perceptron": (perceptron, (X, CLASSES), nn.functional.cross_entropy),
    "convolutions": (convolutions, (IMAGES, CLASSES), nn.functional.cross_entropy),
    "dropout": (with_dropout, (X, Y), nn.functional.mse_loss),
    "residual": (Residual, (X, Y), nn.functional.huber_loss),
    "recurrent": (Recurrent, (X, Y), nn.functional.mse_loss),
}


def refused() -> tuple[int, int]:
    """How many combinations there are, and how many of them are refused."""
    registry, wrong, count = Registry.load(), 0, 0
    for (name, (model, train, loss)), optimizer, lr, chunk in itertools.product(
        MODELS.items(), OPTIMIZERS, RATES, CHUNKS
    ):
        count += 1
        workload = Workload(model=model, train=train, loss=loss, batch_size=64)
        try:
            prepare.prepare(
                registry,
                Question(
                    workload=workload,
                    strategies=["mini:64" if count % 2 else "full"],
                    optimizers=[optimizer],
                    lr=lr,
                    chunk=chunk,
                    budget=Budget("epochs", 3),
                    seeds=(0,),
                    device="cpu",
                ),
            )
        except OptcompareError as error:
            wrong += 1
            print(f"refused: {name}, {optimizer}, lr {lr:g}, chunk {chunk}: {error}")
    return count, wrong


def seconds(check: Callable[..., Reference]) -> float:
    original, prepare.check_reference = prepare.check_reference, check
    try:
        began = time.perf_counter()
        compare("digits", ["full", "mini:32", "single"], seeds=10, epochs=20)
        return time.perf_counter() - began
    finally:
        prepare.check_reference = original


def failing(folder: Path) -> tuple[int, list[str]]:
    """How many scripts there are, and the names of those that do not end with exit code 0."""
    scripts = sorted(folder.glob("*.py"))
    ended = {
        each.name: subprocess.run([sys.executable, each], capture_output=True).returncode for each in scripts
    }
    return len(ended), [name for name, code in ended.items() if code]


def main(rounds: int, folder: Path | None = None) -> None:
    with_it, without = prepare.check_reference, lambda *arguments: Reference()
    seconds(without)  # programs are compiled before
    ratios = [seconds(with_it) / seconds(without) for _ in range(rounds)]
    print(
        f"digits, ten seeds: {statistics.median(ratios):.3f} times as long as without the check (goal 1.05)"
    )
    count, wrong = refused()
    print(f"{wrong} of {count} honest combinations refused (goal 0)")
    if folder is not None:
        count, names = failing(folder)
        print(f"{len(names)} of {count} scripts fail (goal 0){': ' * bool(names)}{', '.join(names)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
