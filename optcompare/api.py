"""``compare()``: wires resolving, rehearsing, running and saving. The command line does the same in steps."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from . import rundir
from .comparison import UNITS, Budget, Comparison, Trial, Unit
from .errors import ComparisonError
from .registry import Registry
from .rehearsal import Estimate, rehearse
from .resolve import OptimizerLike, StrategyLike, resolve, restore
from .result import Result, describe
from .runner import Measured, Observer, run, stop_on_interrupt
from .seeds import preserved_rng
from .start import Order
from .train.contender import Setup
from .train.device import describe as describe_device
from .train.device import resolve as resolve_device
from .train.landscape import landscape
from .train.loop import LoopTrainer
from .workload import Workload


def compare(
    workload: str | Workload = "line",
    strategies: str | Sequence[StrategyLike] | StrategyLike = ("full", "mini", "single"),
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",),
    *,
    lr: float | None = None,
    seeds: int | Sequence[int] = 10,
    first_seed: int = 0,
    epochs: int | None = None,
    updates: int | None = None,
    samples: int | None = None,
    seconds: float | None = None,
    device: str | torch.device = "auto",
    dtype: str = "float32",
    threads: int = 1,
    chunk: int | None = None,
    eval_chunk: int | None = None,
    measure: int = 1,
    order: Order | None = None,
    plugins: str | Sequence[str] = (),
    out: str | Path | None = None,
    observer: Observer | None = None,
) -> Result:
    """Trains every arm from identical weights over an identical order of samples, and returns what was measured.

    - ``workload``: a name or spec (``"digits"``, ``"csv:data.csv:y=price"``, ``"my.py:make"``) or a :class:`Workload`;
    - ``strategies``, ``optimizers``: names, specs (``"mini:64"``, ``"adam:lr=0.001"``) or objects; a strategy without
      ``@optimizer`` is crossed with every optimizer;
    - ``lr``: for arms whose spec gives none; else the workload's for that optimizer, else the optimizer's default;
    - ``seeds``: how many, from ``first_seed``, or a sequence of them;
    - one of ``epochs``, ``updates``, ``samples``, ``seconds`` (of each trial's own training): the budget of every trial,
      by default the workload's epochs;
    - ``chunk``, ``eval_chunk``: rows in one forward pass, in training and in evaluation;
    - ``measure``: marks an epoch at which every arm is measured (0: only before and after);
    - ``order(seed, epoch, n)``: int64[n], replaces the shared shuffled order for all arms;
    - ``plugins``: paths of Python files or names of modules; ``out``: a new run directory to write.

    Ctrl-C returns what was measured until then, with ``status`` "interrupted". The caller's generators, thread count
    and torch flags are left as they were. Raises :class:`OptcompareError` with one line for whatever cannot be run.
    """
    plugins = (plugins,) if isinstance(plugins, str) else tuple(plugins)
    prepared = prepare(
        Registry.load(plugins),
        workload=workload,
        strategies=strategies,
        optimizers=optimizers,
        lr=lr,
        budget=one_budget({"epochs": epochs, "updates": updates, "samples": samples, "seconds": seconds}),
        seeds=seed_list(seeds, first_seed),
        device=str(device),
        dtype=dtype,
        threads=threads,
        chunk=chunk,
        eval_chunk=eval_chunk,
        measure=measure,
        order=order,
        plugins=plugins,
    )
    return execute(prepared, out=None if out is None else Path(out), observer=observer)


@dataclass(frozen=True)
class Prepared:
    """A comparison that passed its rehearsal: ready to be run, or only to be shown."""

    registry: Registry
    setup: Setup
    trainer: LoopTrainer
    estimates: list[Estimate]
    notes: list[str]


def prepare(registry: Registry, *, device: str = "auto", dtype: str = "float32", **question: Any) -> Prepared:
    """Resolves a question (the arguments of :func:`compare`) and rehearses it; nothing is written."""
    setup, notes = resolve(registry, device=str(resolve_device(device, dtype)), dtype=dtype, **question)
    return _rehearsed(registry, setup, notes)


def prepare_again(registry: Registry, comparison: Comparison) -> Prepared:
    """The same for a saved comparison."""
    resolve_device(comparison.device, comparison.dtype)
    setup, notes = restore(registry, comparison)
    return _rehearsed(registry, setup, notes)


def execute(
    prepared: Prepared, out: Path | None = None, observer: Observer | None = None, formats: Sequence[str] = ("png",)
) -> Result:
    """Trains everything, tells the observers, and writes the run directory if one is named."""
    comparison, registry = prepared.setup.comparison, prepared.registry
    environment = describe_environment(prepared)
    with torch_as_agreed(comparison.threads), stop_on_interrupt() as stop:
        if out is not None:
            rundir.claim(out)
            rundir.write_json(out, describe(comparison, "running", environment, prepared.notes, []))
        registry.notify("run_started", comparison=comparison)
        measured = run(prepared.trainer, prepared.estimates, _Observers(registry, observer), stop)
        paths = _paths(prepared.trainer, measured)
    result = Result(
        comparison=comparison,
        records=pd.DataFrame(measured.records),
        trials=pd.DataFrame(measured.outcomes),
        certificate=measured.certificate,
        status="interrupted" if measured.interrupted else "finished",
        notes=prepared.notes,
        environment=environment,
        paths=paths,
        weights=measured.weights,
        workload=prepared.setup.workload,
    )
    if out is not None:
        result.write(out, formats)
    registry.notify("run_finished", result=result)
    return result


def one_budget(given: Mapping[str, float | None]) -> Budget | None:
    """The budget of ``{"epochs": 20, "updates": None, …}``; None if none is given, an error if several are."""
    chosen: list[tuple[Unit, float]] = [(unit, amount) for unit in UNITS if (amount := given.get(unit)) is not None]
    if len(chosen) > 1:
        raise ComparisonError(f"give one budget, not {len(chosen)}: {', '.join(unit for unit, _ in chosen)}")
    return Budget(*chosen[0]) if chosen else None


def seed_list(seeds: int | Sequence[int], first: int = 0) -> tuple[int, ...]:
    """``seeds`` seeds from ``first`` on, or the given ones."""
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        return tuple(seeds)
    if not isinstance(seeds, int):
        raise ComparisonError(f"seeds must be how many, or a list of them, got {seeds!r}")
    if seeds < 1:
        raise ComparisonError(f"a comparison needs at least 1 seed, got {seeds}")
    return tuple(range(first, first + seeds))


@contextmanager
def torch_as_agreed(threads: int) -> Iterator[None]:
    """The comparison's thread count, float32 on the CPU by default and gradients on; the caller's settings come back."""
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    with preserved_rng(), torch.enable_grad():
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        if before[2].type != "cpu":
            torch.set_default_device("cpu")
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_default_dtype(before[1])
            if before[2].type != "cpu":
                torch.set_default_device(before[2])


def describe_environment(prepared: Prepared) -> dict[str, Any]:
    """Versions, hardware and plugins, for the record."""
    from . import __version__

    return {
        "optcompare": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "device": describe_device(prepared.trainer.device),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "plugins": [dataclasses.asdict(plugin) for plugin in prepared.registry.plugins()],
    }


def _rehearsed(registry: Registry, setup: Setup, notes: list[str]) -> Prepared:
    with torch_as_agreed(setup.comparison.threads):
        trainer = LoopTrainer(setup)
        return Prepared(registry, setup, trainer, rehearse(trainer), notes)


def _paths(trainer: LoopTrainer, measured: Measured) -> pd.DataFrame | None:
    if not measured.paths:
        return None
    return landscape(trainer, pd.DataFrame(measured.paths), trainer.setup.comparison.seeds[0])


class _Observers:
    """Plugins that listen, and the one observer handed in."""

    def __init__(self, registry: Registry, observer: Observer | None) -> None:
        self._registry, self._observer = registry, observer
        self._heard = registry.observes("measured")

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        if self._heard:
            self._registry.notify("measured", trial=trial, record=record)
        if self._observer is not None:
            self._observer.measured(trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._registry.notify("trial_finished", trial=trial, outcome=outcome)
        if self._observer is not None:
            self._observer.trial_finished(trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        if self._observer is not None:
            self._observer.advanced(done, of, fraction, seconds_left)
