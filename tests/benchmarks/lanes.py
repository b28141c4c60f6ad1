"""Trials side by side against loops and against the same updates in JAX; one thread each.

``python tests/benchmarks/lanes.py [steady|command]`` prints a table for each (default: both), with every goal
as met or missed, and exits with 0 whatever it finds. ``--engine xla|inductor|traced|vmapped`` forces the
engine of the lanes. ``--workload --optimizer --batch --lanes`` choose rows of ``steady``, and ``--rows TEXT``
those of ``command`` whose label contains the text.

``steady``: µs per update and lane, measuring off, as medians over interleaved rounds. By hand: the loop that
anyone would write, its shuffling included. Loop: optcompare's loop trainer. Lanes: the whole of
``advance()``, once programs are compiled, the planning of each epoch and the states that it returns included.
JAX: ``jit(vmap(scan))`` over indices that were drawn before, of whole batches only, once compiled. Compile:
the seconds that ``-v`` shows for the program of this batch size; for inductor ``cached`` if it was there.

``command``: see ``lanes_command.py``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lanes_command import command
from native_jax import OPTIMIZERS, UPDATES_A_CALL, by_jax, jax_or_none
from printed import goal, load
from torch import nn

from optcompare.core.choices import ENGINE_CHOICES, EngineChoice
from optcompare.core.comparison import Budget, Trial
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.loop.trainer import LoopTrainer


@dataclass(frozen=True)
class Case:
    """A row of ``steady``: a workload, an optimizer, rows of a batch, and lanes."""

    workload: str
    optimizer: str
    batch: int
    lanes: int


CASES = [
    Case(workload, optimizer, batch, lanes)
    for workload, optimizers, batches, widths in (
        ("digits", ("sgd", "adam"), (1, 32), (1, 10, 100)),
        ("line", ("sgd",), (1, 2), (1, 10, 100)),
        ("digits-cnn", ("sgd",), (1, 32), (1, 10)),
        ("stdlib-text", ("sgd",), (1, 32), (1, 10)),
    )
    for optimizer in optimizers
    for batch in batches
    for lanes in widths
]
OF_HAND = {
    ("digits", 1, 10): 60,
    ("digits", 1, 100): 200,
    ("digits", 32, 10): 15,
    ("digits", 32, 100): 20,
    ("line", 1, 10): 100,
    ("line", 2, 10): 100,
    ("digits-cnn", 1, 1): 1,
    ("digits-cnn", 1, 10): 5,
    ("digits-cnn", 32, 1): 1,
    ("digits-cnn", 32, 10): 2,
    ("stdlib-text", 1, 1): 1,
    ("stdlib-text", 1, 10): 2,
    ("stdlib-text", 32, 1): 1,
    ("stdlib-text", 32, 10): 1,
}
"""By workload, batch size and lanes: how many times faster than by hand, at least."""
OF_LOOP = {("line", 1, 10): 100, ("line", 2, 10): 100}
"""How many times faster than the loop trainer, at least."""
OF_JAX = {("digits", batch, lanes): 1.1 for batch in (1, 32) for lanes in (10, 100)}
"""How many times the seconds of JAX, at most."""
COMPILE_SECONDS = 2.0

ROUNDS, SECONDS = 5, 1.0
_COMPILED = re.compile(r"compiled by (?:XLA|inductor) in ([\d.]+) s")

Timer = Callable[[], float]


def by_hand(loop: LoopTrainer, size: int) -> Timer:
    """Return a timer of seconds per update of the loop that anyone would write, over whole epochs."""
    workload, arm = loop.setup.workload, loop.setup.comparison.arms[0]
    x, y = workload.train  # type: ignore[misc]
    loss_of = workload.loss or nn.functional.mse_loss
    torch.manual_seed(0)
    model = workload.model()
    optimizer = OPTIMIZERS[arm.optimizer.label](model.parameters(), lr=arm.lr)

    def timed() -> float:
        made, began = 0, perf_counter()
        while perf_counter() - began < SECONDS / 2:
            batches = torch.randperm(len(x)).split(size)
            for batch in batches:
                optimizer.zero_grad()
                loss_of(model(x[batch]), y[batch]).backward()
                optimizer.step()
            made += len(batches)
        return (perf_counter() - began) / made

    return timed


def by_loop(loop: LoopTrainer) -> Timer:
    """Return a timer of seconds per update of the loop trainer, from where the last call ended."""
    trial = Trial(loop.setup.comparison.arms[0], 0)
    state: Any = None

    def timed() -> float:
        nonlocal state
        before = 0 if state is None else state["progress"]["updates"]
        began = perf_counter()
        _, state = loop.advance([trial], state, lambda: perf_counter() - began > SECONDS / 2)
        return (perf_counter() - began) / float(state["progress"]["updates"] - before)

    return timed


class Lanes:
    """Train trials on from where the last call left them, on the engine that a run would use.

    Args:
        loop: The loop trainer of the same setup.
        size: Rows of a batch.
        width: Lanes.

    Attributes:
        engine: The engine that made the last updates.
        compile: The seconds in which the program was compiled; None: it was not, or before.

    Raises:
        RuntimeError: The trials do not run as one group of lanes.
    """

    def __init__(self, loop: LoopTrainer, size: int, width: int) -> None:
        self._said: list[str] = []
        self._trainer = LanesTrainer(loop, memory=8e9, say=self._said.append)
        admitted = self._trainer.admit([Trial(loop.setup.comparison.arms[0], seed) for seed in range(width)])
        if admitted.refused or len(admitted.groups) > 1:
            raise RuntimeError(f"not one group: {admitted.refused[:1]}")
        self._trainer.wait()
        (self._trials,) = admitted.groups
        self._state: Any = None
        self.timed()  # compiles, or takes over what was compiled
        self._trainer.wait()
        self.timed()
        own = [line for line in self._said if line.startswith(f"batch size {size},")]
        seconds = [float(found[1]) for found in map(_COMPILED.search, own) if found]
        self.compile = max(seconds, default=None)
        self.engine = self._state["lanes"][0]["progress"]["engines"][-1]

    def timed(self) -> float:
        """Return seconds per update and lane."""
        before = 0 if self._state is None else self._state["lanes"][0]["progress"]["updates"]
        began = perf_counter()
        until = lambda: perf_counter() - began > SECONDS  # noqa: E731
        _, self._state = self._trainer.advance(self._trials, self._state, until)
        seconds = perf_counter() - began
        ends = [lane["progress"] for lane in self._state["lanes"]]
        if self._state["strayed"] or {end["status"] for end in ends} != {"running"}:
            raise RuntimeError(f"{self._state['strayed'] or ends[0]['reason'] or ends[0]['status']}")
        return seconds / float(ends[0]["updates"] - before) / len(self._trials)


def steady(cases: list[Case], engine: EngineChoice = "auto") -> None:
    """Print a row for each case.

    Args:
        cases: The rows.
        engine: The engine of the lanes; auto: the one that a run would use.
    """
    print(load())
    print(f"µs per update and lane, medians of {ROUNDS} interleaved rounds")
    print(
        f"{'workload':11} {'optimizer':9} {'batch':>5} {'lanes':>5} {'engine':>8} {'compile':>8} "
        f"{'by hand':>9} {'loop':>9} {'ours':>9} {'hand/ours':>9} {'loop/ours':>9} {'JAX':>9} {'ours/JAX':>8}"
    )
    for case in cases:
        try:
            row = _row(case, engine)
        except Exception as error:
            row = f"  failed: {' '.join(str(error).split())[:300]}"
        print(
            f"{case.workload:11} {case.optimizer:9} {case.batch:5} {case.lanes:5} {row}",
            flush=True,
        )
    if jax_or_none() is None:
        print("JAX is not installed, so nothing was compared with it: pip install 'optcompare[bench]'")


def trainer(case: Case, engine: EngineChoice = "auto") -> LoopTrainer:
    """Return the loop trainer of a case, with a budget that no benchmark reaches.

    Args:
        case: The row.
        engine: The engine of the lanes.
    """
    question = Question(
        workload=case.workload,
        strategies=[f"mini:{case.batch}"],
        optimizers=[case.optimizer],
        budget=Budget("updates", 100_000_000),
        seeds=tuple(range(case.lanes)),
        measure=0,
        trainer="lanes",
        engine=engine,
        device="cpu",
    )
    return LoopTrainer(resolve(Registry.load(), question)[0])


def _row(case: Case, engine: EngineChoice) -> str:
    native = case.workload in UPDATES_A_CALL and jax_or_none() is not None
    with torch_settings(threads=1):
        loop = trainer(case, engine)
        lanes = Lanes(loop, case.batch, case.lanes)
        timers = [by_hand(loop, case.batch), by_loop(loop), lanes.timed]
        timers += [by_jax(loop, case.batch, case.lanes, SECONDS)] if native else []
        rounds = [[timer() * 1e6 for timer in timers] for _ in range(ROUNDS + 1)][1:]
    hand, looped, ours, *jax = map(median, zip(*rounds, strict=True))
    of_hand, of_loop = (median(row[peer] / row[2] for row in rounds) for peer in (0, 1))
    of_jax = median(row[2] / row[3] for row in rounds) if jax else None
    key = case.workload, case.batch, case.lanes
    goals = [
        goal(of_hand, "≥", OF_HAND.get(key), "hand"),
        goal(of_loop, "≥", OF_LOOP.get(key), "loop"),
        goal(of_jax, "≤", OF_JAX.get(key), "JAX"),
        goal(lanes.compile, "≤", COMPILE_SECONDS, "compile"),
    ]
    compiled = f"{lanes.compile:.1f} s" if lanes.compile is not None else ""
    compiled = compiled or ("cached" if lanes.engine == "inductor" else "-")
    beside = f"{jax[0]:9.3f} {of_jax:8.2f}" if jax else f"{'-':>9} {'-':>8}"
    return (
        f"{lanes.engine:>8} {compiled:>8} {hand:9.1f} {looped:9.1f} {ours:9.3f} {of_hand:9.1f} "
        f"{of_loop:9.1f} {beside}   {', '.join(filter(None, goals))}"
    )


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the cases that the options choose.

    Args:
        options: The parsed command line.
    """
    for case in CASES:
        values = ((getattr(options, name), getattr(case, name)) for name in vars(case))
        if all(wanted is None or wanted == value for wanted, value in values):
            yield case


def main(arguments: list[str] | None = None) -> None:
    """Print the tables that the command line asks for.

    Args:
        arguments: The command line; None: that of the process.
    """
    parser = argparse.ArgumentParser(description="Lanes against loops and JAX.")
    parser.add_argument("part", nargs="?", choices=["steady", "command"], help="the table (default: both)")
    parser.add_argument("--engine", choices=ENGINE_CHOICES, default="auto", help="the engine of the lanes")
    for name, of in (("workload", str), ("optimizer", str), ("batch", int), ("lanes", int)):
        parser.add_argument(f"--{name}", type=of, help="of the rows of steady (default: all)")
    parser.add_argument("--rows", default="", help="a part of the labels of the rows of command")
    options = parser.parse_args(arguments)
    if options.part != "command":
        steady(list(chosen(options)), options.engine)
    if options.part != "steady":
        command(options.engine, options.rows)


if __name__ == "__main__":
    main()
