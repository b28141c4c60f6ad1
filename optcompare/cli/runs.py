"""Shared parts of the commands that train: plans, running a comparison, output, and exit codes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .startup import CollectRarelyAtTheEnd, collect_as_usual

if TYPE_CHECKING:
    from ..execution.run_options import RunOptions
    from ..execution.runner import Observer
    from ..planning.prepare import Prepared
    from ..report.result import Result
    from ..storage.previous_run import PreviousRun
    from .prepared_run import PreparedRun
    from .terminal import Reporter


def show_plans(
    prepared: Sequence[tuple[Prepared, PreviousRun | None]],
    reporter: Reporter,
    as_json: bool,
    options: RunOptions,
) -> None:
    """Print what would be trained, and an estimate of how long it takes.

    Args:
        prepared: Comparisons that passed their dry run, each with the previous run that it continues.
        reporter: Prints them as text.
        as_json: Print them as JSON, too.
        options: The run options.
    """
    from ..execution.continuation import rounds_left
    from ..execution.expected_time import expected_of
    from ..execution.job_facts import planned_jobs

    plans = []
    for one, previous in prepared:
        comparison = one.setup.comparison
        reporter.question(comparison, one.notes)
        jobs, choice = planned_jobs(one, options, previous)
        expected = expected_of(one, options.memory, jobs, bool(choice), previous).after(
            _seconds_so_far() / len(prepared)
        )
        left = [trial for trials in rounds_left(one.setup, previous) for trial in trials]
        reporter.plan(one.estimates, left, expected, choice)
        trials = [{"arm": e.arm.label, "updates": e.updates, "seconds": e.seconds} for e in one.estimates]
        seconds = {"seconds_low": 0.0 if expected.ends_early else expected.seconds}
        seconds["seconds_high"] = expected.seconds
        plans.append({"comparison": comparison.to_json(), "trials": trials, **seconds})
    if as_json:
        click.echo(json.dumps(plans[0] if len(plans) == 1 else plans, indent=2))


def _seconds_so_far() -> float:
    """Return the seconds since the command began, which a run takes before its first trial, too."""
    context = click.get_current_context(silent=True)
    began = context.obj if context is not None else None
    return time.perf_counter() - began if isinstance(began, float) else 0.0


def run_one(run: PreparedRun, reporter: Reporter, options: RunOptions, *, force: bool = False) -> Result:
    """Train a comparison, or continue a previous run; print its question, its progress and its result.

    Args:
        run: The comparison and its directory.
        reporter: Prints what happens.
        options: The run options; the progress bar is added to its observers.
        force: Continue although versions, data or sources changed.

    Returns:
        What was measured.
    """
    from ..execution.run import execute, resume

    prepared, warnings = run.prepared, run.prepared.registry.warnings
    warn(warnings)
    reporter.question(prepared.setup.comparison, prepared.notes)
    known = len(warnings)
    with reporter.progress() as bar:
        observers: list[Observer] = [] if bar is None else [bar]
        if not prepared.setup.comparison.stop_at_goal:  # a study trains models after its trials, too
            observers.append(CollectRarelyAtTheEnd())
        options = dataclasses.replace(options, observers=observers)
        collect_as_usual()
        if run.previous is None:
            result = execute(prepared, run.out, options)
        else:
            result = resume(prepared, run.previous, options, force=force)
        of_study = _save_study(result, run.out, options) if result.is_finished_study else []
    warn(prepared.registry.warnings[known:])
    name_missing_glyphs([result])
    if result.is_finished_study:
        reporter.scaling(result, of_study)
    else:
        plots = [run.out / f"comparison.{suffix}" for suffix in options.formats]
        reporter.result(result, plots, len(prepared.notes))
    return result


def _save_study(result: Result, out: Path, options: RunOptions) -> list[Path]:
    """Draw the curves of a study, and return the paths of the plots."""
    from ..report.figures import save_scaling

    suffixes = [suffix for suffix in options.formats if suffix != "html"] or ["png"]
    return save_scaling(result, out, suffixes)


def remember_plugins(plugins: Sequence[str]) -> None:
    """Remember that the user named this code, so that a saved comparison may name it.

    Args:
        plugins: Files and modules that stand on the command line.
    """
    from ..core.named_code import NamedCode
    from ..storage.trusted_code import remember

    warn(remember([NamedCode(name, "plugin") for name in plugins]))


def warn(warnings: Sequence[str]) -> None:
    """Print warnings to standard error.

    Args:
        warnings: A sentence each.
    """
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def name_missing_glyphs(results: Sequence[Result]) -> None:
    """Warn that names in pictures are drawn as boxes, if no font has their characters.

    Args:
        results: The results with the labels that are drawn.
    """
    from ..report.plots.fonts import without_glyphs

    comparisons = [result.comparison for result in results]
    names = [
        text
        for one in comparisons
        for text in (one.workload.label, one.goal or "", *(arm.label for arm in one.arms))
    ]
    missing = without_glyphs(names)
    if missing:
        shown = missing if len(missing) <= 20 else f"{missing[:20]}…"
        warn(
            [
                f"no installed font has {shown}: pictures show boxes; install one that does, such as "
                "Noto Sans CJK"
            ]
        )


def exit_code(result: Result) -> int:
    """Return the exit code of a run.

    Args:
        result: The result of the run.

    Returns:
        0: done; 1: some trial failed; 130: interrupted.
    """
    if result.status == "interrupted":
        return 130
    return 1 if (result.trials["status"] == "failed").any() else 0


def result_as_json(result: Result, plot: Path) -> dict[str, Any]:
    """Return the data that ``--json`` prints for a run.

    Args:
        result: The result of the run.
        plot: The path of its plot.

    Returns:
        Plain values for ``json.dumps``.
    """
    summary = json.loads(result.summary(wide=True).to_json(orient="records", double_precision=15))
    return {
        "status": result.status,
        "verdict": result.verdict(),
        "summary": summary,
        "pairs": json.loads(result.pairs().to_json(orient="records", double_precision=15)),
        "certificate": [dataclasses.asdict(check) for check in result.certificate],
        "directory": str(plot.parent),
        "plot": str(plot),
    }
