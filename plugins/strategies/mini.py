"""Mini-batch descent without replacement: the epoch's order, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class MiniBatch(Strategy):
    """Batches of B samples, ⌈N/B⌉ updates an epoch; a short last batch is kept, or merged."""

    positional: ClassVar[bool] = True
    batch_size: int = 32
    tail: Literal["keep", "merge"] = "keep"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        import torch

        batches = list(epoch.order.split(self.batch_size))
        if self.tail == "merge" and len(batches) > 1 and len(batches[-1]) < self.batch_size:
            batches[-2:] = [torch.cat(batches[-2:])]
        yield from batches


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"mini": MiniBatch}
