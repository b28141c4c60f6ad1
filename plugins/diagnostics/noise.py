"""The spread of per-sample gradients."""

import math
from dataclasses import dataclass
from typing import ClassVar

from optcompare import Diagnostic, Snapshot, hookimpl


@dataclass
class _OfSamples(Diagnostic):
    rows: int = 256

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise ValueError(f"rows must be at least 2, got {self.rows}: a single sample has no variance")

    def estimates(self, snapshot: Snapshot) -> tuple[float, float]:
        """trΣ̂ = (Σ|g_i|² - R·|ḡ|²)/(R-1) = Σ|g_i - ḡ|²/(R-1), and |G|²̂ = |ḡ|² - trΣ̂/R."""
        samples = snapshot.sampled(self.rows)
        count, square = len(samples.squares), float(samples.mean.double().square().sum())
        if count < 2:
            return math.nan, math.nan
        variance = max(0.0, float(samples.squares.sum()) - count * square) / (count - 1)
        return variance, square - variance / count


@dataclass
class GradVariance(_OfSamples):
    """trΣ, the variance of the gradients of single samples at w_u, summed over all weights.

    Estimated without bias from R = `rows` training samples, drawn without replacement (all, if there are no
    more), in evaluation mode: trΣ̂ = Σ|g_i - ḡ|²/(R-1).
    """

    columns: ClassVar[tuple[str, ...]] = ("grad_variance",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return {"grad_variance": self.estimates(snapshot)[0]}


@dataclass
class NoiseScale(_OfSamples):
    """The gradient noise scale trΣ/|G|² at w_u, in samples (McCandlish et al. 2018, arXiv 1812.06162).

    Estimated from R = `rows` training samples, drawn without replacement (all, if there are no more),
    in evaluation mode: trΣ̂/|G|²̂ with trΣ̂ = Σ|g_i - ḡ|²/(R-1) and |G|²̂ = |ḡ|² - trΣ̂/R, both
    unbiased. The value is inf if |G|²̂ is not positive, since the noise then hides the gradient, and
    nan if the gradients do not vary either. Do not average these ratios over records or seeds, which
    is strongly biased; increase `rows`.
    """

    columns: ClassVar[tuple[str, ...]] = ("noise_scale",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        variance, square = self.estimates(snapshot)
        if square > 0:
            return {"noise_scale": variance / square}
        return {"noise_scale": math.inf if variance > 0 else math.nan}


@hookimpl
def optcompare_diagnostics() -> dict[str, type[Diagnostic]]:
    return {"grad_variance": GradVariance, "noise_scale": NoiseScale}
