"""Base classes of strategies that choose their batch size by previous gradients."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from optcompare import Epoch, StepStats, Strategy

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Adapting(Strategy):
    """Cut the epoch's shared order into batches whose size each update may change, up to N.

    A subclass defines what it measures in an update, and which batch size follows from the averages of its
    measurements. The averages are exponential and corrected for their start. Numerators and denominators are
    averaged separately, since a mean of noisy ratios is strongly biased. Each sample has the same weight, so
    that small, noisy batches count less once larger ones follow. A batch is at most twice as large as the
    previous one, so that a single update does not decide. The short batch at the end of an epoch is trained
    on but not measured.
    """

    adaptive: ClassVar[bool] = True
    grow_only: ClassVar[bool] = False

    batch_size: int = 32
    decay: float = field(default=0.95, kw_only=True)
    size: int = field(init=False, default=0)
    proposed: float = field(init=False, default=0.0)
    sums: list[float] = field(init=False, default_factory=list)
    weight: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size must be at least 2, got {self.batch_size}: a single sample has no variance"
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must lie between 0 and 1, and below 1, got {self.decay}")

    def measure(self, stats: StepStats) -> list[float]:
        """Return the numbers of an update that are averaged.

        Args:
            stats: The statistics of the update.
        """
        raise NotImplementedError

    def propose(self, means: list[float], stats: StepStats) -> float:
        """Return the batch size that follows from the averages; infinite if noise hides the gradient.

        Args:
            means: The averages of what :meth:`measure` returned.
            stats: The statistics of the last update.
        """
        raise NotImplementedError

    def batches(self, epoch: Epoch) -> Generator[Tensor, StepStats, None]:
        n, begin = len(epoch.order), 0
        self.size = min(max(self.size, self.batch_size), n)
        while begin < n:
            batch = epoch.order[begin : begin + self.size]
            begin += len(batch)
            stats = yield batch
            if 1 < len(batch) == self.size:
                self._learn(stats, n)

    def _learn(self, stats: StepStats, n: int) -> None:
        measured = self.measure(stats)
        if not all(map(math.isfinite, measured)):
            return  # the trial diverges
        rows = stats.batch_size
        before = self.sums or [0.0] * len(measured)
        self.sums = [self.decay * a + rows * b for a, b in zip(before, measured, strict=True)]
        self.weight = self.decay * self.weight + rows
        self.proposed = self.propose([value / self.weight for value in self.sums], stats)
        least = self.size if self.grow_only else min(self.batch_size, n)
        size = min(max(self.proposed, least), 2 * self.size, n)
        self.size = math.ceil(size) if self.grow_only else round(size)


@dataclass
class Testing(Adapting):
    """Grow the batch until a test with the parameter θ holds."""

    grow_only: ClassVar[bool] = True

    theta: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.theta > 0:
            raise ValueError(f"theta must be positive, got {self.theta}")


def variance(stats: StepStats) -> float:
    """Return trΣ̂ = Σ|g_i - ḡ|²/(B-1), from ``sample_grad_norms`` and ``grad_norm``."""
    assert stats.sample_grad_norms is not None
    assert stats.grad_norm is not None
    squares = float(stats.sample_grad_norms.double().square().sum())
    return max(0.0, squares - stats.batch_size * stats.grad_norm**2) / (stats.batch_size - 1)


def signal(stats: StepStats) -> float:
    """Return |G|²̂ = |ḡ|² - trΣ̂/B, an unbiased estimate of the squared gradient norm; may be negative."""
    assert stats.grad_norm is not None
    return stats.grad_norm**2 - variance(stats) / stats.batch_size


def ratio(above: float, below: float) -> float:
    """Return above/below; if ``below`` is not positive, inf for a positive ``above``, else 0."""
    return above / below if below > 0 else math.inf if above > 0 else 0.0
