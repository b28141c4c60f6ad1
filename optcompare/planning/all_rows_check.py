"""Measure all rows of a set before training, since a row that fails would else waste training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..core.tree import tensors
from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.workload import Workload
from ..training.autocast import in_autocast
from ..training.device import Clock
from ..training.loop.trainer import LoopTrainer, why
from ..training.measurement.evaluation import evaluate, evaluating

if TYPE_CHECKING:
    from torch import nn

_SHORT_SECONDS = 0.1
"""A measurement below this is timed again, since the first one may import and allocate much."""


def measure_all_rows(
    trainer: LoopTrainer, workload: Workload, model: nn.Module, name: str, seed: int
) -> float:
    """Measure all rows of a set at the shared start.

    Args:
        trainer: The loop trainer, with the data of the split.
        workload: The workload with its own copy of the loss on the device.
        model: The model at the shared start.
        name: ``train``, ``valid`` or ``test``.
        seed: The seed of the shared start.

    Returns:
        The seconds that it takes.

    Raises:
        WorkloadError: Rows cannot be measured, or the training loss is not finite.
    """
    comparison, source = trainer.setup.comparison, trainer.sources[name]
    measured = in_autocast(workload, trainer.device, comparison.autocast)

    def timed() -> tuple[float, dict[str, float]]:
        clock = Clock(trainer.device)
        with preserved_rng(), clock:
            found = evaluate(measured, model, {name: source}, comparison.eval_chunk)
        return clock.seconds, found

    try:
        seconds, found = timed()
        if seconds < _SHORT_SECONDS:
            seconds = min(seconds, timed()[0])
    except USER_CODE_ERRORS as error:
        reason = why(error, Trial(comparison.arms[0], seed), workload.size)
        raise WorkloadError(
            f"workload {workload.name}: {name} cannot be measured in passes of "
            f"{_passes(source.n, comparison.eval_chunk)}: {reason}{where_to_look(name)}"
        ) from error
    if name == "train" and not math.isfinite(found["train_loss"]):
        raise WorkloadError(
            f"workload {workload.name}: the training loss before the first update is {found['train_loss']}; "
            f"{_where_not_finite(trainer, workload, model)}"
        )
    return seconds


def where_to_look(name: str) -> str:
    """Return advice on a set that fails, to be appended to the reason; none on the training set."""
    return "" if name == "train" else "; look for rows or classes that train does not have"


def _passes(n: int, chunk: int) -> str:
    """Return the rows of the passes over a set in words."""
    last = f", the last of {n % chunk}" if n > chunk and n % chunk else ""
    return f"{min(n, chunk)} rows{last}"


def _where_not_finite(trainer: LoopTrainer, workload: Workload, model: nn.Module) -> str:
    """Find the first values that are not finite: in the weights, the data, the output or the loss.

    Returns:
        A clause for an error message, with the rows if they are known.
    """
    chunk, data = trainer.setup.comparison.eval_chunk, trainer.sources["train"]
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
