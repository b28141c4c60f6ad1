"""Growth of the batch size in place of decay of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Growth(Strategy):
    """Batches of B·factor^k samples once k of the epochs `at` have begun (the first epoch is 0), at most N.

    To first order a step of SGD adds noise of variance ∝ lr/B, so that B·5 does what lr/5 does, in fewer
    updates (Smith et al. 2018, arXiv 1711.00489).
    """

    batch_size: int = 32
    factor: float = 5.0
    at: tuple[int, ...] = (5, 10, 15)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1 and finite, got {self.factor}")
        if any(epoch < 0 for epoch in self.at):
            raise ValueError(f"at lists epochs, counted from 0; got {self.at}")

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        size, most = float(self.batch_size), len(epoch.order)
        for begins in self.at:
            size = min(size * self.factor, most) if begins <= epoch.index and size < most else size
        yield from epoch.order.split(round(size))


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"growth": Growth}
