"""The loop trainer against a PyTorch loop written by hand, doing the same updates on the same data.

``python tests/benchmarks/loop.py [PAIRS]`` prints the ratio of time per update, measuring off, as the median
over interleaved pairs of runs: the whole of ``advance()``, its start and checks included, against the bare
loop, its shuffling included. The goal is 1.05 at most for the first three.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import torch
from torch import nn

from optcompare.core.comparison import Budget, Trial
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.loop.trainer import LoopTrainer

CASES = [
    ("line", "mini:2", 6000),
    ("digits", "mini:32", 3000),
    ("digits", "single", 3000),
    ("line", "full", 3000),
]


def by_hand(trainer: LoopTrainer, size: int, updates: int) -> float:
    """Seconds per update of the loop that anyone would write."""
    workload = trainer.setup.workload
    x, y = workload.train  # type: ignore[misc]
    torch.manual_seed(0)
    model = workload.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=trainer.setup.comparison.arms[0].lr)
    loss_of = workload.loss or nn.functional.mse_loss
    made, began = 0, perf_counter()
    while True:
        for batch in torch.randperm(len(x)).split(size):
            optimizer.zero_grad()
            loss_of(model(x[batch]), y[batch]).backward()
            optimizer.step()
            made += 1
            if made == updates:
                return (perf_counter() - began) / updates


def by_trainer(trainer: LoopTrainer, updates: int) -> float:
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    began = perf_counter()
    _, state = trainer.advance([trial], None, lambda: False)
    seconds = perf_counter() - began
    assert state["progress"]["status"] == "finished", state["progress"]["reason"]
    assert state["progress"]["updates"] == updates
    return seconds / updates


def compare_in_pairs(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int
) -> tuple[float, float, float]:
    """Medians of both and of their ratio over interleaved runs, after one of each to warm up."""
    ours(), theirs()
    found = [(ours(), theirs()) for _ in range(pairs)]
    a, b = zip(*found, strict=True)
    return statistics.median(a), statistics.median(b), statistics.median(x / y for x, y in found)


def main(pairs: int = 7) -> None:
    registry = Registry.load()
    print(
        f"{'workload':10} {'strategy':10} {'trainer':>12} {'by hand':>12} {'ratio':>7}   (µs per update, "
        f"median of {pairs} pairs)"
    )
    for name, strategy, updates in CASES:
        setup, _ = resolve(
            registry,
            Question(
                workload=name,
                strategies=[strategy],
                budget=Budget("updates", updates),
                seeds=(0,),
                measure=0,
                device="cpu",
            ),
        )
        with torch_settings(threads=1):
            trainer = LoopTrainer(setup)

            batch = {"full": setup.workload.size, "single": 1}.get(strategy, setup.workload.batch_size)
            ours, theirs, ratio = compare_in_pairs(
                lambda trainer=trainer, updates=updates: by_trainer(trainer, updates),
                lambda trainer=trainer, batch=batch, updates=updates: by_hand(trainer, batch, updates),
                pairs,
            )
        print(f"{name:10} {strategy:10} {ours * 1e6:12.1f} {theirs * 1e6:12.1f} {ratio:7.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
