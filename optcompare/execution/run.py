"""Carries out a comparison: where tasks run, what is kept, what is written."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.pca import joint_plane
from ..core.bounds import MOST_JOBS, whole
from ..core.comparison import Comparison, Trial
from ..errors import ComparisonError, RunDirectoryError
from ..interfaces.executor import Demand
from ..planning.factories import make_executor
from ..planning.prepare import Prepared
from ..registry.manager import Registry
from ..report.figures import save_figures
from ..report.panels import make_panels
from ..report.result import Result
from ..results.tables import describe
from ..storage import run_dir
from ..storage.journal import Journal
from ..storage.looks_file import looks_so_far
from ..storage.previous_run import PreviousRun
from ..storage.provenance import describe_environment, other_sources
from ..storage.resume import refuse_changes
from ..storage.run_tables import forget_parts
from ..storage.under_way import PROCESS, this_process
from ..training.device import torch_as_agreed
from ..training.lanes.memory import memory_limit
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.landscape import landscape
from ..training.loop.trainer import LoopTrainer
from .backends import Backend, ExecutorBackend, LocalBackend
from .earlier_looks import looks_of, note_looks_at_merged_runs, note_unrecorded_look, refuse_missing_looks
from .expected_time import expected_time
from .measured import Measured
from .runner import Observer, Runner
from .same_bits import refuse_other_bits
from .scheduler import Tasks
from .select_lr import choose_rates, with_closer_rates
from .stopping import Stop, stop_on_interrupt
from .study import measured_beside
from .table_order import as_planned
from .tracker_process import tracking


@dataclass(frozen=True)
class How:
    """How a run is carried out, which changes nothing of what is measured but the seconds.

    - ``observers``: are told what happens; ``track``: trackers that are told in processes of their own, as
      "name:address";
    - ``say``: is told in a line each which trainer takes which trials, and why;
    - ``formats``: of the plot; ``metric``: the column that it shows; ``memory``: memory limit for vectorized
      trials, as "4GB" or "25%";
    - ``checkpoint``: seconds between checkpoints; ``keep_states``: bytes of final states to keep, from which
      trials can be trained on;
    - ``jobs``: trials at once, each in a process of its own; ``executor``: "name:address", or one that is
      there already.
    """

    observers: Sequence[Observer] = ()
    track: Sequence[str] = ()
    say: Callable[[str], None] | None = None
    formats: Sequence[str] = ("png",)
    metric: str | None = None
    memory: str | None = None
    checkpoint: float = 10.0
    keep_states: float = 2**30
    jobs: int | None = None
    executor: str | Executor | None = None

    def __post_init__(self) -> None:
        if not self.checkpoint >= 0:
            raise ComparisonError(f"checkpoint takes seconds, 0 or more, got {self.checkpoint:g}")
        if self.jobs is not None:
            whole("jobs", self.jobs, 1, MOST_JOBS)


def go_on(prepared: Prepared, earlier: PreviousRun, how: How, *, force: bool = False) -> Result:
    """:func:`execute` in the directory of an earlier run; raises where something else than the question
    changed.
    """
    now = _now(prepared)
    said = refuse_changes(earlier.environment, now, force)
    maker = other_sources(earlier.environment, now)
    if maker and not force:
        said.append(refuse_other_bits(prepared.trainer, earlier, maker))
    said += refuse_missing_looks(earlier.directory, force)
    noted = dataclasses.replace(prepared, notes=list(dict.fromkeys([*prepared.notes, *earlier.notes, *said])))
    return execute(noted, earlier.directory, how, earlier)


def execute(
    prepared: Prepared, out: Path | None = None, how: How | None = None, earlier: PreviousRun | None = None
) -> Result:
    """Trains everything, tells the observers, and writes the run directory if one is named.

    ``earlier``: what an earlier run left in ``out``, which is not trained again.
    """
    how = how or How()
    comparison, registry = prepared.setup.comparison, prepared.registry
    environment = _environment(prepared, earlier)
    with ExitStack() as stack:
        stack.enter_context(torch_as_agreed(comparison.threads, comparison.deterministic))
        stop = stack.enter_context(stop_on_interrupt())
        trackers = stack.enter_context(tracking(registry, how.track, out))
        work = stack.enter_context(_workplace(prepared, how, stop, trackers))
        if out is not None:
            stack.enter_context(run_dir.reserved(out, occupied=earlier is not None))
            note_unrecorded_look(out)
            note_looks_at_merged_runs(out)
            about = describe(comparison, "running", environment, prepared.notes, [])
            run_dir.write_json(out, {**about, "looks": looks_so_far(out), PROCESS: this_process()})
        registry.notify("run_started", comparison=comparison)
        for tracker in trackers:
            tracker.run_started(comparison)
        journal = Journal(out, work.told.trial_finished, keep=how.keep_states, pause=how.checkpoint)
        stack.enter_context(_naming_what_is_kept(journal, out))
        rounds = [comparison.tuning_trials(), comparison.closer_trials(), comparison.trials()]
        planned = [trial for trials in rounds for trial in trials]
        expected = expected_time(work.tasks, prepared.estimates, rounds, work.jobs)
        runner = Runner(work.tasks, work.backend, expected, planned, work.told, stop, journal, earlier)
        first = comparison.tuning_trials()
        runner.run(first)
        if comparison.tuning is not None and comparison.tuning.closer and not runner.measured.interrupted:
            comparison = with_closer_rates(comparison, *runner.tables())
            known = set(first)
            runner.run([trial for trial in comparison.tuning_trials() if trial not in known])
        said: list[str] = []
        if comparison.tuning is not None and not runner.measured.interrupted:
            comparison, said = choose_rates(comparison, *runner.tables())
        runner.run(comparison.trials())
        stop.saving = True
        records, trials = (as_planned(table, comparison) for table in runner.tables())
        measured = runner.measured
        checked = {
            "reference": dataclasses.asdict(prepared.reference),
            "traits": dataclasses.asdict(prepared.traits),
        }
        trained = {
            "trainers": work.choices,
            "jobs": work.jobs,
            "agreement": dataclasses.asdict(runner.agreement()),
        }
        beside: dict[str, Any] = {}
        if comparison.stop_at_goal and not measured.interrupted:
            beside, unknown = measured_beside(prepared.trainer.asking(comparison), records, trials)
            said += unknown
        notes = [*prepared.notes, *said, *_idle(trials, comparison)]
        result = Result(
            comparison=comparison,
            records=records,
            trials=trials,
            certificate=runner.certificate(prepared.reference, prepared.traits),
            status="interrupted" if measured.interrupted else "finished",
            notes=[*notes, *work.tasks.notes, *runner.notes, *journal.notes],
            environment=environment | checked | trained | beside,
            paths=_paths(prepared.trainer, measured),
            plane=_plane(comparison, measured),
            looks=looks_of(out),
            panels=make_panels(registry),
            weights=measured.weights,
            workload=prepared.setup.workload,
        )
        if out is not None:
            result.write(out, how.formats, how.metric)
            forget_parts(out)
            if comparison.tuning is not None and not measured.interrupted:
                save_figures([result], "tuning", out, how.formats)
        for tracker in trackers:
            tracker.run_finished(result)
    registry.notify("run_finished", result=result)
    return result


@contextmanager
def _naming_what_is_kept(journal: Journal, out: Path | None) -> Iterator[None]:
    """Where a run directory cannot be written any more: says how to go on with what is in it."""
    try:
        yield
    except RunDirectoryError as error:
        if not journal.holds_trials:
            raise
        advice = (
            f"trials that ended before are kept; once it can be written, optcompare run --resume {out} goes "
            "on"
        )
        raise RunDirectoryError(f"{error}; {advice}") from error


@dataclass(frozen=True)
class _Work:
    """Who trains, where, and who is told. ``jobs``: trials at once; ``choices``: which trainer took what."""

    tasks: Tasks
    backend: Backend
    told: _Observers
    jobs: int
    choices: list[str]


@contextmanager
def _workplace(prepared: Prepared, how: How, stop: Stop, trackers: Sequence[Observer]) -> Iterator[_Work]:
    """This process, or an executor: one that was made here ends here, at once where an error or a second
    Ctrl-C says so.
    """
    comparison, loop = prepared.setup.comparison, prepared.trainer
    choices: list[str] = []

    def chosen(line: str) -> None:
        choices.append(line)
        if how.say is not None:
            how.say(line)

    told = _Observers(prepared.registry, [*trackers, *how.observers])
    planned = [comparison.tuning_trials(), comparison.trials()]
    lanes = LanesTrainer(loop, memory_limit(how.memory, loop.device), chosen)
    if how.executor is None and (how.jobs or 1) == 1:
        local = LocalBackend(loop, lanes, lambda: stop.asked)
        yield _Work(Tasks(lanes, prepared.estimates, planned, chosen), local, told, 1, choices)
        return
    if comparison.budget.unit == "seconds":
        raise ComparisonError(
            "a budget of seconds needs the machine for one trial at a time; leave out --jobs and --executor"
        )
    demand = Demand(how.jobs, comparison.threads, comparison.device)
    name = how.executor or "processes"
    executor = make_executor(prepared.registry, name, demand) if isinstance(name, str) else name
    jobs = how.jobs or getattr(executor, "jobs", None) or os.cpu_count() or 1
    calm = False
    try:
        tasks = Tasks(lanes, prepared.estimates, planned, chosen, workers=jobs)
        expected = {estimate.arm.label: estimate.seconds for estimate in prepared.estimates}
        backend = ExecutorBackend(executor, jobs, tasks, how.memory, expected, lambda: stop.asked)
        yield _Work(tasks, backend, told, jobs, choices)
        calm = not stop.at_once
    finally:
        if isinstance(name, str):
            executor.shutdown(wait=calm)


def _environment(prepared: Prepared, earlier: PreviousRun | None) -> dict[str, Any]:
    """What the run depends on, with what an earlier one depended on."""
    environment = _now(prepared)
    if earlier is not None:
        begun = {name: value for name, value in earlier.environment.items() if name != "earlier"}
        environment["earlier"] = [*earlier.environment.get("earlier", []), begun]
        environment["agreement"] = earlier.environment.get("agreement", {})
    return environment


def _now(prepared: Prepared) -> dict[str, Any]:
    """What a run depends on here and now."""
    setup, trainer = prepared.setup, prepared.trainer
    return describe_environment(
        prepared.registry, setup.workload, trainer.device, setup.comparison.threads, trainer.other_splits()
    )


def _idle(trials: pd.DataFrame, comparison: Comparison) -> list[str]:
    """Arms some of whose trials ended before their first update, whose optimizer asked for more than the
    budget.
    """
    if trials.empty:
        return []
    spent = (trials["status"] == "finished") & (
        trials["reason"] == ""
    )  # one that was at its goal needed none
    ended = trials[(trials["phase"] == "report") & spent]
    return [
        f"{arm}: {(updates == 0).sum()} of {len(updates)} trials made no update: the first would exceed the "
        "budget of "
        f"{comparison.budget}; give more"
        for arm, updates in ended.groupby("arm", sort=False)["updates"]
        if (updates == 0).any()
    ]


def _paths(trainer: LoopTrainer, measured: Measured) -> pd.DataFrame | None:
    if not measured.paths:
        return None
    comparison = trainer.setup.comparison
    return _of_first_repeat(landscape(trainer, pd.DataFrame(measured.paths), comparison.seeds[0]), comparison)


def _plane(comparison: Comparison, measured: Measured) -> pd.DataFrame | None:
    """Of the arms in their order; None where none was asked for, or nothing was measured."""
    there = [arm.label for arm in comparison.arms if arm.label in measured.snapshots]
    if not there:
        return None
    return _of_first_repeat(
        joint_plane({arm: measured.snapshots[arm] for arm in there}, comparison.seeds[0]), comparison
    )


def _of_first_repeat(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """With the tuning repeat whose trials alone are followed, where there are several."""
    return table.assign(repeat=1) if comparison.repeats > 1 else table


class _Observers:
    """Plugins that listen, and the observers handed in."""

    def __init__(self, registry: Registry, observers: Sequence[Observer]) -> None:
        self._registry, self._observers = registry, observers
        self._heard = registry.observes("measured")

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        if self._heard:
            self._registry.notify("measured", trial=trial, record=record)
        for observer in self._observers:
            observer.measured(trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._registry.notify("trial_finished", trial=trial, outcome=outcome)
        for observer in self._observers:
            observer.trial_finished(trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        for observer in self._observers:
            observer.advanced(done, of, fraction, seconds_left)
