"""The diagnostics of one trial under way: when they are due, and what they are given."""

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
from ..contender import Setup
from ..data import Source, first_rows
from .evaluation import last_mark, mark_number
from .per_sample_grads import SampleNorms
from .snapshot import Kept, LiveMoment, flat

if TYPE_CHECKING:
    from torch import Tensor, nn

_ROWS = 3


class Diagnosing:
    """What a trial computes at every K-th mark. Tuning trials compute nothing; their columns are nan.

    ``model``: the trial's, at the shared start; ``another``: makes one more. Whatever happens here is done to
    that.
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
        self._kept: Kept | None = None
        if self.active:
            self._workload = dataclasses.replace(workload, loss=copy.deepcopy(workload.loss))
            self._start = flat(trained(model))
            self._norms = sample_norms(self._workload, model, setup.workload.train)
            self._another = another

    def due(self, samples: int) -> bool:
        """Whether a record after so many samples is diagnosed: where the number of its mark is a multiple of
        K.
        """
        n, measure = self._source.n, self._comparison.measure
        number = mark_number(last_mark(samples, n, measure), n, measure)
        return self.active and number % self._comparison.diagnose_every == 0

    def keep(self, update: int, weights: Sequence[Tensor], indices: Tensor, epoch: int) -> None:
        """Called before an update that may be followed by a diagnosis; ``update``: those made before it."""
        self._kept = Kept(update, flat(weights), indices, epoch)

    def values(self, model: nn.Module, update: int, samples: int, lr: float) -> dict[str, float]:
        """All columns, nan where nothing is due."""
        return (
            self.measured(model, update, samples, lr)
            if self.due(samples)
            else dict.fromkeys(self.columns, math.nan)
        )

    def measured(self, model: nn.Module, update: int, samples: int, lr: float) -> dict[str, float]:
        """All columns, due or not."""
        kept, self._kept = self._kept, None
        kept = kept if kept is not None and kept.update == update - 1 else None
        with preserved_rng(), torch.enable_grad():
            moment = LiveMoment(
                self._workload,
                self._alike(model),
                self._source,
                self._norms,
                self._start,
                kept,
                update=update,
                samples=samples,
                seed=self._trial.seed,
                lr=lr,
                chunk=self._comparison.eval_chunk,
            )
            return {
                name: value
                for label, each in self._diagnostics.items()
                for name, value in _measured(label, each, moment).items()
            }

    def _alike(self, model: nn.Module) -> nn.Module:
        """A module in eval mode with the values of the trial's."""
        other = self._another()
        with torch.no_grad():
            for mine, theirs in (
                (other.parameters(), model.parameters()),
                (other.buffers(), model.buffers()),
            ):
                for to, value in zip(mine, theirs, strict=True):
                    to.copy_(value)
        other.eval()
        return other


def _measured(label: str, diagnostic: Diagnostic, moment: LiveMoment) -> dict[str, float]:
    try:
        found = diagnostic.measure(moment)
        if not (isinstance(found, Mapping) and set(found) == set(diagnostic.columns)):
            got = ", ".join(map(str, found)) if isinstance(found, Mapping) else f"a {type(found).__name__}"
            raise DiagnosticError(f"measure() must return {', '.join(diagnostic.columns)}, got {got}")
        return {name: float(found[name]) for name in diagnostic.columns}
    except OptcompareError as error:
        raise DiagnosticError(f"diagnostic {label}: {error}") from error
    except USER_CODE_ERRORS as error:
        raise DiagnosticError(f"diagnostic {label}: {explain(error)}") from error


def trained(model: nn.Module) -> list[Any]:
    """The weights that are trained."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def sample_norms(workload: Workload, model: nn.Module, data: Any) -> SampleNorms:
    """How this model's norms are computed, found out on the first rows of the data."""
    weight = next(model.parameters())
    return SampleNorms(
        workload, model, move_batch(first_rows(data, _ROWS, workload.collate), weight.device, weight.dtype)
    )
