"""Compute the diagnostics of a trial when they are due."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...core.tree import move_batch
from ...errors import USER_CODE_ERRORS, DiagnosticError, OptcompareError, explain
from ...interfaces.diagnostic import Diagnostic
from ...interfaces.workload import Workload
from ..data import Source, first_rows
from ..setup import Setup
from .evaluation import evaluation_number, last_evaluation
from .per_sample_grads import SampleNorms
from .snapshot import LastUpdate, LiveSnapshot, SnapshotContext, SnapshotPoint, flat

if TYPE_CHECKING:
    from torch import Tensor, nn

_ROWS = 3


class Diagnosing:
    """Compute the diagnostics of a trial at every K-th evaluation point; NaN in tuning trials.

    They use another module than the trial's, so that they do not affect the training.

    Args:
        setup: The comparison with its live objects.
        trial: One of its trials.
        workload: The workload, on the trial's device.
        model: The trial's model, at the shared start.
        another: A function that returns another such module.
        source: The training data.
    """

    def __init__(
        self,
        setup: Setup,
        trial: Trial,
        workload: Workload,
        model: nn.Module,
        another: Callable[[], nn.Module],
        source: Source,
    ) -> None:
        comparison = setup.comparison
        self._diagnostics: Mapping[str, Diagnostic] = (
            {part.label: setup.diagnostics[part.label] for part in comparison.diagnostics}
            if setup.diagnostics
            else {}
        )
        self.columns = [name for diagnostic in self._diagnostics.values() for name in diagnostic.columns]
        self.active = bool(self._diagnostics) and trial.phase == "report"
        self._comparison, self._trial, self._source = comparison, trial, source
        self._last: LastUpdate | None = None
        if self.active:
            own = dataclasses.replace(workload, loss=copy.deepcopy(workload.loss))
            start = flat(trained(model))
            norms = sample_norms(own, model, setup.workload.train)
            self._context = SnapshotContext(own, source, norms, start, trial.seed, comparison.eval_chunk)
            self._another = another

    def due(self, samples: int) -> bool:
        """Return whether a record is diagnosed: the number of its evaluation point is a multiple of K.

        Args:
            samples: Samples of the trial at the record.
        """
        n, measure = self._source.n, self._comparison.measure
        number = evaluation_number(last_evaluation(samples, n, measure), n, measure)
        return self.active and number % self._comparison.diagnose_every == 0

    def keep(self, update: int, weights: Sequence[Tensor], indices: Tensor, epoch: int) -> None:
        """Keep the start of an update, for diagnostics that are computed after it.

        Args:
            update: Updates made before it.
            weights: The weights of the trial.
            indices: The indices of its batch, int64[B].
            epoch: The number of its epoch.
        """
        self._last = LastUpdate(update, flat(weights), indices, epoch)

    def values(self, model: nn.Module, update: int, samples: int, lr: float) -> dict[str, float]:
        """Return all columns, NaN if no diagnostic is due; see :meth:`measured` for the arguments."""
        return (
            self.measured(model, update, samples, lr)
            if self.due(samples)
            else dict.fromkeys(self.columns, math.nan)
        )

    def measured(self, model: nn.Module, update: int, samples: int, lr: float) -> dict[str, float]:
        """Return all columns, due or not.

        Args:
            model: The trial's model.
            update: The number of updates made so far.
            samples: Training samples whose gradients were evaluated.
            lr: The learning rate of the last update.
        """
        last, self._last = self._last, None
        last = last if last is not None and last.number == update - 1 else None
        with preserved_rng(), torch.enable_grad():
            point = SnapshotPoint(update, samples, lr)
            snapshot = LiveSnapshot(self._context, self._copy(model), point, last)
            return {
                name: value
                for label, each in self._diagnostics.items()
                for name, value in _measured(label, each, snapshot).items()
            }

    def _copy(self, model: nn.Module) -> nn.Module:
        """Return a module in evaluation mode with the weights and buffers of the trial's model."""
        other = self._another()
        with torch.no_grad():
            for targets, values in (
                (other.parameters(), model.parameters()),
                (other.buffers(), model.buffers()),
            ):
                for target, value in zip(targets, values, strict=True):
                    target.copy_(value)
        other.eval()
        return other


def _measured(label: str, diagnostic: Diagnostic, snapshot: LiveSnapshot) -> dict[str, float]:
    try:
        values = diagnostic.measure(snapshot)
        if not (isinstance(values, Mapping) and set(values) == set(diagnostic.columns)):
            got = ", ".join(map(str, values)) if isinstance(values, Mapping) else f"a {type(values).__name__}"
            raise DiagnosticError(f"measure() must return {', '.join(diagnostic.columns)}, got {got}")
        return {name: float(values[name]) for name in diagnostic.columns}
    except OptcompareError as error:
        raise DiagnosticError(f"diagnostic {label}: {error}") from error
    except USER_CODE_ERRORS as error:
        raise DiagnosticError(f"diagnostic {label}: {explain(error)}") from error


def trained(model: nn.Module) -> list[Any]:
    """Return the trainable weights, in the order of the model."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def sample_norms(workload: Workload, model: nn.Module, data: Any) -> SampleNorms:
    """Choose how to compute the norms of a model's per-sample gradients, by a test on the first rows.

    Args:
        workload: The workload of the model.
        model: The model at its start.
        data: The training data.
    """
    weight = next(model.parameters())
    return SampleNorms(
        workload, model, move_batch(first_rows(data, _ROWS, workload.collate), weight.device, weight.dtype)
    )
