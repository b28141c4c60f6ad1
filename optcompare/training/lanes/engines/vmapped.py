"""The engine that calls one Python function for each update, vectorized over lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from ....core.choices import EngineName
from ...device import flushing_denormals
from .engine import Carry

if TYPE_CHECKING:
    from torch import Tensor

Update = Callable[[Carry, Carry, Carry, "Tensor"], Carry]
"""One update of all lanes: from carry, rates [R], data and indices int64[R, B] to the new carry."""


def flat_rows(weights: Carry) -> Tensor:
    """Return the weights of lanes as rows, [R, P]."""
    return torch.cat([weight.reshape(len(weight), -1) for weight in weights], 1)


class Vmapped:
    """Make one update after another.

    Args:
        update: The update of all lanes.
        data: The tensors of the training data.
        follow: The number of weight tensors that are returned after each update.
    """

    engine: EngineName = "vmapped"

    def __init__(self, update: Update, data: Carry, follow: int) -> None:
        self._update, self._data, self._follow = update, data, follow

    def load(self, carry: Carry) -> Carry:
        return carry

    def run(self, loaded: Carry, rates: Sequence[Tensor], index: Tensor) -> tuple[Carry, Tensor | None]:
        trail = []
        with torch.no_grad(), flushing_denormals(index.device):
            for number, batch in enumerate(index):
                own = [rate[number if len(rate) > 1 else 0] for rate in rates]
                loaded = self._update(loaded, own, self._data, batch)
                if self._follow:
                    trail.append(flat_rows(loaded[: self._follow]))
        return loaded, torch.stack(trail) if trail else None

    def unload(self, loaded: Carry) -> Carry:
        return loaded
