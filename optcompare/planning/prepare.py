"""Prepare a comparison: all up to the first trained trial, without writing a run directory."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.certificate import Reference
from ..analysis.traits import Traits
from ..core.choices import MaskSource, MeasureRows
from ..core.comparison import Comparison
from ..core.named_code import code_of
from ..core.rng import preserved_rng
from ..core.user_directories import torch_cache_of_this_user
from ..errors import OptcompareError
from ..interfaces.executor import Demand
from ..registry.manager import Registry
from ..storage.trusted_code import remember
from ..training.device import collect_nondeterministic, torch_settings
from ..training.device import resolve as resolve_device
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation import regular_sources
from ..training.measurement.recalibration import Sample
from ..training.placement import cast_note
from ..training.settings import preserved_settings
from ..training.setup import Setup
from .dry_run import dry_run
from .estimates import Estimate
from .eval_chunk import choose_eval_chunk
from .masks import choose_masks
from .measured_rows import check_choice, choose_rows, unused_choice
from .precision import precision_notes
from .question import Question
from .recalibration import check_recalibrate, decide, find_traits, with_recalibration
from .reference_check import check_reference, uncut_notes
from .resolve import resolve, restore


@dataclass(frozen=True)
class Prepared:
    """Hold a comparison that passed its dry run: ready to be run, or only to be shown.

    Args:
        registry: The plugins that it was resolved with.
        setup: The comparison with its live objects.
        trainer: The loop trainer of this setup.
        estimates: Updates and seconds that are expected of each arm.
        notes: Sentences for the user.
        reference: The first updates of its arms that equal those of a plain loop.
        traits: The running averages and random numbers that the certificate reports.
    """

    registry: Registry
    setup: Setup
    trainer: LoopTrainer
    estimates: list[Estimate]
    notes: list[str]
    reference: Reference
    traits: Traits

    def for_comparison(self, comparison: Comparison) -> Prepared:
        """Return the same for another comparison of the same arms.

        Args:
            comparison: The comparison with other seeds, budget or tuning.

        Returns:
            A copy.
        """
        trainer = self.trainer.for_comparison(comparison)
        return dataclasses.replace(self, setup=trainer.setup, trainer=trainer)


def prepare(registry: Registry, question: Question, *, held: bool = True) -> Prepared:
    """Resolve a question and make a dry run of it.

    No run directory is written. The code that the question names is remembered for this user.

    Args:
        registry: The registry in which names are looked up.
        question: The question to resolve.
        held: Whether the first updates of its arms are compared with those of a plain loop.

    Returns:
        The comparison, ready to be run.

    Raises:
        OptcompareError: It cannot be run.
    """
    check_recalibrate(question.recalibrate)
    check_choice(question.measure_rows)
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # it imports the parent's script
        raise SystemExit(Demand.unguarded)
    with torch_cache_of_this_user(), preserved_rng(), preserved_settings():
        setup, notes = resolve(registry, question)
        registry.warnings += remember(code_of(setup.comparison))
        choices = _Choices(question.recalibrate, question.measure_rows, question.masks, question.eval_chunk)
        return _with_dry_run(registry, setup, notes, choices, held)


def prepare_again(registry: Registry, comparison: Comparison) -> Prepared:
    """Restore a saved comparison and make a dry run of it.

    Args:
        registry: The registry in which names are looked up.
        comparison: The comparison as it was saved, or extended.

    Returns:
        The comparison, ready to be run.

    Raises:
        OptcompareError: It cannot be run here.
    """
    resolve_device(comparison.device, comparison.dtype)
    with torch_cache_of_this_user(), preserved_rng(), preserved_settings():
        setup, notes = restore(registry, comparison)
        choices = _Choices(
            comparison.recalibrate,
            comparison.measure_rows or "all",
            comparison.masks,
            comparison.eval_chunk,
        )
        return _with_dry_run(registry, setup, notes, choices, True)


@dataclass(frozen=True)
class _Choices:
    """Hold the choices of the user that else the dry run makes."""

    recalibrate: bool | None
    measure_rows: MeasureRows
    masks: MaskSource | None
    eval_chunk: int | None


@dataclass(frozen=True)
class _DryRun:
    """Hold the results of a dry run."""

    trainer: LoopTrainer
    estimates: list[Estimate]
    reference: Reference
    traits: Traits
    notes: Sequence[str]


def _with_dry_run(
    registry: Registry, setup: Setup, notes: list[str], choices: _Choices, held: bool
) -> Prepared:
    comparison, operations = setup.comparison, list[str]()
    with torch_settings(comparison.threads, comparison.deterministic), collect_nondeterministic(operations):
        done = _dry_run(setup, choices, held)
    trainer, reference = done.trainer, done.reference
    if operations:
        notes = [
            *notes,
            f"{comparison.device} has no deterministic algorithm for {', '.join(operations)}: run again, "
            "trials may end in other last bits",
        ]
    with preserved_rng():
        cast = cast_note(trainer.start(comparison.seeds[0]).model(), trainer.dtype)
    notes = [
        *notes,
        *([cast] if cast else []),
        *done.notes,
        *precision_notes(setup.workload, trainer.dtype),
        *uncut_notes(reference),
    ]
    return Prepared(registry, trainer.setup, trainer, done.estimates, notes, reference, done.traits)


def _dry_run(setup: Setup, choices: _Choices, held: bool) -> _DryRun:
    """Make the dry run with copies of a slow module, or without where copies train otherwise."""
    trainer = LoopTrainer(dataclasses.replace(setup, copies=held))
    try:
        return _dry_run_of(trainer, choices, held)
    except OptcompareError:
        if not trainer.copied:
            raise
        return _dry_run_of(LoopTrainer(setup), choices, held)


def _dry_run_of(trainer: LoopTrainer, choices: _Choices, held: bool) -> _DryRun:
    masks = choices.masks or choose_masks(trainer)
    comparison = dataclasses.replace(trainer.setup.comparison, masks=masks)
    if choices.eval_chunk is None:
        comparison = dataclasses.replace(comparison, eval_chunk=choose_eval_chunk(trainer))
    trainer = trainer.for_comparison(comparison)
    estimates = dry_run(trainer)
    traits, comparison = find_traits(trainer, estimates), trainer.setup.comparison
    decision = decide(choices.recalibrate, traits, estimates, comparison.stop_at_goal)
    comparison = dataclasses.replace(comparison, recalibrate=decision.on)
    rows = _measured_rows(trainer, comparison, choices.measure_rows, estimates)
    sizes = [source.n for source in regular_sources(trainer.sources).values()]
    estimates = [estimate.on_sample(rows, sizes) for estimate in estimates]
    trainer = trainer.for_comparison(dataclasses.replace(comparison, measure_rows=rows))
    if decision.on:
        estimates = with_recalibration(trainer, estimates)
    reference = check_reference(trainer, estimates) if held else Reference()
    trainer.setup = dataclasses.replace(trainer.setup, uncut=reference.uncut)
    notes = [decision.note, unused_choice(choices.measure_rows, trainer.setup.workload)]
    return _DryRun(trainer, estimates, reference, traits, list(filter(None, notes)))


def _measured_rows(
    trainer: LoopTrainer, comparison: Comparison, choice: MeasureRows, estimates: Sequence[Estimate]
) -> int | None:
    """Return the rows that evaluation points measure; None: all, as where the loss needs them at once."""
    if not trainer.setup.workload.in_parts:
        return None
    sizes = [source.n for source in regular_sources(trainer.sources).values()]
    sample = Sample.of(sizes[0], comparison.eval_chunk)
    recalibration = sample.passes * sample.size if comparison.recalibrate else 0
    return choose_rows(choice, sizes, comparison.budget, comparison.measure, estimates, recalibration)
