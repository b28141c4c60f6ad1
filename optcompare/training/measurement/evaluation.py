"""Evaluation points, and the evaluation that is the same for all arms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...core.tree import map_tensors
from ...interfaces.metric_value import MetricValue
from ...interfaces.workload import Workload
from ..data import Source
from .evaluation_rows import TEST_SET, EvaluationRows, PartValues
from .module_state import preserved_state

if TYPE_CHECKING:
    from torch import Tensor, nn


def next_evaluation(samples: int, n: int, measure: int) -> int | None:
    """Return the first evaluation point after some samples; None if measuring is off.

    An evaluation point is a number of samples. Up to N all powers of two are evaluation points too.

    Args:
        samples: Training samples whose gradients were evaluated.
        n: Training samples, N.
        measure: Evaluation points per epoch; 0: none.
    """
    if measure == 0:
        return None
    regular = _ceil(samples * measure // n + 1, n, measure)
    if samples >= n:
        return regular
    return min(regular, 1 << samples.bit_length(), n)


def last_evaluation(samples: int, n: int, measure: int) -> int:
    """Return the last evaluation point at or before some samples; see :func:`next_evaluation`."""
    if measure == 0 or samples == 0:
        return 0
    regular = _ceil(samples * measure // n, n, measure)
    if samples >= n:
        return max(n, regular)
    return max(regular, 1 << (samples.bit_length() - 1))


def evaluation_number(point: int, n: int, measure: int) -> int:
    """Return the number of an evaluation point: how many lie after 0, up to and including it."""
    if measure == 0 or point == 0:
        return 0
    doublings = [1 << power for power in range(min(point, n - 1).bit_length())]
    own = sum(_ceil(each * measure // n, n, measure) != each for each in doublings)
    return min(point * measure // n, point) + own


def _ceil(index: int, n: int, measure: int) -> int:
    return -(-index * n // measure)


def regular_sources(sources: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources that are measured at every evaluation point: all but the test set."""
    return {name: source for name, source in sources.items() if name != TEST_SET}


def final_sources(sources: Mapping[str, Source], trial: Trial) -> dict[str, Source]:
    """Return the sources that are measured at the end of a trial: in the report the test set, if any."""
    return {TEST_SET: sources[TEST_SET]} if TEST_SET in sources and trial.phase == "report" else {}


def empty_test_columns(workload: Workload, sources: Mapping[str, Source], *, raw: bool) -> dict[str, float]:
    """Return the columns of the test set, if any, as NaN, for all records of a trial but the last.

    Args:
        workload: The workload, with its metrics.
        sources: The sources of the trial.
        raw: Whether there are also columns for the running averages of the training.
    """
    names = ("loss", *workload.metrics) if TEST_SET in sources else ()
    return {f"{prefix}{TEST_SET}_{name}": math.nan for prefix in ("", "raw_")[: 1 + raw] for name in names}


def evaluate(
    workload: Workload,
    model: nn.Module,
    sources: Mapping[str, Source],
    chunk: int,
    rows: EvaluationRows | None = None,
    parts: PartValues | None = None,
) -> dict[str, float]:
    """Return the loss and every metric on the data of each source, by column.

    Args:
        workload: The workload, on the device of the model.
        model: Any module; it is not changed.
        sources: The data, by the prefix of their columns.
        chunk: Rows of one forward pass.
        rows: The rows of each source; None: all.
        parts: Collects the values of one metric over each forward pass; None: they are not needed.
    """
    loss = workload.loss
    with evaluating(model), preserved_state(loss) if isinstance(loss, torch.nn.Module) else nullcontext():
        return {
            f"{prefix}_{name}": value
            for prefix, source in sources.items()
            for name, value in averages_over(
                workload,
                model,
                source,
                passes_of(prefix, source, chunk, rows),
                parts if parts is not None and parts.data == prefix else None,
            ).items()
        }


def passes_of(name: str, source: Source, chunk: int, rows: EvaluationRows | None) -> Sequence[Tensor]:
    """Return the rows of each forward pass of an evaluation, int64 each.

    Args:
        name: The name of the set.
        source: Its data.
        chunk: Rows of one forward pass at most.
        rows: The rows to evaluate; None: all, in the order of the data.
    """
    if rows is None or name not in rows.sampled:
        return list(torch.arange(source.n).split(chunk))
    return list(rows.sampled[name].split(rows.chunk(name, chunk)))


def averages(workload: Workload, model: nn.Module, source: Source, chunk: int) -> dict[str, float]:
    """Return the loss and metrics on a source, in chunks of rows in the order of the data."""
    return averages_over(workload, model, source, torch.arange(source.n).split(chunk))


def averages_over(
    workload: Workload,
    model: nn.Module,
    source: Source,
    passes: Sequence[Tensor],
    parts: PartValues | None = None,
) -> dict[str, float]:
    """Return the loss, as a weighted mean, and metrics over some rows.

    Args:
        workload: The workload, on the device of the model.
        model: A module in evaluation mode.
        source: The data.
        passes: The rows of each forward pass, int64 each.
        parts: Collects the values of one metric over each pass; None: they are not needed.
    """
    total, weights = 0.0, 0.0
    metrics = {name: MetricValue(name, metric) for name, metric in workload.metric_functions.items()}
    for indices, batch in zip(passes, source.stream(passes, 0, 0), strict=True):
        weight = workload.weigh(batch)
        loss, output, y = evaluate_batch(workload, model, batch)
        for metric in metrics.values():
            metric.add(output, y)
        if parts is not None:
            parts.add_batch(workload, loss, weight, output, y, len(indices))
        total += float(loss) * weight if weight else 0.0  # the loss of a part without labels is NaN
        weights += weight
    return {
        "loss": total / weights if weights else math.nan,
        **{name: each.value() for name, each in metrics.items()},
    }


def averages_of(workload: Workload, model: nn.Module, batch: Any) -> list[float]:
    """Return the mean loss of a batch, then sum and weight of each metric; all metrics must be such pairs."""
    with evaluating(model):
        loss, output, y = evaluate_batch(workload, model, batch)
        pairs = [metric(output, y) for metric in workload.metric_functions.values()]
        return [float(loss), *(float(part) for pair in pairs for part in pair)]


def evaluate_batch(workload: Workload, model: nn.Module, batch: Any) -> tuple[Tensor, Any, Any]:
    """Call :meth:`.Workload.loss_and_output`, and return its results without a graph.

    Gradients are enabled if the model or the loss needs them: a force, for example, is the gradient of an
    energy.

    Args:
        workload: The workload, on the device of the model.
        model: A module in evaluation mode.
        batch: A batch from the source of the data.
    """
    try:
        return workload.loss_and_output(model, batch)
    except RuntimeError as error:
        if torch.is_grad_enabled() or "require" not in str(error) or "grad" not in str(error):
            raise
    with torch.enable_grad():
        loss, output, y = workload.loss_and_output(model, batch)
    return loss.detach(), map_tensors(torch.Tensor.detach, output), map_tensors(torch.Tensor.detach, y)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Use evaluation mode without gradients within the context, and undo all changes afterwards.

    The modes of modules, all generators and the attributes of the model are restored.
    """
    with preserved_rng(), preserved_state(model), torch.no_grad(), in_eval_mode(model):
        yield


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Use evaluation mode within the context, and restore the mode of every module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
