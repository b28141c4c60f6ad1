"""Run every arm for one or two updates on a copy, before any file is written."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from ..core.comparison import Arm, Budget, Trial
from ..core.rng import TRAINING, preserved_rng, rng_state, seed_everything, seed_sequence
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..training.device import Clock
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.diagnosing import Diagnosing
from ..training.measurement.evaluation import final_sources, regular_sources
from ..training.measurement.module_state import same
from .estimates import Estimate, estimate_trial, measure_pace, time_first_updates
from .planned_batches import planned_batches
from .split_checks import check_splits
from .workload_checks import check_workload

_ENOUGH_ROWS = 5


def dry_run(trainer: LoopTrainer) -> list[Estimate]:
    """Check that the workload works with each arm, and estimate the time of its trials.

    Args:
        trainer: The loop trainer of the comparison; it makes a few updates of each arm.

    Returns:
        One estimate for each arm.

    Raises:
        OptcompareError: The workload or an arm cannot be trained; the message names it.
    """
    comparison = trainer.setup.comparison
    seed = comparison.seeds[0]
    check_splits(trainer)
    measuring, *_ = [check_workload(trainer, each) for each in comparison.seeds[: comparison.split_seeds]]
    seconds = check_diagnostics(trainer, Trial(comparison.arms[0], seed)) / comparison.diagnose_every
    bare = trainer.for_comparison(dataclasses.replace(comparison, diagnostics=(), recalibrate=False))
    estimates = [_dry_run_of_arm(bare, Trial(arm, seed), measuring) for arm in comparison.arms]
    return [
        dataclasses.replace(estimate, further_seconds=estimate.further_seconds + seconds)
        for estimate in estimates
    ]


def check_diagnostics(trainer: LoopTrainer, trial: Trial) -> float:
    """Compute all diagnostics once, at the shared start and after an update that changed nothing.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of any arm.

    Returns:
        The seconds that the diagnostics took together.

    Raises:
        DiagnosticError: A diagnostic cannot be computed for the model; the message names the layer.
    """
    if not trainer.setup.comparison.diagnostics:
        return 0.0
    run = trainer.run(trial, None)
    diagnosing = Diagnosing(trainer.setup, trial, run.workload, run.model, run.another_model, run.source)
    watch = Clock(trainer.device)
    with watch:
        diagnosing.keep(0, run.weights, torch.arange(min(_ENOUGH_ROWS, run.source.n)), 0)
        diagnosing.measured(run.model, 1, 0, trial.arm.lr)
    return watch.seconds


def _dry_run_of_arm(trainer: LoopTrainer, trial: Trial, measuring: Mapping[str, float]) -> Estimate:
    """Make the first updates of an arm, check their results, and estimate the cost of its trials.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.
        measuring: The seconds of measuring all rows of each set, by its name.
    """
    arm, n = trial.arm, trainer.setup.workload.size
    sizes, updates = planned_batches(trainer, trial)
    _refuse_large_batch(arm, trainer.setup.comparison.budget, sizes[0])
    more_than_one = updates > 1 if updates else sizes[0] < n
    few = 2 if more_than_one else 1
    (records, state), timed = time_first_updates(trainer, trial, few)
    progress = state["progress"]
    _refuse_failing_updates(trial, records, progress)
    _refuse_unreadable(arm, state["optimizer"])
    passes = progress["epoch"] / max(1, progress["updates"])
    if passes > 1:  # one update takes several epochs
        _refuse_short_budget(arm, trainer.setup.comparison.budget, progress["epoch"], n)
        updates, sizes = None, [n * int(passes)]
    elif (evaluations := trainer.evaluations(arm)) > 1:  # one update takes several batches
        sizes = sizes[:1] * math.ceil(len(sizes) / evaluations)
        updates = updates and math.ceil(updates / evaluations)
    most = len(sizes) if passes <= 1 else 1
    pace = measure_pace(trainer, trial, timed, most)
    of_all = sum(measuring[name] for name in regular_sources(trainer.sources))
    estimate = estimate_trial(trainer, arm, updates, sizes, pace, of_all)
    draws = not same(state["rng"], _rng_at_start(trainer, trial))
    return dataclasses.replace(
        estimate,
        end_seconds=sum(measuring[name] for name in final_sources(trainer.sources, trial)),
        draws=draws,
    )


def _refuse_large_batch(arm: Arm, budget: Budget, first: int) -> None:
    """Refuse a first batch that is larger than a budget in samples."""
    if budget.unit == "samples" and budget.amount < first:
        raise ComparisonError(
            f"arm {arm.label}: its first update takes {first} samples, more than the budget of {budget}; "
            f"give --samples {first} or more"
        )


def _refuse_failing_updates(trial: Trial, records: list[dict[str, Any]], progress: Mapping[str, Any]) -> None:
    """Refuse updates that fail, and a loss that an arm alone makes not finite before its first update."""
    if records and not math.isfinite(records[0]["train_loss"]):
        raise ComparisonError(
            f"arm {trial.arm.label}: the training loss before the first update is "
            f"{records[0]['train_loss']}, and finite without the arm's optimizer; it changes weights when it "
            "is built"
        )
    if progress["status"] == "failed":
        reason, label = progress["reason"], trial.arm.label
        raise ComparisonError(reason if label in reason else f"arm {label}: {reason}")


def _rng_at_start(trainer: LoopTrainer, trial: Trial) -> dict[str, Any]:
    """Return the states of the random generators with which the trial's training begins."""
    with preserved_rng():
        seed_everything(seed_sequence(TRAINING, trial.seed))
        return rng_state(trainer.device)


def _refuse_unreadable(arm: Arm, state: Mapping[str, Any]) -> None:
    """Refuse an optimizer with a state that needs unpickling, since files of a run are never unpickled."""
    file = io.BytesIO()
    try:
        torch.save(_without_tensors(state), file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except USER_CODE_ERRORS as error:
        kind = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"keeps a {kind[1]} in its state"
            if kind
            else f"has a state that cannot be saved ({explain(error)})"
        )
        raise ComparisonError(
            f"arm {arm.label}: optimizer {arm.optimizer.label} {what}, which no checkpoint could bring "
            "back; a state is made of tensors, numbers, texts, lists, tuples and dicts"
        ) from error


def _without_tensors(value: Any) -> Any:
    """Return nested values with None in place of tensors."""
    if isinstance(value, dict):
        return {key: _without_tensors(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without_tensors, value))
    return None if isinstance(value, torch.Tensor) else value


def _refuse_short_budget(arm: Arm, budget: Budget, passes: int, n: int) -> None:
    """Refuse a budget that is smaller than the first update, which may pass over the data several times."""
    needed = {"epochs": passes, "samples": passes * n}.get(budget.unit, 0)
    if budget.amount < needed:
        raise ComparisonError(
            f"arm {arm.label}: its first update takes {passes} passes over the data, more than the budget "
            f"of {budget}; give --{budget.unit} {needed} or more"
        )
