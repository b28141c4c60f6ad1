"""Full-batch gradient descent: one update an epoch, from the gradient over all samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optcompare import Epoch, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class FullBatch(Strategy):
    """All N samples in one update an epoch (gradient descent)."""

    positional: ClassVar[bool] = True

    def batches(self, epoch: Epoch) -> Iterator[Tensor]:
        yield epoch.order


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"full": FullBatch}
