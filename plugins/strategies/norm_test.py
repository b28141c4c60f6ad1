"""The norm test: batches large enough that noise is small relative to the gradient."""

from dataclasses import dataclass
from typing import ClassVar

from optcompare import StepStats, Strategy, hookimpl

from .adapting import Testing, ratio, signal, variance


@dataclass
class NormTest(Testing):
    """Grow the batch until E|ḡ - G|² ≤ θ²|G|²: B = ⌈trΣ̂/(θ²|G|²̂)⌉ (Byrd et al. 2012).

    The test uses |G|²̂ = |ḡ|² - trΣ̂/B, since |ḡ|² contains trΣ/B of noise. With |ḡ|² it would always require
    about B/θ² where noise dominates. Averages decay by `decay` per update.
    """

    needs: ClassVar[tuple[str, ...]] = ("sample_grad_norms", "grad_norm")

    def measure(self, stats: StepStats) -> list[float]:
        return [variance(stats), signal(stats)]

    def propose(self, means: list[float], stats: StepStats) -> float:
        noise, square = means
        return ratio(noise, self.theta**2 * square)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"norm-test": NormTest}
