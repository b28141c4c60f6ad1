"""Time an update and a measurement of a group of lanes before the run, without any effect on results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from ...core.choices import CompilerName
from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...errors import USER_CODE_ERRORS
from ..data import Source, TensorSource
from ..device import flushing_denormals
from ..machine_speed import mean_seconds
from ..measurement.evaluation import regular_sources
from ..setup import Setup
from .engines.inductor import is_compiled
from .engines.traced import operations_of
from .engines.xla import availability
from .evaluation import LanesEvaluation
from .trainer import LanesTrainer
from .update_rules import Unsupported

_WINDOW = 0.04
"""The approximate seconds for which an update, and a measurement, are repeated."""
_TIMED_PASSES = 2
"""The forward passes over each set that a timed measurement makes."""


@dataclass(frozen=True)
class Probed:
    """Hold measured seconds of a group of lanes.

    Args:
        update: One update of all lanes, by the engine that the group begins with.
        measurement: One measurement of all lanes on all rows.
        operations: Operations of the traced update; 0: it was not traced.
        compiler: The compiler that is expected to compile the program, or that did before; None: it is not
            compiled.
        cached: Whether the compiled program is in the cache.
    """

    update: float
    measurement: float
    operations: int = 0
    compiler: CompilerName | None = None
    cached: bool = False


def probe(lanes: LanesTrainer, trials: Sequence[Trial], updates: float) -> Probed | None:
    """Time an update and a measurement of a group; no trial, generator or file changes.

    The traced program is kept for the group itself, so that a run traces it only once.

    Args:
        lanes: The lanes trainer.
        trials: The lanes of one program.
        updates: The updates of each.

    Returns:
        The measured seconds; None if the group cannot run in lanes.
    """
    with preserved_rng(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            return _probed(lanes, trials, updates)
        except USER_CODE_ERRORS:
            return None


def _probed(lanes: LanesTrainer, trials: Sequence[Trial], updates: float) -> Probed:
    families, first = lanes.families, trials[0]
    family = families.of(first)
    if family.needs is not None:
        raise Unsupported("updates of adaptive strategies are not timed ahead")
    blueprint, width = family.blueprint, len(trials)
    programs = families.unused_programs(family, width)
    state = lanes.loop.run(first, None).state()
    carry, size = blueprint.stack([state] * width), max(family.sizes)
    example = programs.example(size, carry)
    rates, data, batch = [rate[0] for rate in example[1]], example[2], example[3][0]
    step: Callable[..., object] = blueprint.update
    operations, cached = 0, False
    compiler: CompilerName | None = None
    if families.engines.worth_tracing(updates * family.sizes.count(size) / len(family.sizes)):
        step = graph = programs.graph(size, carry)
        operations = operations_of(graph)
        worth = families.engines.to_try(graph, width, updates)
        if worth[:1] == ("xla",) and availability.obstacle() is None:
            compiler = "xla"
        elif "inductor" in worth and carry[0].device.type == "cpu":
            found = is_compiled(graph, example, programs.follow, families.libraries)
            compiler, cached = None if found is None else "inductor", bool(found)
    sources = regular_sources(family.loop.sources)
    evaluation = LanesEvaluation(
        lanes.setup.comparison, blueprint, cast(dict[str, TensorSource], family.loop.sources), family.fits[1]
    )

    def seconds(call: Callable[[], object]) -> float:
        def waited() -> None:
            call()
            if carry[0].is_cuda:
                torch.cuda.synchronize(carry[0].device)

        return mean_seconds(waited, _WINDOW)

    with flushing_denormals(carry[0].device):
        update = seconds(lambda: step(carry, rates, data, batch))
    passes = first_passes(sources, lanes.setup)
    of_few = seconds(lambda: evaluation.values(carry, range(width), sources, passes.__getitem__))
    share = sum(len(rows) for each in passes.values() for rows in each) / sum(
        source.n for source in sources.values()
    )
    return Probed(update, of_few / share, operations, compiler, cached)


def first_passes(sources: Mapping[str, Source], setup: Setup) -> dict[str, Sequence[torch.Tensor]]:
    """Return the first passes over each set, which suffice to time all.

    Args:
        sources: The sets that evaluation points measure, by their names.
        setup: The comparison and its live objects.
    """
    chunk = setup.comparison.eval_chunk
    return {name: torch.arange(source.n).split(chunk)[:_TIMED_PASSES] for name, source in sources.items()}
