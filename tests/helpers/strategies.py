"""Strategies that remember or listen."""

from __future__ import annotations

from dataclasses import dataclass, field

from optcompare import (
    Strategy,
)


@dataclass
class Listener(Strategy):
    """An adaptive mini-batch that keeps all it is told."""

    size: int = 4
    told: list = field(init=False, default_factory=list)
    adaptive = True
    needs = ("loss", "lr", "grad_norm", "grad", "sample_grad_norms", "sample_grad_dots", "sample_grads")

    def batches(self, epoch):
        for batch in epoch.order.split(self.size):
            stats = yield batch
            self.told.append({name: getattr(stats, name) for name in ("batch_size", *self.needs)})


@dataclass
class Growing(Strategy):
    """Adaptive, with state: a batch is one larger than the last, from epoch to epoch."""

    size: int = field(init=False, default=1)

    adaptive = True
    needs = ("loss",)

    def batches(self, epoch):
        rest = epoch.order
        while len(rest):
            stats = yield rest[: self.size]
            assert stats.loss >= 0
            rest, self.size = rest[self.size :], self.size % 4 + 1
