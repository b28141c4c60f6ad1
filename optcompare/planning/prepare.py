"""A question resolved and tried out: everything up to the first trained trial, without writing anything."""

from __future__ import annotations

import dataclasses
import multiprocessing
from dataclasses import dataclass
from typing import Any

from ..analysis.certificate import Reference
from ..analysis.traits import Traits
from ..core.comparison import Comparison
from ..core.named_code import code_of
from ..core.rng import preserved_rng
from ..core.user_directories import torch_cache_of_this_user
from ..errors import OptcompareError
from ..interfaces.executor import Demand
from ..registry.manager import Registry
from ..storage.trusted_code import remember
from ..training.contender import Setup
from ..training.device import resolve as resolve_device
from ..training.device import torch_as_agreed, undetermined
from ..training.loop.trainer import LoopTrainer
from ..training.placement import cast_note
from ..training.settings import settings_kept
from .dry_run import Estimate, rehearse
from .precision import precision_notes
from .recalibration import check_asked, decide, find_traits, with_recalibration
from .reference_check import check_reference, uncut_notes
from .resolve import resolve, restore


@dataclass(frozen=True)
class Prepared:
    """A comparison that passed its rehearsal: ready to be run, or only to be shown.

    ``reference``: which updates of its arms were found to be those of a plain loop; ``traits``: what the
    certificate says of running averages and random numbers.
    """

    registry: Registry
    setup: Setup
    trainer: LoopTrainer
    estimates: list[Estimate]
    notes: list[str]
    reference: Reference
    traits: Traits

    def asking(self, comparison: Comparison) -> Prepared:
        """The same for another comparison of the same arms."""
        trainer = self.trainer.asking(comparison)
        return dataclasses.replace(self, setup=trainer.setup, trainer=trainer)


def prepare(
    registry: Registry,
    *,
    device: str = "auto",
    dtype: str = "float32",
    recalibrate: bool | None = None,
    held: bool = True,
    **question: Any,
) -> Prepared:
    """Resolves a question (the arguments of :func:`compare`) and rehearses it; no run is written, and what
    code was named is remembered for this user.

    ``held``: whether its arms are held to a plain loop.
    """
    check_asked(recalibrate)
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # it imports the script that made it
        raise SystemExit(Demand.unguarded)
    with torch_cache_of_this_user(), preserved_rng(), settings_kept():
        setup, notes = resolve(registry, device=str(resolve_device(device, dtype)), dtype=dtype, **question)
        registry.warnings += remember(code_of(setup.comparison))
        return _rehearsed(registry, setup, notes, recalibrate, held)


def prepare_again(registry: Registry, comparison: Comparison) -> Prepared:
    """The same for a saved comparison."""
    resolve_device(comparison.device, comparison.dtype)
    with torch_cache_of_this_user(), preserved_rng(), settings_kept():
        setup, notes = restore(registry, comparison)
        return _rehearsed(registry, setup, notes, comparison.recalibrate, True)


@dataclass(frozen=True)
class _Tried:
    """What a rehearsal leaves."""

    trainer: LoopTrainer
    estimates: list[Estimate]
    reference: Reference
    traits: Traits
    note: str


def _rehearsed(
    registry: Registry, setup: Setup, notes: list[str], recalibrate: bool | None, held: bool
) -> Prepared:
    comparison, operations = setup.comparison, list[str]()
    with torch_as_agreed(comparison.threads, comparison.deterministic), undetermined(operations):
        tried = _tried(setup, recalibrate, held)
    trainer, reference = tried.trainer, tried.reference
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
        *([tried.note] if tried.note else []),
        *precision_notes(setup.workload, trainer.dtype),
        *uncut_notes(reference),
    ]
    return Prepared(registry, trainer.setup, trainer, tried.estimates, notes, reference, tried.traits)


def _tried(setup: Setup, recalibrate: bool | None, held: bool) -> _Tried:
    """Rehearses, with copies of a module that takes long to make; where these do not train as it does,
    without copies.
    """
    trainer = LoopTrainer(dataclasses.replace(setup, copies=held))
    try:
        return _tried_by(trainer, recalibrate, held)
    except OptcompareError:
        if not trainer.copied:
            raise
        return _tried_by(LoopTrainer(setup), recalibrate, held)


def _tried_by(trainer: LoopTrainer, recalibrate: bool | None, held: bool) -> _Tried:
    estimates = rehearse(trainer)
    traits = find_traits(trainer, estimates)
    decision = decide(recalibrate, traits, estimates, trainer.setup.comparison.stop_at_goal)
    trainer = trainer.asking(dataclasses.replace(trainer.setup.comparison, recalibrate=decision.on))
    if decision.on:
        estimates = with_recalibration(trainer, estimates)
    reference = check_reference(trainer, estimates) if held else Reference()
    trainer.setup = dataclasses.replace(trainer.setup, uncut=reference.uncut)
    return _Tried(trainer, estimates, reference, traits, decision.note)
