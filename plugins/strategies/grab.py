"""GraB: order the next epoch by the gradients of this one, so that they cancel early."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from optcompare import Epoch, StepStats, Strategy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class GraB(Strategy):
    """Batches of B samples, in an order found by balancing stale gradients (Lu et al. 2022).

    Source: arXiv 2205.10733.

    Let c be the gradient of a sample minus the mean of the last epoch. It is added to a running sum s with
    the sign that keeps s shorter. In the next epoch samples with + come first, in this order, and samples
    with - last, in reverse order. The first epoch uses the shared order and the mean so far. Only one mean
    gradient and the next order are stored, not N gradients.
    """

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("sample_grads",)
    batch_size: int = 32
    order: Tensor | None = field(init=False, default=None)
    mean: Tensor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")

    def batches(self, epoch: Epoch) -> Generator[Tensor, StepStats, None]:
        import torch

        order = epoch.order if self.order is None else self.order.clone()
        first: list[int] = []
        last: list[int] = []
        signed = total = torch.zeros(())
        for batch in order.split(self.batch_size):
            stats = yield batch
            assert stats.sample_grads is not None
            gradients = stats.sample_grads.cpu()  # [B, P]
            seen = len(first) + len(last) + torch.arange(1, len(batch) + 1)[:, None]
            totals = total.to(gradients) + gradients.cumsum(0)
            centred = gradients - (totals / seen if self.mean is None else self.mean)
            signed, total = signed.to(centred).expand(centred.shape[1]), totals[-1]
            for index, vector in zip(batch.tolist(), centred, strict=True):
                shorter = bool(torch.dot(signed, vector) < 0)  # |s + c| < |s - c|
                signed = signed + vector if shorter else signed - vector
                (first if shorter else last).append(index)
        self.order, self.mean = torch.tensor(first + last[::-1]), total / len(order)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"grab": GraB}
