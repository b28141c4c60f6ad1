"""What strategies share that choose their batch size by the gradients so far."""

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from optcompare import Epoch, StepStats, Strategy


@dataclass
class Adapting(Strategy):
    """Cut the epoch's shared order into batches whose size each update may change, up to N.

    A subclass says what it measures in an update, and what batch size the averages of that propose. The
    averages are exponential, of numerators and denominators apart (a mean of ratios of noisy numbers would be
    far off), corrected for their start, and count each sample alike, so that small and noisy batches fade as
    larger ones come. One update shall not decide: a batch is at most twice the one before. The short batch at
    an epoch's end is trained on and not measured.
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
        """What the averages are of."""
        raise NotImplementedError

    def propose(self, means: list[float], stats: StepStats) -> float:
        """The batch size that the averages ask for; infinite where they see no signal in the noise."""
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
            return  # it diverges
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
    """Grows the batch until a test of it, against θ, holds."""

    grow_only: ClassVar[bool] = True

    theta: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.theta > 0:
            raise ValueError(f"theta must be positive, got {self.theta}")


def variance(stats: StepStats) -> float:
    """trΣ̂ = Σ|g_i - ḡ|²/(B-1), from ``sample_grad_norms`` and ``grad_norm``."""
    assert stats.sample_grad_norms is not None
    assert stats.grad_norm is not None
    squares = float(stats.sample_grad_norms.double().square().sum())
    return max(0.0, squares - stats.batch_size * stats.grad_norm**2) / (stats.batch_size - 1)


def signal(stats: StepStats) -> float:
    """|G|²̂ = |ḡ|² - trΣ̂/B: unbiased for the squared norm of the true gradient, so it may be negative."""
    assert stats.grad_norm is not None
    return stats.grad_norm**2 - variance(stats) / stats.batch_size


def ratio(above: float, below: float) -> float:
    """Infinite where the denominator is not positive, unless there is nothing above it."""
    return above / below if below > 0 else math.inf if above > 0 else 0.0
