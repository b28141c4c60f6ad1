"""Decide whether running averages are recalibrated before each measurement, for all arms or for none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.training_checks import MOST_REMAINING
from ..analysis.traits import Traits
from ..core.comparison import Trial
from ..core.formatting import percent
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..training.data import DatasetSource
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.recalibration import Sample, kept_by_update, updating
from .estimates import Estimate
from .masks import masked_layers

_SWITCHED_OFF = "--no-recalibrate (recalibrate=False) switches that off"
_SWITCHED_ON = "--recalibrate (recalibrate=True) computes them anew before each measurement"


@dataclass(frozen=True)
class Decision:
    """Hold whether running averages are recalibrated.

    Args:
        on: Whether they are.
        note: A sentence on it for the user; empty where there is none.
    """

    on: bool
    note: str = ""


def check_recalibrate(value: object) -> None:
    """Check the setting.

    Args:
        value: The argument of the caller.

    Raises:
        ComparisonError: It is not True, False or None.
    """
    if value not in (True, False, None):
        raise ComparisonError(
            f"recalibrate must be True, False, or None to let the number of updates decide, got {value!r}"
        )


def find_traits(trainer: LoopTrainer, estimates: Sequence[Estimate]) -> Traits:
    """Find the model's running averages, and the arms whose updates draw random numbers.

    Args:
        trainer: The loop trainer of the comparison.
        estimates: The estimates of its arms, from the dry run.

    Returns:
        The traits that the certificate reports.
    """
    comparison, source = trainer.setup.comparison, trainer.sources["train"]
    with preserved_rng():
        model = trainer.start(comparison.seeds[0]).model()
    norms = updating(model)
    slowest = max(norms, key=kept_by_update, default=None)
    return Traits(
        norm="" if slowest is None else type(slowest).__name__,
        kept=0.0 if slowest is None else kept_by_update(slowest),
        sample="" if slowest is None else str(Sample.of(source.n, comparison.eval_chunk)),
        drawing=[estimate.arm.label for estimate in estimates if estimate.draws],
        dataset=isinstance(source, DatasetSource),
        masked=masked_layers(model) if comparison.masks == "counter" else [],
    )


def decide(
    choice: bool | None, traits: Traits, estimates: Sequence[Estimate], stops_early: bool = False
) -> Decision:
    """Decide for all arms by the one that keeps the largest share of its initial running averages.

    An arm whose number of updates is not known before training (a budget of seconds, an adaptive strategy,
    trials that stop at their goal) counts as one that makes a single update.

    Args:
        choice: The choice of the user, which decides; None: there is none.
        traits: The traits of the model.
        estimates: The estimates of the arms.
        stops_early: Whether trials stop at a goal.

    Returns:
        The decision.
    """
    if not traits.norm:
        vain = "--recalibrate changes nothing: training updates no running averages of this model"
        return Decision(False, vain if choice else "")
    known = [None if stops_early else estimate.updates for estimate in estimates]
    shares = [traits.remaining(1 if updates is None else updates) for updates in known]
    most = max(range(len(shares)), key=shares.__getitem__)
    few = shares[most] > MOST_REMAINING
    arm, updates = estimates[most].arm.label, known[most]
    on = few if choice is None else bool(choice)
    if not (on or few):
        return Decision(False)
    if updates is None:
        why = f"{arm} may make few updates, whose number is not known before training"
    else:
        left = "would be left" if on else "is left"
        number = f"{updates:,} update{'s' * (updates != 1)}"
        why = f"{percent(shares[most])} of their initial values {left} at the end of {arm} ({number})"
    averages = f"the running averages of {traits.norm}"
    if on:
        since = f"since {why}" if few else "as asked for"
        return Decision(
            True, f"{averages} are recalibrated before each measurement, {since}; {_SWITCHED_OFF}"
        )
    return Decision(False, f"{averages} are not recalibrated, and {why}; {_SWITCHED_ON}")


def with_recalibration(trainer: LoopTrainer, estimates: Sequence[Estimate]) -> list[Estimate]:
    """Add the time of recalibration to estimates; it is timed at the start of a trial.

    Args:
        trainer: The loop trainer of the comparison with recalibration.
        estimates: The estimates of its arms, without it.

    Returns:
        The estimates with it.

    Raises:
        ComparisonError: This model's running averages cannot be recalibrated, and why.
    """
    seconds = []
    for on in (False, True):
        bare = dataclasses.replace(trainer.setup.comparison, diagnostics=(), recalibrate=on)
        with preserved_rng():
            run = trainer.in_brief(bare).run(Trial(bare.arms[0], bare.seeds[0]), None)
            try:
                run.measure()
            except USER_CODE_ERRORS as error:
                raise ComparisonError(
                    f"a measurement with recalibrated running averages fails: {explain(error)}; give "
                    "--no-recalibrate"
                ) from error
        seconds.append(run.progress.measure_seconds)
    more = max(0.0, seconds[1] - seconds[0])
    return [
        dataclasses.replace(estimate, further_seconds=estimate.further_seconds + more)
        for estimate in estimates
    ]
