"""Measure all rows of the data once, since a row that fails would else be found in the midst of training."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..core.tree import tensors
from ..errors import USER_CODE_ERRORS, WorkloadError
from ..training.autocast import in_autocast
from ..training.device import Clock
from ..training.loop.trainer import LoopTrainer, why
from ..training.measurement.evaluation import evaluate, evaluating, regular_sources
from ..training.own_loss import with_own_loss
from ..training.placement import place

_SHORT_SECONDS = 0.1
"""A measurement below this is timed again, since the first one may import and allocate much."""


def check_all_rows(trainer: LoopTrainer, seed: int) -> float:
    """Measure all rows of the training and the validation set once, at the shared start.

    Args:
        trainer: The loop trainer of the comparison.
        seed: The seed of the shared start.

    Returns:
        The seconds of measuring one row.

    Raises:
        WorkloadError: Rows cannot be measured, or the training loss is not finite.
    """
    own = with_own_loss(trainer.setup.workload, trainer.device, trainer.dtype)
    workload = in_autocast(own, trainer.device, trainer.setup.comparison.autocast)
    model = place(trainer.start(seed).model(), trainer.device, trainer.dtype)
    chunk, sources = trainer.setup.comparison.eval_chunk, regular_sources(trainer.sources)
    found: dict[str, float] = {}
    clock = Clock(trainer.device)
    with preserved_rng(), clock:
        for name, source in sources.items():
            try:
                found |= evaluate(workload, model, {name: source}, chunk)
            except USER_CODE_ERRORS as error:
                trial = Trial(trainer.setup.comparison.arms[0], seed)
                raise WorkloadError(
                    f"workload {workload.name}: not all rows of {name} can be measured in passes of "
                    f"{_passes(source.n, chunk)}: {why(error, trial, workload.size)}"
                ) from error
    seconds = clock.seconds
    if seconds < _SHORT_SECONDS:
        again = Clock(trainer.device)
        with preserved_rng(), again:
            evaluate(workload, model, sources, chunk)
        seconds = min(seconds, again.seconds)
    if not math.isfinite(found["train_loss"]):
        raise WorkloadError(
            f"workload {workload.name}: the training loss before the first update is {found['train_loss']}; "
            f"{_where_not_finite(trainer, seed)}"
        )
    return seconds / sum(source.n for source in sources.values())


def _passes(n: int, chunk: int) -> str:
    """Return the rows of the passes over a set in words."""
    last = f", the last of {n % chunk}" if n > chunk and n % chunk else ""
    return f"{min(n, chunk)} rows{last}"


def _where_not_finite(trainer: LoopTrainer, seed: int) -> str:
    """Find the first values that are not finite: in the weights, the data, the output or the loss.

    Args:
        trainer: The loop trainer of the comparison.
        seed: The seed of the shared start.

    Returns:
        A clause for an error message, with the rows if they are known.
    """
    workload = with_own_loss(trainer.setup.workload, trainer.device, trainer.dtype)
    chunk, data = trainer.setup.comparison.eval_chunk, trainer.sources["train"]
    model = place(trainer.start(seed).model(), trainer.device, trainer.dtype)
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        return f"the model begins with values in {broken[0]} that are not finite"
    with evaluating(model):
        for number, batch in enumerate(data.stream(torch.arange(data.n).split(chunk), 0, 0, ahead=False)):
            where = f"rows {number * chunk} to {min(data.n, (number + 1) * chunk) - 1}"
            if not _finite(batch):
                kind = str(trainer.dtype).removeprefix("torch.")
                first = number * chunk + _first_not_finite(batch)
                return f"there are values in the data that are not finite as {kind}, the first in row {first}"
            if workload.loss is not None and not _finite(workload.outcome(model, batch)[0]):
                return f"the data is finite, and the model's output for {where} is not"
            if not workload.mean_loss(model, batch).isfinite():
                output = "and the model's output " if workload.loss is not None else ""
                return (
                    f"the data {output}of {where} are finite, and the loss is not: look at what it divides "
                    "by or takes logs of"
                )
    return "look for values in the data, or a model's output, that are not finite"


def _first_not_finite(batch: Any) -> int:
    """Return the first row with a value that is not finite."""
    rows = [
        (~part.isfinite()).reshape(len(part), -1).any(1).nonzero() for part in tensors(batch) if part.ndim
    ]
    return min(int(numbers[0]) for numbers in rows if len(numbers))


def _finite(batch: Any) -> bool:
    return all(bool(part.isfinite().all()) for part in tensors(batch))
