"""Stochastic gradient descent in its original sense: one sample per update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class SingleSample(Strategy):
    """One sample an update, N updates an epoch."""

    positional: ClassVar[bool] = True

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        yield from epoch.order.split(1)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"single": SingleSample}
