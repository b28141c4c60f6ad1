"""Statistics of updates in lanes, for the adaptive strategies of their trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from ...core.choices import EngineName
from ...core.tree import replace_tensors, tensors
from ...interfaces.strategy import StepStats
from ..device import flushing_denormals
from ..measurement.step_stats import needs_samples
from .engines.choice import Engines
from .engines.engine import Carry
from .engines.traced import trace
from .engines.vmapped import Update
from .program import Blueprint
from .random_numbers import random_numbers_refused
from .update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor

_UNTRACED = 20
"""The number of updates of a batch size before it is traced."""


class UpdateWithStats:
    """Update lanes, and return the statistics that their strategies need after the carry.

    Args:
        blueprint: The blueprint of the lanes.
        needs: The names of the statistics; ``lr`` is no result of the update, and not computed.
    """

    def __init__(self, blueprint: Blueprint, needs: Sequence[str]) -> None:
        self._blueprint = blueprint
        self._gradient = torch.func.grad_and_value(blueprint.loss, has_aux=True)
        self.names = [name for name in needs if name != "lr"]

    def update(self, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> Carry:
        """Make one update of every lane; see :meth:`.Blueprint.update`.

        Returns:
            The new carry, and each statistic, [R, …].
        """
        blueprint = self._blueprint
        batch = blueprint.batch([tensor[index] for tensor in data])
        stats: Carry = []
        if self.names:
            with random_numbers_refused():
                stats = torch.vmap(self._stats_of_one, randomness="error")(carry, batch)
        return [*blueprint.update(carry, rates, data, index), *stats]

    def _stats_of_one(self, carry: Carry, batch: Any) -> list[Tensor]:
        """Return the statistics of one lane, as :func:`.step_stats` computes them."""
        count, found = len(self._blueprint.weights), dict[str, torch.Tensor]()
        weights, kept = carry[:count], carry[count : count + len(self._blueprint.kept)]
        if not {"loss", "grad", "grad_norm", "sample_grad_dots"}.isdisjoint(self.names):
            gradients, (found["loss"], _) = self._gradient(weights, kept, batch)
            found["grad"] = torch.cat([gradient.reshape(-1) for gradient in gradients])
            found["grad_norm"] = found["grad"].norm()
        if needs_samples(self.names):
            each = self._of_samples(weights, kept, batch)
            found |= {"sample_grads": each, "sample_grad_norms": each.norm(dim=1)}
            if "sample_grad_dots" in self.names:
                found["sample_grad_dots"] = each @ found["grad"]
        return [found[name] for name in self.names]

    def _of_samples(self, weights: Carry, kept: Carry, batch: Any) -> Tensor:
        """Return the gradient of the loss of each sample, [B, P]."""

        def of_one(*sample: Tensor) -> list[Tensor]:
            row = replace_tensors(batch, [part.unsqueeze(0) for part in sample])
            return self._gradient(weights, kept, row)[0]  # type: ignore[no-any-return]

        gradients = torch.vmap(of_one, randomness="error")(*tensors(batch))
        return torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)


class StatsPrograms:
    """Hold the programs of a group whose strategies need statistics, by batch size.

    They make one update at a time, so that they are vmapped or traced, and never compiled. A batch size is
    traced once it has been used for some updates, since some strategies change it all the time.

    Args:
        blueprint: The blueprint of the lanes.
        needs: The names of the statistics.
        data: The tensors of the training data.
        engines: The engines of the comparison, of which only tracing counts.

    Attributes:
        engine: The engine of the last update.
    """

    def __init__(
        self, blueprint: Blueprint, needs: Sequence[str], data: Carry, engines: Engines | None = None
    ) -> None:
        self._updates, self._data = UpdateWithStats(blueprint, needs), data
        self._engines = engines or Engines()
        self.engine: EngineName = "vmapped"
        self._programs: dict[int, Update] = {}
        self._made = Counter[int]()

    @property
    def names(self) -> list[str]:
        """Return the names of the statistics that the programs compute."""
        return self._updates.names

    def run(self, carry: Carry, rates: Carry, index: Tensor, updates: float) -> tuple[Carry, list[StepStats]]:
        """Make one update of all lanes.

        Args:
            carry: The carry of all lanes.
            rates: The rates of the update, [1, R] each.
            index: The rows of each lane's batch, int64[R, B].
            updates: Updates that are left at this batch size; few do not repay tracing.

        Returns:
            The new carry, and the statistics of each lane, without ``lr``.
        """
        size, own = index.shape[1], [rate[0] for rate in rates]
        with torch.no_grad(), flushing_denormals(index.device):
            self._made[size] += 1
            often = self._made[size] > _UNTRACED and self._engines.worth_tracing(updates)
            if size not in self._programs and often:
                self._programs[size] = trace(self._updates.update, carry, own, self._data, index)
            self.engine = "traced" if size in self._programs else "vmapped"
            values = self._programs.get(size, self._updates.update)(carry, own, self._data, index)
        return values[: len(carry)], self._of_lanes(values[len(carry) :], *index.shape)

    def _of_lanes(self, values: Carry, lanes: int, size: int) -> list[StepStats]:
        found = [StepStats(batch_size=size) for _ in range(lanes)]
        for name, value in zip(self._updates.names, values, strict=True):
            for stats, own in zip(found, value.tolist() if value.ndim == 1 else value, strict=True):
                setattr(stats, name, own)
        return found


def refuse_other_stats(needs: Sequence[str], one: StepStats, other: StepStats, most: float) -> None:
    """Refuse lanes whose statistics of an update differ from those of the loop.

    Args:
        needs: The names of the statistics.
        one: The statistics in lanes.
        other: The statistics in the loop, from the same state.
        most: The largest difference that is allowed, relative to the norm of each statistic.

    Raises:
        Unsupported: One differs by more, or has another shape.
    """
    for name in needs:
        a, b = (
            torch.as_tensor(cast(Any, getattr(stats, name)), dtype=torch.float64).cpu()
            for stats in (one, other)
        )
        apart = float((a - b).norm() / b.norm().clamp(min=most)) if a.shape == b.shape else math.inf
        if not apart <= most and not (b.isfinite().logical_not().any() and a.shape == b.shape):
            raise Unsupported(
                f"{name}, which the strategy needs, differs from the loop's by {apart:.1e} of its norm "
                f"({most:.0e} is allowed)"
            )
