"""The command ``verify``: compute the contents of a run directory again, one check after another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.comparison import Comparison
from ..errors import OptcompareError, RunDirectoryError, fault
from ..planning.resolve import objects_of, restore
from ..registry.manager import Registry
from ..results.tables import ResultTables
from ..storage import run_dir
from ..storage.run_tables import has_tables
from ..storage.trusted_code import load_registry
from ..training.loop.trainer import LoopTrainer
from ..training.setup import Setup
from .certificate import check_certificate
from .files import absent_device, check_environment, check_files
from .finding import Finding
from .fingerprints import check_fingerprints
from .recompute import check_conclusions, check_kept_weights, check_trials, rows_of
from .train_again import Advanced, Effort, train_again


@dataclass(frozen=True)
class _Run:
    """Hold a run directory that is verified.

    Attributes:
        directory: The path of the run directory.
        about: The contents of its ``comparison.json``.
        comparison: The comparison of the run.
        registry: The plugins that the run needs.
    """

    directory: Path
    about: Mapping[str, Any]
    comparison: Comparison
    registry: Registry


def verify(
    directory: Path,
    trials: int | None = 3,
    plugins: Sequence[str] = (),
    advanced: Advanced = lambda done, of, share: None,
    trust: bool = False,
    seconds: float = math.inf,
) -> Iterator[Finding]:
    """Verify a run directory by computing its contents again.

    Initial weights, orders and batches are computed for all trials of as many seeds as take about 15 seconds,
    or of all seeds with ``trials=None``. Plugins and files that the run names are loaded only if this user
    named them before, or names them in ``plugins``, or agrees by ``trust``; see
    :mod:`optcompare.storage.trusted_code`.

    Args:
        directory: A run directory.
        trials: The number of trials to train again; None: all.
        plugins: Plugins to load in addition to those of the run.
        advanced: Called with the number of trials that are planned or trained again, of all, and the share
            that is done.
        trust: Whether to load plugins and files that the run names, even if this user did not name them.
        seconds: The seconds that training may take in all, by the times that the run recorded; trials that
            would take longer are left out.

    Returns:
        The findings, each as soon as its check is made.

    Raises:
        OptcompareError: There is no run, or a plugin that it names cannot or must not be loaded.
    """
    about = run_dir.read_json(directory)
    comparison = _comparison(directory, about)
    if not has_tables(directory):
        raise RunDirectoryError(f"{directory} holds no trial: the run was stopped before the first had ended")
    registry = load_registry(comparison, directory, plugins, trust=trust)
    return _findings(_Run(directory, about, comparison, registry), Effort(trials, seconds, advanced))


def _findings(run: _Run, effort: Effort) -> Iterator[Finding]:
    yield check_files(run.directory, run.about)
    try:
        result = ResultTables.read(run.directory)
        rows = rows_of(result)
    except (OptcompareError, ValueError, TypeError, KeyError, AttributeError) as error:
        yield Finding("tables", False, f"cannot be read: {' '.join(str(error).split())}")
        return
    yield check_trials(result, rows)
    yield check_certificate(result, rows, run.about)
    yield check_conclusions(result, run.directory, run.about)
    yield check_kept_weights(run.directory, rows)
    setup, missing = _setup(run)
    yield check_environment(run.registry, setup, run.comparison, run.about["environment"], missing)
    if setup is None:
        yield Finding("fingerprints", None, missing)
        yield Finding("trained again", None, missing)
        return
    absent = absent_device(run.comparison)
    on_cpu = dataclasses.replace(setup, comparison=dataclasses.replace(run.comparison, device="cpu"))
    trainer = LoopTrainer(on_cpu if absent else setup)
    yield from check_fingerprints(trainer, rows, effort)
    if absent:
        yield Finding("trained again", None, absent)
        return
    yield from train_again(trainer, rows, result, run.directory, effort)


def _comparison(directory: Path, about: Mapping[str, Any]) -> Comparison:
    path = directory / run_dir.COMPARISON
    try:
        if not isinstance(about["environment"], dict):
            raise TypeError("environment is no object")
        return Comparison.from_json(about["comparison"])
    except (KeyError, TypeError, ValueError, OptcompareError) as error:
        raise RunDirectoryError(f"{path} is damaged: {fault(error)}") from error


def _setup(run: _Run) -> tuple[Setup | None, str]:
    """Return the setup of the trials, or why there is none."""
    objects = objects_of(run.comparison)
    if objects:
        return None, f"{objects} existed only as an object in the session that ran it"
    try:
        return restore(run.registry, run.comparison)[0], ""
    except OptcompareError as error:
        return None, str(error)
