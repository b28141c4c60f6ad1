"""Sampling with replacement, which most theory assumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Replacement(Strategy):
    """Batches of B samples, each sample drawn from all N with equal probability.

    N draws an epoch miss about 37% of the samples.
    """

    coverage: ClassVar[Literal["once", "free"]] = "free"
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        import torch

        n = len(epoch.order)
        yield from torch.randint(n, (n,), generator=epoch.rng).split(self.batch_size)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"replacement": Replacement}
