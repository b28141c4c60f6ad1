"""Marks, and the evaluation that every arm gets alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...core.tree import map_tensors
from ...interfaces.metrics import MetricValue
from ...interfaces.workload import Workload
from ..data import Source
from .module_state import state_kept

if TYPE_CHECKING:
    from torch import Tensor, nn

TEST_SET = "test"


def next_mark(samples: int, n: int, measure: int) -> int | None:
    """The first mark after ``samples``: doublings up to N, and ``measure`` marks an epoch.

    None: measuring is off.
    """
    if measure == 0:
        return None
    regular = _ceil(samples * measure // n + 1, n, measure)
    if samples >= n:
        return regular
    return min(regular, 1 << samples.bit_length(), n)


def last_mark(samples: int, n: int, measure: int) -> int:
    """The last mark that lies at or before ``samples``."""
    if measure == 0 or samples == 0:
        return 0
    regular = _ceil(samples * measure // n, n, measure)
    if samples >= n:
        return max(n, regular)
    return max(regular, 1 << (samples.bit_length() - 1))


def mark_number(mark: int, n: int, measure: int) -> int:
    """How many marks lie after 0 and at or before this one."""
    if measure == 0 or mark == 0:
        return 0
    doublings = [1 << power for power in range(min(mark, n - 1).bit_length())]
    own = sum(_ceil(each * measure // n, n, measure) != each for each in doublings)
    return min(mark * measure // n, mark) + own


def _ceil(index: int, n: int, measure: int) -> int:
    return -(-index * n // measure)


def along_the_way(sources: Mapping[str, Source]) -> dict[str, Source]:
    """The sources that are measured at every mark: all but the test set's."""
    return {name: source for name, source in sources.items() if name != TEST_SET}


def at_the_end(sources: Mapping[str, Source], trial: Trial) -> dict[str, Source]:
    """What is measured once, at the end of a trial: of the report's trials the test set, if there is one."""
    return {TEST_SET: sources[TEST_SET]} if TEST_SET in sources and trial.phase == "report" else {}


def not_yet(workload: Workload, sources: Mapping[str, Source], *, raw: bool) -> dict[str, float]:
    """The columns of the test set, if there is one, in a record that is not a trial's last: nan.

    ``raw``: whether those of the training's running averages stand beside them.
    """
    names = ("loss", *workload.metrics) if TEST_SET in sources else ()
    return {f"{prefix}{TEST_SET}_{name}": math.nan for prefix in ("", "raw_")[: 1 + raw] for name in names}


def evaluate(
    workload: Workload, model: nn.Module, sources: Mapping[str, Source], chunk: int
) -> dict[str, float]:
    """``train_loss``, ``valid_loss`` and every metric under the name of each source, on all its data."""
    loss = workload.loss
    with evaluating(model), state_kept(loss) if isinstance(loss, torch.nn.Module) else nullcontext():
        return {
            f"{prefix}_{name}": value
            for prefix, source in sources.items()
            for name, value in averages(workload, model, source, chunk).items()
        }


def averages(workload: Workload, model: nn.Module, source: Source, chunk: int) -> dict[str, float]:
    """The loss as a sum over weights, and metrics, in chunks of ``chunk`` rows in the data's own order."""
    return averages_over(workload, model, source, torch.arange(source.n).split(chunk))


def on_rows(
    workload: Workload, model: nn.Module, source: Source, chunk: int, rows: Tensor | None
) -> dict[str, float]:
    """The loss and every metric on some rows of a source, measured as :func:`evaluate` does; None: on all of
    them.
    """
    loss, indices = workload.loss, torch.arange(source.n) if rows is None else rows
    with evaluating(model), state_kept(loss) if isinstance(loss, torch.nn.Module) else nullcontext():
        return averages_over(workload, model, source, indices.split(chunk))


def averages_over(
    workload: Workload, model: nn.Module, source: Source, parts: Sequence[Tensor]
) -> dict[str, float]:
    """The loss as a sum over weights, and metrics, over these rows, each part in one forward pass."""
    total, weights = 0.0, 0.0
    metrics = {name: MetricValue(name, metric) for name, metric in workload.metric_functions.items()}
    for batch in source.stream(parts, 0, 0):
        weight = workload.weigh(batch)
        loss, output, y = judged(workload, model, batch)
        for metric in metrics.values():
            metric.add(output, y)
        total += float(loss) * weight if weight else 0.0  # a part without labels has none
        weights += weight
    return {
        "loss": total / weights if weights else math.nan,
        **{name: each.value() for name, each in metrics.items()},
    }


def averages_of(workload: Workload, model: nn.Module, batch: Any) -> list[float]:
    """One batch's mean loss, then each metric's sum and weight, all of which are such pairs."""
    with evaluating(model):
        loss, output, y = judged(workload, model, batch)
        pairs = [metric(output, y) for metric in workload.metric_functions.values()]
        return [float(loss), *(float(part) for pair in pairs for part in pair)]


def judged(workload: Workload, model: nn.Module, batch: Any) -> tuple[Tensor, Any, Any]:
    """The batch's mean loss, output and y, as :meth:`Workload.judged` gives them, without a graph.

    Where the model or the loss differentiates within, as a force is the gradient of an energy, gradients are
    switched on.
    """
    try:
        return workload.judged(model, batch)
    except RuntimeError as error:
        if torch.is_grad_enabled() or "require" not in str(error) or "grad" not in str(error):
            raise
    with torch.enable_grad():
        loss, output, y = workload.judged(model, batch)
    return loss.detach(), map_tensors(torch.Tensor.detach, output), map_tensors(torch.Tensor.detach, y)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients; module modes, all generators and what the model keeps of its own are left as
    they were.
    """
    with preserved_rng(), state_kept(model), torch.no_grad(), in_eval_mode(model):
        yield


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode; afterwards every part is in the mode that it was in, also one that other models share."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
