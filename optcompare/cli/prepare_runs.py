"""Prepare the runs of a command line: a new run of each workload, a saved one again, or a resumed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.file_paths import comma_hints, split_items
from ..errors import ComparisonError
from ..planning.question import further_arms, seed_list
from ..storage.default_directory import default_directory
from ..storage.run_dir import refuse_occupied, safe_name
from .requests import QUESTION_OPTIONS, Request, RunRequest, StudyRequest
from .startup import collect_as_usual

if TYPE_CHECKING:
    from ..planning.prepare import Prepared
    from ..storage.previous_run import PreviousRun

_EXTENDED_BY = {"epochs", "updates", "samples", "seeds", "strategies", "optimizers"}
"""Parameters of a question with which a run can be resumed."""


@dataclass(frozen=True)
class PreparedRun:
    """Hold a comparison that is ready to be run.

    Args:
        prepared: The prepared comparison.
        out: The run directory.
        previous: The previous run in this directory; None: the run is new.
    """

    prepared: Prepared
    out: Path
    previous: PreviousRun | None = None


def prepare_runs(request: RunRequest) -> list[PreparedRun]:
    """Prepare all comparisons of a command line of ``run``, before any is trained.

    Args:
        request: The parsed command line.

    Returns:
        One run, or one for each workload.

    Raises:
        OptcompareError: One cannot be run.
    """
    collect_as_usual()
    if request.resume is not None:
        return [_resumed(request, request.resume)]
    saved = request.config
    prepared = _of_each_workload(request) if saved is None else [_saved(request, saved)]
    directories = _directories(request.output.out, prepared)
    return [PreparedRun(one, out) for one, out in zip(prepared, directories, strict=True)]


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


def _of_each_workload(request: RunRequest) -> list[Prepared]:
    """Prepare the question for each workload of its list; all must have the same arms."""
    from ..planning.prepare import prepare
    from ..registry.manager import Registry

    items = split_items(str(request.question.workload))
    names = [item.strip() for item in items]
    prepared = []
    for position, name in enumerate(names):
        with comma_hints(items, position):
            question = dataclasses.replace(request.question, workload=name)
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
            f"--config fixes the whole comparison; leave out {_options(fixed)}, or leave out --config"
        )
    comparison = Comparison.from_json(read_config(config))
    registry = load_registry(comparison, config, request.plugins, trust=request.trust)
    return prepare_again(registry, dataclasses.replace(comparison, plugins=registry.named))


def _resumed(request: RunRequest, directory: Path) -> PreparedRun:
    """Prepare a previous run's comparison, extended by what the command line adds to it."""
    from ..core.named_code import code_of_lists
    from ..planning.prepare import prepare, prepare_again
    from ..storage.previous_run import PreviousRun
    from ..storage.resume import extended
    from ..storage.trusted_code import load_registry

    typed, question = request.typed, request.question
    fixed = [name for name in typed if name in (QUESTION_OPTIONS - _EXTENDED_BY) | {"config", "out"}]
    if fixed:
        raise ComparisonError(f"--resume takes everything else from the run; leave out {_options(fixed)}")
    if "optimizers" in typed and "strategies" not in typed:
        raise ComparisonError("--optimizers adds arms to a run together with --strategies; give both")
    previous = PreviousRun.read(directory)
    adds_arms = "strategies" in typed
    strategies, optimizers = str(question.strategies), str(question.optimizers)
    named = code_of_lists(strategies, optimizers) if adds_arms else []
    registry = load_registry(previous.comparison, directory, request.plugins, named, request.trust)
    before = dataclasses.replace(previous.comparison, plugins=registry.named)
    seeds = seed_list(question.seeds, before.seeds[0]) if "seeds" in typed else None
    arms = None
    if adds_arms:
        further = further_arms(before, strategies, optimizers if "optimizers" in typed else None)
        arms = prepare(registry, further).setup.comparison
    prepared = prepare_again(registry, extended(before, question.budget, seeds, arms))
    return PreparedRun(prepared, directory, previous)


def _options(names: Sequence[str]) -> str:
    """Name parameters as they are typed."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _directories(out: Path | None, prepared: Sequence[Prepared]) -> list[Path]:
    """Return a run directory for each comparison: ``out``, or of several workloads, folders in it."""
    labels = [one.setup.comparison.workload.label for one in prepared]
    whole = out or default_directory("+".join(labels))
    refuse_occupied(whole)
    if len(labels) == 1:
        return [whole]
    names = [safe_name(label) for label in labels]
    if len(set(names)) < len(names):
        raise ComparisonError(
            f"each workload needs a directory of its own; {', '.join(labels)} would share one"
        )
    return [whole / name for name in names]
