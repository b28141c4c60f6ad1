"""What each diagnostic costs, as × a training step of 32 rows, on the perceptron and the convolutions of
digits.

``python tests/benchmarks/diagnostics.py [TIMES]`` prints medians over so many measurements of each diagnostic
alone, all 1437 training rows included where it takes them; ``all`` shares what they have in common. Below: a
step of a strategy that wants the norms of its samples' gradients, by the short way and through
``torch.func``.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter

import torch

from optcompare.core.comparison import Trial
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.loop.trainer import LoopTrainer
from optcompare.training.measurement.diagnosing import Diagnosing, sample_norms
from optcompare.training.measurement.per_sample_grads import sample_gradients

ROWS = 32


def seconds(call: Callable[[], object], times: int) -> float:
    """The median of one call, after two to warm up."""
    found = []
    for _ in range(times + 2):
        began = perf_counter()
        call()
        found.append(perf_counter() - began)
    return statistics.median(found[2:])


def trainer_of(workload: str, diagnostics: list[str]) -> LoopTrainer:
    setup, _ = resolve(
        Registry.load(),
        Question(
            workload=workload,
            strategies=[f"mini:{ROWS}"],
            seeds=(0,),
            diagnostics=diagnostics,
            device="cpu",
        ),
    )
    return LoopTrainer(setup)


def of_diagnostics(workload: str, names: list[str], step: float, times: int) -> None:
    for diagnostics in [*([name] for name in names), names]:
        trainer = trainer_of(workload, diagnostics)
        trial = Trial(trainer.setup.comparison.arms[0], 0)
        run = trainer.run(trial, None)
        diagnosing = Diagnosing(trainer.setup, trial, run.workload, run.model, run.another_model, run.source)

        def diagnose(run=run, diagnosing=diagnosing) -> None:
            diagnosing.keep(0, run.weights, torch.arange(ROWS), 0)
            run.update(torch.arange(ROWS))
            diagnosing.measured(run.model, 1, 0, 0.05)

        cost = seconds(diagnose, times) - step
        print(
            f"{workload:12} {diagnostics[0] if len(diagnostics) == 1 else 'all':14} {cost * 1e3:9.2f} "
            f"{cost / step:8.1f}"
        )


def of_norms(workload: str, step: float, times: int) -> None:
    trainer = trainer_of(workload, [])
    run = trainer.run(Trial(trainer.setup.comparison.arms[0], 0), None)
    run.update(torch.arange(ROWS))
    norms = sample_norms(run.workload, run.model, trainer.setup.workload.train)
    batch = next(run.source.stream([torch.arange(ROWS)], 0, 0))
    short = seconds(lambda: norms.squares(run.model, batch).sqrt(), 20 * times)
    general = seconds(lambda: sample_gradients(run.workload, run.model, batch).norm(dim=1), 20 * times)
    for name, cost in (("norms, short", short), ("norms, vmap", general)):
        print(f"{workload:12} {name:14} {cost * 1e3:9.2f} {(step + cost) / step:8.2f}  (step and norms)")


def main(times: int = 15) -> None:
    names = list(Registry.load().entries("diagnostics"))
    print(f"{'workload':12} {'diagnostic':14} {'ms':>9} {'× a step':>8}")
    for workload in ("digits", "digits-cnn"):
        with torch_settings(threads=1):
            trainer = trainer_of(workload, [])
            run = trainer.run(Trial(trainer.setup.comparison.arms[0], 0), None)
            step = seconds(lambda run=run: run.update(torch.arange(ROWS)), 20 * times)
            print(f"{workload:12} {'a step':14} {step * 1e3:9.2f} {1:8.1f}")
            of_diagnostics(workload, names, step, times)
            of_norms(workload, step, times)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
