"""Compute the value of a metric over many batches."""

from __future__ import annotations

import copy
from typing import Any

import torch

from ..core.tree import map_tensors, replace_tensors, tensors
from ..errors import WorkloadError
from .metrics import Metric, called, is_accumulated, is_pair

_UNKNOWN = object()
"""Stands for a number that a metric could not compute from some of the rows."""


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
