"""CABS: the batch size coupled with the learning rate and the loss, for plain SGD."""

from dataclasses import dataclass
from typing import ClassVar

from optcompare import StepStats, Strategy, hookimpl

from .adapting import Adapting, ratio, variance


@dataclass
class Cabs(Adapting):
    """Follow B = lr·trΣ̂/L, up and down: batches grow as the loss L falls (Balles et al. 2016).

    Source: arXiv 1612.05086.

    This maximises the expected gain of a step of plain SGD per cost, if the lowest possible loss is 0.
    Averages decay by `decay` per update.
    """

    plain_sgd: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("sample_grad_norms", "grad_norm", "loss", "lr")

    def measure(self, stats: StepStats) -> list[float]:
        assert stats.loss is not None
        return [variance(stats), stats.loss]

    def propose(self, means: list[float], stats: StepStats) -> float:
        assert stats.lr is not None
        noise, loss = means
        return ratio(stats.lr * noise, loss)


@hookimpl
def optcompare_strategies() -> dict[str, type[Strategy]]:
    return {"cabs": Cabs}
