"""Prepare the runs of a command line: a new run of each workload, a saved one again, or a resumed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.file_paths import comma_hints, split_items
from ..errors import ComparisonError
from ..storage.default_directory import default_directory
from ..storage.run_dir import refuse_occupied, safe_name
from .prepared_run import PreparedRun
from .requests import QUESTION_OPTIONS, Request, RunRequest, StudyRequest, options_of
from .startup import collect_as_usual

if TYPE_CHECKING:
    from ..interfaces.suite import Suite
    from ..planning.prepare import Prepared
    from ..planning.question import Question


def prepare_runs(request: RunRequest) -> list[PreparedRun]:
    """Prepare all comparisons of a command line of ``run``, before any is trained.

    Args:
        request: The parsed command line.

    Returns:
        One run, or one for each workload of a list or a suite.

    Raises:
        OptcompareError: One cannot be run.
    """
    from .resumed_runs import resumed_runs

    collect_as_usual()
    if request.resume is not None:
        return resumed_runs(request, request.resume)
    saved, suite = request.config, None
    if saved is not None:
        prepared = [_saved(request, saved)]
    else:
        questions, suite = _questions(request)
        prepared = _of_each_workload(request, questions)
    directories = _directories(request.output.out, prepared, suite)
    return [PreparedRun(one, out, suite=suite) for one, out in zip(prepared, directories, strict=True)]


def prepare_study_run(request: StudyRequest) -> PreparedRun:
    """Prepare the study of a command line of ``scaling``.

    Args:
        request: The parsed command line.

    Returns:
        The run.

    Raises:
        OptcompareError: It cannot be run.
    """
    from ..planning.prepare import prepare
    from ..planning.study_question import study_question
    from ..registry.manager import Registry

    collect_as_usual()
    registry = Registry.load(request.plugins)
    question = study_question(registry, request.question, request.batch_sizes, request.max_epochs)
    prepared = prepare(registry, question)
    (out,) = _directories(request.output.out, [prepared])
    return PreparedRun(prepared, out)


def check_known_metric(metric: str, prepared: Prepared) -> None:
    """Check that a comparison measures a column along its trials.

    Args:
        metric: The name of the column.
        prepared: The prepared comparison.

    Raises:
        ComparisonError: It does not; the message suggests or lists others.
    """
    from ..report.paper import refuse_unknown

    workload = prepared.setup.workload
    parts = [part for part in workload.sets if part != "test"]
    measured = [f"{part}_{name}" for name in ("loss", *workload.metrics) for part in parts]
    diagnosed = [name for diagnostic in prepared.setup.diagnostics.values() for name in diagnostic.columns]
    refuse_unknown(metric, [*measured, *diagnosed])


def tracker_prints(request: Request) -> bool:
    """Find out whether a tracker writes to the standard output, which is then its own.

    Args:
        request: The parsed command line.

    Returns:
        Whether one does.

    Raises:
        PluginError: There is no such tracker.
        ComparisonError: JSON is to be written to the standard output, too.
    """
    track = request.options.track
    if not track:
        return False
    from ..core.named_code import NamedCode, code_keys
    from ..registry.manager import Registry

    named = code_keys(NamedCode(name, "plugin") for name in request.plugins)
    registry = Registry.load(
        request.plugins, kind="trackers", without_hooks=named
    )  # a saved comparison may need them
    names = [text.partition(":")[0] for text in track]
    prints = [name for name in names if getattr(registry.find("trackers", name).factory, "prints", False)]
    if prints and request.output.as_json:
        raise ComparisonError(f"--json and --track {prints[0]} both write to standard output; leave one out")
    return bool(prints)


def _questions(request: RunRequest) -> tuple[list[Question], Suite | None]:
    """Return the question for each workload of a list, or of a suite."""
    from ..planning.suites import find_suite, names_suite, suite_questions

    items = split_items(str(request.question.workload))
    if not names_suite(items):
        names = [item.strip() for item in items]
        return [dataclasses.replace(request.question, workload=name) for name in names], None
    from ..registry.manager import Registry

    suite = find_suite(Registry.load(request.plugins), items[0])
    return suite_questions(suite, request.question), suite


def _of_each_workload(request: RunRequest, questions: Sequence[Question]) -> list[Prepared]:
    """Prepare the question for each workload; all must have the same arms."""
    from ..planning.prepare import prepare
    from ..planning.suites import names_in_errors
    from ..registry.manager import Registry

    names = [str(question.workload) for question in questions]
    prepared = []
    for position, question in enumerate(questions):
        with comma_hints(names, position), names_in_errors(names[position], len(names)):
            prepared.append(prepare(Registry.load(request.plugins), question))
    arms = [", ".join(arm.label for arm in one.setup.comparison.arms) for one in prepared]
    for name, labels in zip(names, arms, strict=True):
        if labels != arms[0]:
            raise ComparisonError(
                f"several workloads need the same arms, and {names[0]} has {arms[0]}, but {name} {labels}; "
                "write batch sizes out, such as mini:32"
            )
    return prepared


def _saved(request: RunRequest, config: Path) -> Prepared:
    """Prepare the comparison of a saved file."""
    from ..core.comparison import Comparison
    from ..planning.prepare import prepare_again
    from ..storage.run_dir import read_config
    from ..storage.trusted_code import load_registry

    fixed = [name for name in request.typed if name in QUESTION_OPTIONS]
    if fixed:
        raise ComparisonError(
            f"--config fixes the whole comparison; leave out {options_of(fixed)}, or leave out --config"
        )
    comparison = Comparison.from_json(read_config(config))
    registry = load_registry(comparison, config, request.plugins, trust=request.trust)
    return prepare_again(registry, dataclasses.replace(comparison, plugins=registry.named))


def _directories(out: Path | None, prepared: Sequence[Prepared], suite: Suite | None = None) -> list[Path]:
    """Return a run directory for each comparison: ``out``, or of several workloads, folders in it."""
    labels = [one.setup.comparison.workload.label for one in prepared]
    whole = out or default_directory("+".join(labels) if suite is None else suite.name)
    refuse_occupied(whole)
    if len(labels) == 1 and suite is None:
        return [whole]
    names = [safe_name(label) for label in labels]
    if len(set(names)) < len(names):
        raise ComparisonError(
            f"each workload needs a directory of its own; {', '.join(labels)} would share one"
        )
    return [whole / name for name in names]
