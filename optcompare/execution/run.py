"""Run a comparison: train its trials, measure, and write its run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..analysis.pca import joint_plane
from ..core.comparison import Comparison
from ..errors import RunDirectoryError
from ..planning.prepare import Prepared
from ..report.figures import save_figures
from ..report.panels import make_panels
from ..report.result import Result
from ..results.description import describe
from ..storage import run_dir
from ..storage.journal import Journal
from ..storage.looks_file import looks_so_far
from ..storage.previous_run import PreviousRun
from ..storage.provenance import describe_environment, other_sources
from ..storage.resume import refuse_changes
from ..storage.run_tables import forget_parts
from ..storage.under_way import PROCESS, this_process
from ..training.device import torch_settings
from ..training.loop.landscape import landscape
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation_rows import all_rows
from .expected_time import expected_time
from .measured import Measured
from .open_backend import OpenBackend, open_backend
from .past_looks import looks_of, note_looks_at_merged_runs, note_unrecorded_look, refuse_missing_looks
from .run_options import RunOptions
from .runner import Runner
from .same_bits import refuse_other_bits
from .select_lr import choose_rates, with_closer_rates
from .shared_backend import SharedBackend
from .stopping import Stop, stop_on_interrupt
from .study import study_measurements
from .table_order import as_planned
from .tracker_process import Tracked, tracking


@dataclass(frozen=True)
class _Run:
    """Hold the parts of a run that is under way."""

    prepared: Prepared
    out: Path | None
    environment: dict[str, Any]
    stop: Stop
    trackers: Sequence[Tracked]
    backend: OpenBackend
    journal: Journal
    runner: Runner


def execute(
    prepared: Prepared,
    out: Path | None = None,
    options: RunOptions | None = None,
    previous: PreviousRun | None = None,
) -> Result:
    """Train all trials of a comparison.

    Args:
        prepared: The prepared comparison.
        out: The run directory; None: nothing is written.
        options: The run options; None: the defaults.
        previous: The previous run in ``out``; its trials are not trained again.

    Returns:
        The result; of an interrupted run, with the measurements until then.

    Raises:
        OptcompareError: The comparison cannot be run, or the run directory cannot be written.
    """
    options = options or RunOptions()
    with _started(prepared, out, options, previous) as run:
        comparison, notes = _train(run)
        run.stop.saving = True
        result = _result(run, comparison, notes)
        if out is not None:
            _write(result, out, options)
        for tracker in run.trackers:
            tracker.run_finished(result)
    prepared.registry.notify("run_finished", result=result)
    return result


def resume(prepared: Prepared, previous: PreviousRun, options: RunOptions, *, force: bool = False) -> Result:
    """Continue a previous run in its directory.

    Args:
        prepared: The comparison of the previous run, possibly extended.
        previous: The previous run.
        options: The run options.
        force: Continue although versions, data, sources or recorded looks changed, and note that.

    Returns:
        The result of both runs together.

    Raises:
        OptcompareError: Versions, data, sources or recorded looks changed, or the comparison cannot be run.
    """
    now = _environment_now(prepared)
    notes = refuse_changes(previous.environment, now, force)
    other = other_sources(previous.environment, now)
    if other and not force:
        notes.append(refuse_other_bits(prepared.trainer, previous, other))
    notes += refuse_missing_looks(previous.directory, force)
    all_notes = list(dict.fromkeys([*prepared.notes, *previous.notes, *notes]))
    previous = previous.with_columns(all_rows(prepared.setup.workload))
    return execute(dataclasses.replace(prepared, notes=all_notes), previous.directory, options, previous)


@contextmanager
def _started(
    prepared: Prepared, out: Path | None, options: RunOptions, previous: PreviousRun | None
) -> Iterator[_Run]:
    """Set up torch, signals, trackers, workers and the run directory, and close them at the end."""
    comparison, registry = prepared.setup.comparison, prepared.registry
    environment = _environment(prepared, previous)
    with ExitStack() as stack:
        stack.enter_context(torch_settings(comparison.threads, comparison.deterministic))
        stop = stack.enter_context(stop_on_interrupt())
        trackers = stack.enter_context(tracking(registry, options.track, out))
        backend = stack.enter_context(open_backend(prepared, options, stop, trackers, previous))
        if out is not None:
            stack.enter_context(run_dir.reserved(out, occupied=previous is not None))
            note_unrecorded_look(out)
            note_looks_at_merged_runs(out)
            about = describe(comparison, "running", environment, prepared.notes, [])
            run_dir.write_json(out, {**about, "looks": looks_so_far(out), PROCESS: this_process()})
        registry.notify("run_started", comparison=comparison)
        for tracker in trackers:
            tracker.run_started(comparison)
        observers = backend.observers
        journal = Journal(out, observers.trial_finished, keep=options.keep_states, pause=options.checkpoint)
        stack.enter_context(_advice_on_kept_trials(journal, out))
        rounds = [comparison.tuning_trials(), comparison.closer_trials(), comparison.trials()]
        planned = [trial for trials in rounds for trial in trials]
        shared = isinstance(backend.backend, SharedBackend)
        expected = expected_time(backend.tasks, prepared.estimates, rounds, backend.jobs, shared)
        runner = Runner(backend.tasks, backend.backend, expected, planned, observers, stop, journal, previous)
        yield _Run(prepared, out, environment, stop, trackers, backend, journal, runner)


def _train(run: _Run) -> tuple[Comparison, list[str]]:
    """Train the rounds of tuning and the report; return the comparison with tuned rates, and notes."""
    comparison, runner, notes = run.prepared.setup.comparison, run.runner, list[str]()
    first = comparison.tuning_trials()
    runner.run(first)
    if comparison.tuning is not None and comparison.tuning.closer and not runner.measured.interrupted:
        comparison = with_closer_rates(comparison, *runner.tables())
        trained = set(first)
        runner.run([trial for trial in comparison.tuning_trials() if trial not in trained])
    if comparison.tuning is not None and not runner.measured.interrupted:
        comparison, notes = choose_rates(comparison, *runner.tables())
    runner.run(comparison.trials())
    return comparison, notes


def _result(run: _Run, comparison: Comparison, notes: Sequence[str]) -> Result:
    """Collect the measurements of a run, and make those of a study after its trials have ended."""
    prepared, backend, runner = run.prepared, run.backend, run.runner
    records, trials = (as_planned(table, comparison) for table in runner.tables())
    measured = runner.measured
    certificate = runner.certificate(prepared.reference, prepared.traits)
    environment = run.environment | {
        "reference": dataclasses.asdict(prepared.reference),
        "traits": dataclasses.asdict(prepared.traits),
        "trainers": backend.choices,
        "jobs": backend.jobs,
        "agreement": dataclasses.asdict(runner.agreement()),
    }
    notes = [*prepared.notes, *notes]
    if comparison.stop_at_goal and not measured.interrupted:
        further, missing = study_measurements(prepared.trainer.for_comparison(comparison), records, trials)
        environment |= further
        notes += missing
    notes += [*_without_update(trials, comparison), *backend.tasks.notes, *runner.notes, *run.journal.notes]
    return Result(
        comparison=comparison,
        records=records,
        trials=trials,
        certificate=certificate,
        status="interrupted" if measured.interrupted else "finished",
        notes=notes,
        environment=environment,
        paths=_paths(prepared.trainer, measured),
        plane=_plane(comparison, measured),
        looks=looks_of(run.out),
        panels=make_panels(prepared.registry),
        weights=measured.weights,
        workload=prepared.setup.workload,
    )


def _write(result: Result, out: Path, options: RunOptions) -> None:
    """Write the run directory, and delete the parts that only an interrupted run needs."""
    result.write(out, options.formats, options.metric)
    forget_parts(out)
    if result.comparison.tuning is not None and result.status == "finished":
        save_figures([result], "tuning", out, options.formats)


@contextmanager
def _advice_on_kept_trials(journal: Journal, out: Path | None) -> Iterator[None]:
    """Add advice on continuing the run to the error of a run directory that can no longer be written."""
    try:
        yield
    except RunDirectoryError as error:
        if not journal.holds_trials:
            raise
        raise RunDirectoryError(
            f"{error}; trials that ended before are kept; once it can be written, optcompare run --resume "
            f"{out} goes on"
        ) from error


def _environment(prepared: Prepared, previous: PreviousRun | None) -> dict[str, Any]:
    """Describe the environment of this run and those of the previous ones."""
    environment = _environment_now(prepared)
    if previous is not None:
        before = {name: value for name, value in previous.environment.items() if name != "earlier"}
        environment["earlier"] = [*previous.environment.get("earlier", []), before]
        environment["agreement"] = previous.environment.get("agreement", {})
    return environment


def _environment_now(prepared: Prepared) -> dict[str, Any]:
    """Describe versions, hardware, data and sources of this process."""
    setup, trainer = prepared.setup, prepared.trainer
    return describe_environment(
        prepared.registry, setup.workload, trainer.device, setup.comparison.threads, trainer.other_splits()
    )


def _without_update(trials: pd.DataFrame, comparison: Comparison) -> list[str]:
    """Note arms with trials whose first update would exceed the budget."""
    if trials.empty:
        return []
    # A trial that stopped at its goal has a reason, and may need no update.
    at_end = (trials["status"] == "finished") & (trials["reason"] == "")
    ended = trials[(trials["phase"] == "report") & at_end]
    return [
        f"{arm}: {(updates == 0).sum()} of {len(updates)} trials made no update: the first would exceed the "
        f"budget of {comparison.budget}; give more"
        for arm, updates in ended.groupby("arm", sort=False)["updates"]
        if (updates == 0).any()
    ]


def _paths(trainer: LoopTrainer, measured: Measured) -> pd.DataFrame | None:
    """Return the paths of two weights with the loss around them; None if no paths were recorded."""
    if not measured.paths:
        return None
    comparison = trainer.setup.comparison
    return _of_first_repeat(landscape(trainer, pd.DataFrame(measured.paths), comparison.seeds[0]), comparison)


def _plane(comparison: Comparison, measured: Measured) -> pd.DataFrame | None:
    """Return the plane of the weights of all arms during training; None if no weights were kept."""
    kept = [arm.label for arm in comparison.arms if arm.label in measured.snapshots]
    if not kept:
        return None
    return _of_first_repeat(
        joint_plane({arm: measured.snapshots[arm] for arm in kept}, comparison.seeds[0]), comparison
    )


def _of_first_repeat(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Add the number of the tuning repeat if there are several; only trials of the first are recorded."""
    return table.assign(repeat=1) if comparison.repeats > 1 else table
