"""Single shuffling: the order of the first epoch is used in all epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class ShuffleOnce(Strategy):
    """Batches of B samples, in the first epoch's order in every epoch (single shuffling)."""

    batch_size: int = 32
    order: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        if self.order is None:
            self.order = epoch.order.clone()
        yield from self.order.clone().split(self.batch_size)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"once": ShuffleOnce}
