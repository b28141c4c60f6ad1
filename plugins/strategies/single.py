"""Stochastic gradient descent in its original sense: one sample per update."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from optcompare import Epoch, Strategy, hookimpl


@dataclass
class SingleSample(Strategy):
    """One sample an update, N updates an epoch."""

    positional: ClassVar[bool] = True

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        yield from epoch.order.split(1)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"single": SingleSample}
