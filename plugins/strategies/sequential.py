"""No shuffling: the samples in the order of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Sequential(Strategy):
    """Batches of B samples, from 0 to N-1 in every epoch; sorted data give sorted batches."""

    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        yield from epoch.order.sort().values.split(self.batch_size)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"sequential": Sequential}
