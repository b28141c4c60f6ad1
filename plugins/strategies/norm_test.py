"""The norm test: a batch so large that the gradient's noise is small beside the gradient."""

from dataclasses import dataclass
from typing import ClassVar

from optcompare import StepStats, Strategy, hookimpl

from .adapting import Testing, ratio, signal, variance


@dataclass
class NormTest(Testing):
    """Grows the batch until E|ḡ - G|² ≤ θ²|G|²: B = ⌈trΣ̂/(θ²|G|²̂)⌉ (Byrd et al. 2012).

    With |ḡ|², which holds trΣ/B of noise, in the place of |G|²̂ = |ḡ|² - trΣ̂/B the test would ask for about
    B/θ² wherever noise dominates, whatever the truth. Averages forget with `decay` an update.
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
