"""Collect measurements of a run that are not in its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..core.comparison import Trial
from ..storage.state_files import bytes_of
from ..training.measurement.counters import Progress

_MOST_WEIGHTS_BYTES = 2**30
_TENSOR_BYTES = 1000
"""The bytes of a tensor in addition to its numbers."""


@dataclass
class Measured:
    """Hold the measurements of a run that are not in its tables.

    Attributes:
        paths: Rows of ``arm, seed, update, x, y``, for models with two weights.
        snapshots: By arm, pairs of an update and the weights [P] after it, or a sketch of them.
        weights: By arm, seed and tuning repeat, the final ``state_dict()`` on the CPU, up to 1 GiB in all.
        interrupted: Whether some trial was not trained to its end.
    """

    paths: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    weights: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    interrupted: bool = False
    _weight_bytes: int = 0

    def add(self, trial: Trial, model: Mapping[str, Any], progress: Progress) -> None:
        """Add a trial that has ended.

        Args:
            trial: A trial of the report.
            model: The final ``state_dict()``; empty if the trial failed before its model was made.
            progress: The counters of the trial.
        """
        self.paths += [
            {"arm": trial.arm.label, "seed": trial.seed, "update": int(update), "x": x, "y": y}
            for update, x, y in progress.path
        ]
        if progress.snapshots:
            self.snapshots[trial.arm.label] = [(at, weights.numpy()) for at, weights in progress.snapshots]
        size = sum(
            bytes_of(value) + _TENSOR_BYTES for value in model.values() if isinstance(value, torch.Tensor)
        )
        if model and self._weight_bytes + size <= _MOST_WEIGHTS_BYTES:
            self._weight_bytes += size
            self.weights[trial.arm.label, trial.seed, trial.repeat] = {
                name: value.cpu() if isinstance(value, torch.Tensor) else value
                for name, value in model.items()
            }
