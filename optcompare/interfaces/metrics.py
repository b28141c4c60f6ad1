"""Metrics of a workload: sums over rows, numbers of all rows, and objects updated batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..core.tree import map_tensors, replace_tensors, tensors
from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from .label_weights import IGNORED

if TYPE_CHECKING:
    from torch import Tensor

Metric = Callable[[Any, Any], Any]
"""``metric(output, y)`` returns a sum over the batch and its weight, or one number of all rows."""


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


def is_accumulated(metric: Any) -> bool:
    """Return whether a metric is an object that is updated batch by batch, as in torchmetrics."""
    return all(callable(getattr(metric, name, None)) for name in ("update", "compute", "reset"))


def is_pair(value: Any) -> bool:
    """Return whether a value is a pair of a sum and its weight."""
    return isinstance(value, tuple) and len(value) == 2


_UNKNOWN = object()
"""Stands for a number that a metric could not compute from some of the rows."""


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


class MetricValue:
    """Compute the value of one metric over many batches.

    Args:
        name: The name of the metric, for messages.
        metric: A function of output and y, or an object with ``update``, ``compute`` and ``reset``, which is
            copied.
    """

    def __init__(self, name: str, metric: Metric) -> None:
        self._name, self._metric = name, metric
        self._sum = self._weight = 0.0
        self._number: Any = None
        self._rows: list[tuple[Any, Any]] = []
        self._object: Any = None
        if is_accumulated(metric):
            self._object = copy.deepcopy(metric)
            self._object.reset()

    def add(self, output: Any, y: Any) -> None:
        """Add a batch; arguments are those of the metric."""
        if self._object is not None:
            if isinstance(output, torch.Tensor) and isinstance(self._object, torch.nn.Module):
                self._object.to(output.device)
            called(self._name, self._object.update, output, y)
        elif self._rows:
            self._rows.append(_kept(output, y))
        else:
            try:
                value = called(self._name, self._metric, output, y)
            except WorkloadError:  # It may need all rows, for instance some of each class.
                self._number, self._rows = _UNKNOWN, [_kept(output, y)]
                return
            if is_pair(value):
                self._sum, self._weight = self._sum + float(value[0]), self._weight + float(value[1])
            else:
                self._number, self._rows = value, [_kept(output, y)]

    def value(self) -> float:
        """Return the value over all batches so far; NaN if their weight is 0.

        Raises:
            WorkloadError: The metric does not return a number.
        """
        if self._object is not None:
            return self._one_number(called(self._name, self._object.compute))
        if self._rows:
            whole = self._number
            if len(self._rows) > 1 or whole is _UNKNOWN:
                whole = called(
                    self._name, self._metric, *(_joined(parts) for parts in zip(*self._rows, strict=True))
                )
            return self._one_number(whole)
        return self._sum / self._weight if self._weight else float("nan")

    def _one_number(self, value: Any) -> float:
        if isinstance(value, torch.Tensor):
            value = value.detach()
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
            raise WorkloadError(
                f"metric {self._name} gives a {type(value).__name__}{shape}; it must return one number, of "
                "all rows at once, or a sum and its weight"
            ) from None


def _kept(output: Any, y: Any) -> tuple[Any, Any]:
    """Return output and y without a graph, on the CPU."""
    kept = (map_tensors(lambda part: part.detach().cpu(), each) for each in (output, y))
    return next(kept), next(kept)


def _joined(parts: tuple[Any, ...]) -> Any:
    """Concatenate batches: the rows of each tensor."""
    return replace_tensors(
        parts[0], [torch.cat(together) for together in zip(*map(tensors, parts), strict=True)]
    )
