"""The inner-product test: batches large enough that their gradient is a descent direction."""

from dataclasses import dataclass
from typing import ClassVar

from optcompare import StepStats, Strategy, hookimpl

from .adapting import Testing, ratio


@dataclass
class InnerProduct(Testing):
    """Grow the batch until Var(g_i·ḡ)/B ≤ θ²|ḡ|⁴ (Bollapragada et al. 2017, arXiv 1710.11258).

    So B = ⌈Var(g_i·ḡ)/(θ²|ḡ|⁴)⌉.

    Only noise along the gradient counts, so that batches are far smaller than with the norm test. As
    published, the test uses ḡ of the batch in place of the true gradient. Where noise dominates, ḡ is mostly
    noise, and the test requires little. Averages decay by `decay` per update.
    """

    needs: ClassVar[tuple[str, ...]] = ("sample_grad_dots", "grad_norm")

    def measure(self, stats: StepStats) -> list[float]:
        assert stats.sample_grad_dots is not None
        assert stats.grad_norm is not None
        return [float(stats.sample_grad_dots.double().var()), stats.grad_norm**2]

    def propose(self, means: list[float], stats: StepStats) -> float:
        along, square = means
        return ratio(along, self.theta**2 * square**2)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"inner-product": InnerProduct}
