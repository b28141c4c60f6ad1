"""``compare()``: wires resolving, rehearsing, running and saving. The command line does the same in steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from . import rundir
from .comparison import UNITS, Budget, Comparison, LrScaling, TrainerName, Trial, Unit
from .errors import ComparisonError
from .figures import save_figures
from .journal import Journal, forget_parts
from .make import OptimizerLike, StrategyLike
from .provenance import describe_environment
from .registry import Registry
from .rehearsal import Estimate, rehearse
from .resolve import resolve, restore
from .result import Result, describe
from .resume import Earlier, refuse_changes, refuse_other_question
from .runner import Measured, Observer, Runner, stop_on_interrupt
from .seeds import preserved_rng
from .start import Order
from .statistics import compared_column
from .tasks import Tasks
from .train.contender import Setup
from .train.device import resolve as resolve_device
from .train.landscape import landscape
from .train.lanes import LanesTrainer
from .train.loop import LoopTrainer
from .train.memory import memory_limit
from .tuned import best_rates, rate_scores
from .workload import Workload


def compare(
    workload: str | Workload = "line",
    strategies: str | Sequence[StrategyLike] | StrategyLike = ("full", "mini", "single"),
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",),
    *,
    lr: float | Sequence[float] | None = None,
    lr_scaling: LrScaling = "none",
    tune: int | None = None,
    tune_range: tuple[float, float] | None = None,
    tune_seeds: int = 3,
    goal: str | None = None,
    baseline: str | None = None,
    control: bool = False,
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
    trainer: TrainerName = "auto",
    memory: str | None = None,
    order: Order | None = None,
    plugins: str | Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> Result:
    """Trains every arm from identical weights over an identical order of samples, and returns what was measured.

    - ``workload``: a name or spec (``"digits"``, ``"csv:data.csv:y=price"``, ``"my.py:make"``) or a :class:`Workload`;
    - ``strategies``, ``optimizers``: names, specs (``"mini:64"``, ``"adam:lr=0.001"``) or objects; a strategy without
      ``@optimizer`` is crossed with every optimizer;
    - ``lr``: for arms whose spec gives none (of several, each makes an arm); else the workload's for that optimizer,
      else the optimizer's default. ``lr_scaling``: "linear" or "sqrt" scales it from the workload's batch size to the
      arm's;
    - ``tune``: how many learning rates every arm tries on ``tune_seeds`` seeds of their own, log-spaced over
      ``tune_range``, by default from a thirtieth to thirty times its rate; the best by validation loss is reported;
    - ``goal``: as in "valid_loss=0.2"; ``baseline``: the label of the arm to compare with, by default the first;
      ``control``: adds the baseline again in other chunks, to show how much of a difference is only rounding;
    - ``seeds``: how many, from ``first_seed``, or a sequence of them;
    - one of ``epochs``, ``updates``, ``samples``, ``seconds`` (of each trial's own training): the budget of every trial,
      by default the workload's epochs;
    - ``chunk``, ``eval_chunk``: rows in one forward pass, in training and in evaluation;
    - ``measure``: marks an epoch at which every arm is measured (0: only before and after);
    - ``trainer``: "loop" trains one trial after another; "lanes" trains many as one program, as far as they can;
      "auto" takes lanes where they repay; ``memory``: what lanes may take, as "4GB" or "25%" of what is free (default half);
    - ``order(seed, epoch, n)``: int64[n], replaces the shared shuffled order for all arms;
    - ``plugins``: paths of Python files or names of modules; ``out``: a new run directory to write;
    - ``resume``: the run directory of the same comparison, stopped, or with fewer seeds or arms or a smaller budget: what
      is in it is not trained again; ``force``: even if versions, data or sources changed since.

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
        lr_scaling=lr_scaling,
        tune=tune,
        tune_range=tune_range,
        tune_seeds=tune_seeds,
        goal=goal,
        baseline=baseline,
        control=control,
        budget=one_budget({"epochs": epochs, "updates": updates, "samples": samples, "seconds": seconds}),
        seeds=seed_list(seeds, first_seed),
        device=str(device),
        dtype=dtype,
        threads=threads,
        chunk=chunk,
        eval_chunk=eval_chunk,
        measure=measure,
        trainer=trainer,
        order=order,
        plugins=plugins,
    )
    if resume is None:
        return execute(prepared, out=None if out is None else Path(out), observer=observer, memory=memory)
    if out is not None:
        raise ComparisonError("resume goes on in the directory of the earlier run; leave out `out`")
    earlier = Earlier.read(Path(resume))
    refuse_other_question(prepared.setup.comparison, earlier.comparison)
    return go_on(prepared, earlier, force=force, observer=observer, memory=memory)


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
    with preserved_rng():
        setup, notes = resolve(registry, device=str(resolve_device(device, dtype)), dtype=dtype, **question)
        return _rehearsed(registry, setup, notes)


def prepare_again(registry: Registry, comparison: Comparison) -> Prepared:
    """The same for a saved comparison."""
    resolve_device(comparison.device, comparison.dtype)
    with preserved_rng():
        setup, notes = restore(registry, comparison)
        return _rehearsed(registry, setup, notes)


def go_on(prepared: Prepared, earlier: Earlier, *, force: bool = False, **how: Any) -> Result:
    """:func:`execute` in the directory of an earlier run; raises where something else than the question changed."""
    setup = prepared.setup
    now = describe_environment(prepared.registry, setup.workload, prepared.trainer.device, setup.comparison.threads)
    said = refuse_changes(earlier.environment, now, force)
    noted = dataclasses.replace(prepared, notes=list(dict.fromkeys([*prepared.notes, *earlier.notes, *said])))
    return execute(noted, earlier.directory, earlier=earlier, **how)


def execute(
    prepared: Prepared,
    out: Path | None = None,
    observer: Observer | None = None,
    formats: Sequence[str] = ("png",),
    memory: str | None = None,
    say: Callable[[str], None] | None = None,
    earlier: Earlier | None = None,
    checkpoint: float = 10.0,
) -> Result:
    """Trains everything, tells the observers, and writes the run directory if one is named.

    ``say`` is told in a line each which trainer takes which trials, and why; ``earlier``: what an earlier run left in
    ``out``, which is not trained again; ``checkpoint``: seconds between checkpoints.
    """
    comparison, registry = prepared.setup.comparison, prepared.registry
    choices: list[str] = []

    def chosen(line: str) -> None:
        choices.append(line)
        if say is not None:
            say(line)

    lanes = LanesTrainer(prepared.trainer, memory_limit(memory, prepared.trainer.device), chosen)
    environment = describe_environment(registry, prepared.setup.workload, prepared.trainer.device, comparison.threads)
    if not checkpoint >= 0:
        raise ComparisonError(f"checkpoint takes seconds, 0 or more, got {checkpoint:g}")
    if earlier is not None:
        begun = {name: value for name, value in earlier.environment.items() if name != "earlier"}
        environment["earlier"] = [*earlier.environment.get("earlier", []), begun]
        environment["agreement"] = earlier.environment.get("agreement", {})
    with torch_as_agreed(comparison.threads), stop_on_interrupt() as stop:
        if out is not None:
            if earlier is None:
                rundir.claim(out)
            rundir.write_json(out, describe(comparison, "running", environment, prepared.notes, []))
        registry.notify("run_started", comparison=comparison)
        tuning, report = comparison.tuning_trials(), comparison.trials()
        tasks = Tasks(lanes, prepared.estimates, [tuning, report], chosen)
        told = _Observers(registry, observer)
        journal = Journal(out, told.trial_finished, pause=checkpoint)
        runner = Runner(tasks, prepared.estimates, [*tuning, *report], told, stop, journal, earlier)
        runner.run(tuning)
        comparison, said = choose_rates(comparison, *runner.tables()) if tuning else (comparison, [])
        runner.run(comparison.trials())
        stop.saving = True
        records, trials = runner.tables()
        measured = runner.measured
        result = Result(
            comparison=comparison,
            records=_as_planned(records, comparison),
            trials=_as_planned(trials, comparison),
            certificate=runner.certificate(),
            status="interrupted" if measured.interrupted else "finished",
            notes=[*prepared.notes, *said, *tasks.notes, *runner.notes],
            environment={**environment, "trainers": choices, "agreement": dataclasses.asdict(runner.agreement())},
            paths=_paths(prepared.trainer, measured),
            weights=measured.weights,
            workload=prepared.setup.workload,
        )
        if out is not None:
            result.write(out, formats)
            forget_parts(out)
            if comparison.tuning is not None and not measured.interrupted:
                save_figures([result], "tuning", out, formats)
    registry.notify("run_finished", result=result)
    return result


def choose_rates(comparison: Comparison, records: pd.DataFrame, trials: pd.DataFrame) -> tuple[Comparison, list[str]]:
    """The comparison with each arm's best learning rate, by its mean final loss over the tuning seeds.

    The second value says in words where the best lies at the edge of the grid, or every rate diverged.
    """
    if comparison.tuning is None or (trials["status"] == "interrupted").any():
        return comparison, []
    records, trials = (table[table["phase"] == "tune"] for table in (records, trials))
    best = best_rates(rate_scores(records, trials, compared_column(records))).set_index("arm")
    rates = {str(label): float(rate) for label, rate in best["lr"].items()}
    if comparison.control is not None:
        rates[comparison.control] = rates[str(comparison.baseline)]
    notes: list[str] = []
    lost = trials[trials["status"] == "failed"].groupby("arm", sort=False)["reason"]
    notes += [f"{arm}: {len(reasons)} tuning trials failed: {reasons.iloc[0]}" for arm, reasons in lost]
    for label, row in best.iterrows():
        if label in lost.groups:
            continue
        if row["all_diverged"]:
            notes.append(f"{label}: every learning rate that was tried diverged; tune lower with --tune-range")
        elif row["at_edge"]:
            tried = comparison.tuning.rates[str(label)]
            notes.append(
                f"{label}: the best learning rate, {row['lr']:g}, lies at the edge of the grid from {min(tried):g} to "
                f"{max(tried):g}; a better one may lie beyond it (--tune-range)"
            )
    return comparison.with_rates(rates), notes


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


def _rehearsed(registry: Registry, setup: Setup, notes: list[str]) -> Prepared:
    with torch_as_agreed(setup.comparison.threads):
        trainer = LoopTrainer(setup)
        return Prepared(registry, setup, trainer, rehearse(trainer), notes)


def _as_planned(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Rows seed by seed and arm by arm, tuning first, in whatever order the trials were trained."""
    if table.empty:
        return table
    seeds = [*(comparison.tuning.seed_list() if comparison.tuning else ()), *comparison.seeds]
    labels = [arm.label for arm in comparison.arms]
    keys = [
        table["lr"].to_numpy(),
        *(_places(table[name], order) for name, order in (("arm", labels), ("seed", seeds))),
    ]
    rows = np.lexsort(keys)
    return table if (rows[1:] > rows[:-1]).all() else table.take(rows).reset_index(drop=True)


def _places(values: pd.Series, order: Sequence[Any]) -> np.ndarray:
    """Where each value stands in ``order``."""
    found, distinct = pd.factorize(values)
    return np.asarray(pd.Index(order).get_indexer(pd.Index(distinct)))[found]


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
