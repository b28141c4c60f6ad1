"""The gradient noise scale as batch size; above it larger batches save ever fewer updates."""

from dataclasses import dataclass
from typing import ClassVar

from optcompare import StepStats, Strategy, hookimpl

from .adapting import Adapting, ratio, signal, variance


@dataclass
class NoiseScale(Adapting):
    """Follow B = trΣ̂/|G|²̂, up and down (B_simple of McCandlish et al. 2018, arXiv 1812.06162).

    trΣ̂ = Σ|g_i - ḡ|²/(B-1) and |G|²̂ = |ḡ|² - trΣ̂/B are averaged separately. Averages decay by
    `decay` per update.
    """

    needs: ClassVar[tuple[str, ...]] = ("sample_grad_norms", "grad_norm")

    def measure(self, stats: StepStats) -> list[float]:
        return [variance(stats), signal(stats)]

    def propose(self, means: list[float], stats: StepStats) -> float:
        noise, square = means
        return ratio(noise, square)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"noise-scale": NoiseScale}
