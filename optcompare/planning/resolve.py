"""Resolve a question of names, specs and objects into pure data with live objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..core.budget import Budget
from ..core.comparison import Arm, Comparison
from ..core.comparison_checks import check_choices, check_engine
from ..core.formatting import number
from ..core.goal import Goal
from ..errors import ComparisonError
from ..interfaces.data import rows as sample_count
from ..interfaces.metrics import upper_bound
from ..interfaces.workload import Workload
from ..registry.manager import Registry
from ..training.data import default_chunk
from ..training.device import resolve as resolve_device
from ..training.lanes.engines.choice import engine_notes, engine_of
from ..training.setup import ArmObjects, Setup
from .factories import make_diagnostics, make_strategy, make_workload, single_items
from .optimizer_factory import make_optimizer
from .question import Question
from .requested_arms import RequestedArm, refuse_same_arms, requested_arms
from .split_checks import tuning_notes
from .tuning_grids import plan_tuning


def resolve(registry: Registry, question: Question) -> tuple[Setup, list[str]]:
    """Resolve a question.

    Args:
        registry: The registry in which names are looked up.
        question: The question. If its ``recalibrate`` or ``masks`` is None, the comparison's is False or
            "generator" until :func:`~optcompare.planning.prepare.prepare` has decided.

    Returns:
        The comparison with its live objects, and notes for the user.

    Raises:
        OptcompareError: A name is unknown, a value does not fit, or settings do not combine.
    """
    device = str(resolve_device(question.device, question.dtype))
    workload, workload_part = make_workload(registry, question.workload)
    requested, notes = requested_arms(registry, question, workload)
    _check_tuning(question)
    check_choices({"control": question.control}, question.trainer)
    check_engine(question.engine, auto=True)
    chunk, eval_chunk, chunk_notes = _chunks(workload, question)
    diagnosed = make_diagnostics(registry, single_items(question.diagnostics))
    arms = _labelled(requested, chunk, tuned=question.tune is not None)
    refuse_same_arms(arms, requested)
    arm_objects = {arm.label: one.objects for arm, one in zip(arms, requested, strict=True)}
    baseline = question.baseline or (arms[0].label if arms else None)
    control = _control(arms, requested, baseline) if question.control else None
    if control is not None and baseline is not None:
        arm_objects[control.label] = arm_objects[baseline]
    comparison = Comparison(
        workload=workload_part,
        arms=(*arms, control) if control is not None else arms,
        seeds=question.seed_list(),
        budget=question.budget or Budget("epochs", workload.epochs),
        device=device,
        dtype=question.dtype,
        autocast=question.autocast,
        threads=question.threads,
        deterministic=question.deterministic,
        eval_chunk=eval_chunk,
        measure=question.measure,
        trainer=question.trainer,
        engine=engine_of(question.engine, device, question.previous_engine),
        engine_named=question.engine != "auto",
        order="shuffled" if question.order is None else "custom",
        plugins=question.plugins,
        goal=_goal(question.goal or workload.goal, workload),
        errors=tuple(workload.errors),
        baseline=baseline,
        control=None if control is None else control.label,
        plane=question.plane,
        diagnostics=tuple(part for _, part in diagnosed),
        diagnose_every=question.diagnose_every,
        stop_at_goal=question.stop_at_goal,
        goal_window=question.goal_window,
        margin=question.margin,
        split_seeds=question.split_seeds,
        masks=question.masks or "generator",
    )
    comparison = _with_tuning(comparison, arms, question)
    computed = {part.label: diagnostic for diagnostic, part in diagnosed}
    notes = [
        *workload.notes,
        *notes,
        *chunk_notes,
        *tuning_notes(comparison, workload),
        *engine_notes(comparison),
    ]
    rules = registry.lane_rules()
    setup = Setup(comparison, workload, arm_objects, question.order, computed, lane_rules=rules)
    return setup, list(dict.fromkeys(notes))


def restore(registry: Registry, comparison: Comparison) -> tuple[Setup, list[str]]:
    """Build the live objects of a saved comparison again.

    Args:
        registry: The registry in which names are looked up.
        comparison: The comparison as it was saved.

    Returns:
        The comparison with its live objects, and notes for the user.

    Raises:
        OptcompareError: Something existed only as an object, or does not exist any more.
    """
    objects = objects_of(comparison)
    if objects:
        raise ComparisonError(
            f"{objects} existed only as an object in the session that ran it; run it there again with "
            "compare()"
        )
    workload, _ = make_workload(registry, str(comparison.workload.reference))
    arm_objects = {
        arm.label: ArmObjects(
            make_strategy(registry, str(arm.strategy.reference), None)[0],
            make_optimizer(registry, str(arm.optimizer.reference)).factory,
        )
        for arm in comparison.arms
    }
    diagnosed = make_diagnostics(registry, [str(part.reference) for part in comparison.diagnostics])
    computed = {part.label: diagnostic for diagnostic, part in diagnosed}
    rules = registry.lane_rules()
    setup = Setup(comparison, workload, arm_objects, diagnostics=computed, lane_rules=rules)
    return setup, [*workload.notes, *engine_notes(comparison)]


def objects_of(comparison: Comparison) -> str:
    """Name the parts of a saved comparison that were passed as objects, which no file can restore.

    Args:
        comparison: The comparison as it was saved.

    Returns:
        Labels, separated by commas; empty if all parts can be restored.
    """
    parts = [
        comparison.workload,
        *comparison.diagnostics,
        *(part for arm in comparison.arms for part in (arm.strategy, arm.optimizer)),
    ]
    missing = [part.label for part in parts if part.reference is None]
    missing += ["the order of samples"] if comparison.order == "custom" else []
    return ", ".join(dict.fromkeys(missing))


def _labelled(requested: Sequence[RequestedArm], chunk: int, *, tuned: bool) -> tuple[Arm, ...]:
    """Return the arms, each with its optimizer in its label where the optimizers differ."""
    schedules, clips = {one.schedule for one in requested}, {one.clip for one in requested}
    optimizers = [
        one.optimizer_label(lr=not tuned, schedule=len(schedules) > 1, clip=len(clips) > 1)
        for one in requested
    ]
    several = len(set(optimizers)) > 1
    return tuple(
        one.arm(f"{one.strategy.part.label}@{optimizer}" if several else one.strategy.part.label, chunk)
        for one, optimizer in zip(requested, optimizers, strict=True)
    )


def _control(arms: Sequence[Arm], requested: Sequence[RequestedArm], baseline: str | None) -> Arm | None:
    """Return the rounding control of the baseline, if that is one of the arms."""
    for arm, one in zip(arms, requested, strict=True):
        if arm.label == baseline:
            return one.control(arm)
    return None


def _chunks(workload: Workload, question: Question) -> tuple[int, int, list[str]]:
    """Return the rows in one forward pass of training and of evaluation, and notes.

    A loss that cannot be computed in parts is computed in one pass.
    """
    default = default_chunk(workload.train, workload.collate)
    chunk = default if question.chunk is None else question.chunk
    eval_chunk = default if question.eval_chunk is None else question.eval_chunk
    if workload.in_parts:
        return chunk, eval_chunk, []
    rows = max(map(sample_count, workload.sets.values()))
    ignored = [
        f"--{name} {size}"
        for name, size in (("chunk", question.chunk), ("eval-chunk", question.eval_chunk))
        if size and size < rows
    ]
    note = (
        f"{' and '.join(ignored)} {'do' if len(ignored) > 1 else 'does'} not apply: an objective is computed "
        "on a whole batch in one pass, unless weight(batch) says how its parts combine"
    )
    return max(chunk, rows), max(eval_chunk, rows), [note] if ignored else []


def _goal(text: str | None, workload: Workload) -> str | None:
    """Return the goal in its canonical form; raise where its metric is not measured, or never reaches it."""
    if text is None:
        return None
    goal = Goal.parse(text, workload.errors)
    goal.check([f"{part}_{name}" for part in workload.sets for name in ("loss", *workload.metrics)])
    name = goal.metric.removeprefix(f"{goal.data}_")
    most = upper_bound(workload.metrics.get(name))
    if goal.value > most and not goal.falls:
        percent = most == 1 and goal.value <= 100
        such = f", such as {dataclasses.replace(goal, value=goal.value / 100)}" if percent else ""
        raise ComparisonError(f"goal {goal}: {name} is at most {number(most)}; give a value up to that{such}")
    return str(goal)


def _check_tuning(question: Question) -> None:
    """Refuse settings of tuning without tuning, and tuning of several learning rates."""
    settings = (question.tune_range, question.tune_seeds, question.tune_repeats)
    if question.tune is None and settings != (
        Question.tune_range,
        Question.tune_seeds,
        Question.tune_repeats,
    ):
        raise ComparisonError(
            "--tune-range, --tune-seeds and --tune-repeats say how to tune; give --tune N too"
        )
    if question.tune is not None and question.rates() is not None:
        raise ComparisonError(
            "--tune searches the learning rate itself; give one --lr as its reference, not several"
        )


def _with_tuning(comparison: Comparison, arms: Sequence[Arm], question: Question) -> Comparison:
    """Return the comparison with the plan of its tuning, if any; the control is not tuned."""
    if question.tune is None:
        return comparison
    tuning = plan_tuning(
        arms,
        question.tune,
        question.tune_range,
        question.tune_seeds,
        question.tune_repeats,
        comparison.seeds[0],
    )
    return dataclasses.replace(comparison, tuning=tuning)
