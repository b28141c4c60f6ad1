"""Metrics of a workload: sums over rows, numbers of all rows, and objects updated batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from .label_weights import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

Metric = Callable[[Any, Any], Any]
"""``metric(output, y)`` returns a sum over the batch and its weight, or one number of all rows."""


def share(metric: Metric) -> Metric:
    """Mark a function that returns a number of rows and that of all: no goal above 1 can be reached.

    Args:
        metric: The function; it gets the attribute ``upper_bound``.
    """
    vars(metric)["upper_bound"] = 1.0
    return metric


def upper_bound(metric: Any) -> float:
    """Return the most that a metric can be, by its ``upper_bound`` or torchmetrics' ``plot_upper_bound``."""
    bounds = (getattr(metric, name, None) for name in ("upper_bound", "plot_upper_bound"))
    return min((float(each) for each in bounds if isinstance(each, int | float)), default=math.inf)


def accuracy(output: Tensor, y: Tensor, ignored: int = IGNORED) -> tuple[Tensor, Tensor | int]:
    """Count correct predictions, as one of a workload's ``metrics``.

    Args:
        output: Scores [B, C] or [B, C, …], or one logit [B, 1] or [B].
        y: Classes [B] or [B, …], or 0 and 1 [B, 1] or [B].
        ignored: The class that is left out; for a workload, the ``ignore_index`` of its loss.

    Returns:
        The number of correct predictions, and the number of all predictions.
    """
    if output.ndim <= y.ndim:
        return ((output > 0) == (y > 0.5)).sum(), y.numel()
    planes = output.ndim > 2 and output.shape[2:] == y.shape[1:]
    kept = y != ignored
    return ((output.argmax(1 if planes else -1) == y) & kept).sum(), kept.sum()


share(accuracy)


def is_accumulated(metric: Any) -> bool:
    """Return whether a metric is an object that is updated batch by batch, as in torchmetrics."""
    return all(callable(getattr(metric, name, None)) for name in ("update", "compute", "reset"))


def is_pair(value: Any) -> bool:
    """Return whether a value is a pair of a sum and its weight."""
    return isinstance(value, tuple) and len(value) == 2


def called(name: str, metric: Callable[..., Any], *arguments: Any) -> Any:
    """Call a metric.

    Args:
        name: The name of the metric, for messages.
        metric: The metric, or one of its methods.
        *arguments: The arguments of the call.

    Raises:
        WorkloadError: The metric fails.
    """
    try:
        return metric(*arguments)
    except USER_CODE_ERRORS as error:
        raise WorkloadError(f"metric {name} fails: {explain(error)}") from error
