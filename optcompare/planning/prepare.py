"""A question resolved and tried out: everything up to the first trained trial, without writing anything."""

from __future__ import annotations

import dataclasses
import multiprocessing
from dataclasses import dataclass
from typing import Any

from ..analysis.certificate import Reference
from ..core.comparison import Comparison
from ..core.rng import preserved_rng
from ..errors import OptcompareError
from ..interfaces.executor import Demand
from ..registry.manager import Registry
from ..training.contender import Setup
from ..training.device import resolve as resolve_device
from ..training.device import torch_as_agreed, undetermined
from ..training.loop.trainer import LoopTrainer
from ..training.placement import cast_note
from ..training.settings import settings_kept
from .dry_run import Estimate, rehearse
from .precision import precision_notes
from .reference_check import check_reference, uncut_notes
from .resolve import resolve, restore


@dataclass(frozen=True)
class Prepared:
    """A comparison that passed its rehearsal: ready to be run, or only to be shown.

    ``reference``: which updates of its arms were found to be those of a plain loop.
    """

    registry: Registry
    setup: Setup
    trainer: LoopTrainer
    estimates: list[Estimate]
    notes: list[str]
    reference: Reference

    def asking(self, comparison: Comparison) -> Prepared:
        """The same for another comparison of the same arms."""
        trainer = self.trainer.asking(comparison)
        return dataclasses.replace(self, setup=trainer.setup, trainer=trainer)


def prepare(
    registry: Registry, *, device: str = "auto", dtype: str = "float32", held: bool = True, **question: Any
) -> Prepared:
    """Resolves a question (the arguments of :func:`compare`) and rehearses it; nothing is written.

    ``held``: whether its arms are held to a plain loop.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # it imports the script that made it
        raise SystemExit(Demand.unguarded)
    with preserved_rng(), settings_kept():
        setup, notes = resolve(registry, device=str(resolve_device(device, dtype)), dtype=dtype, **question)
        return _rehearsed(registry, setup, notes, held)


def prepare_again(registry: Registry, comparison: Comparison) -> Prepared:
    """The same for a saved comparison."""
    resolve_device(comparison.device, comparison.dtype)
    with preserved_rng(), settings_kept():
        setup, notes = restore(registry, comparison)
        return _rehearsed(registry, setup, notes, True)


def _rehearsed(registry: Registry, setup: Setup, notes: list[str], held: bool) -> Prepared:
    comparison, operations = setup.comparison, list[str]()
    with torch_as_agreed(comparison.threads, comparison.deterministic), undetermined(operations):
        trainer, estimates, reference = _tried(setup, held)
    if operations:
        notes = [*notes, f"{comparison.device} has no deterministic algorithm for {', '.join(operations)}: run again, "
                 "trials may end in other last bits"]  # fmt: skip
    with preserved_rng():
        cast = cast_note(trainer.start(comparison.seeds[0]).model(), trainer.dtype)
    notes = [
        *notes,
        *([cast] if cast else []),
        *precision_notes(setup.workload, trainer.dtype),
        *uncut_notes(reference),
    ]
    return Prepared(registry, trainer.setup, trainer, estimates, notes, reference)


def _tried(setup: Setup, held: bool) -> tuple[LoopTrainer, list[Estimate], Reference]:
    """Rehearses, with copies of a module that takes long to make; where these do not train as it does, without copies."""
    trainer = LoopTrainer(dataclasses.replace(setup, copies=held))
    try:
        estimates = rehearse(trainer)
        reference = check_reference(trainer, estimates) if held else Reference()
    except OptcompareError:
        if not trainer.copied:
            raise
        trainer = LoopTrainer(setup)
        estimates = rehearse(trainer)
        reference = check_reference(trainer, estimates) if held else Reference()
    trainer.setup = dataclasses.replace(trainer.setup, uncut=reference.uncut)
    return trainer, estimates, reference
