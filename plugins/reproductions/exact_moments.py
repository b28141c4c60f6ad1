"""The expected risk of SGD on noisy quadratics, from exact first and second moments, without training.

A noisy quadratic is ½Σ h w² with gradients h w + ξ, where ξ of one sample has mean 0 and variance c per
direction (Zhang et al. 2019, arXiv 1907.04164). Training starts at w = (1, …, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Phase:
    """Describe updates that have one rate and one batch size.

    Attributes:
        rate: The learning rate.
        batch: The batch size B.
        updates: How many.
    """

    rate: float
    batch: int
    updates: int


def risk_of_phases(h: Array, c: Array, phases: Sequence[Phase], n: int | None = None) -> float:
    """Return E[½Σ h w²] after phases of plain SGD.

    Within a phase w' = (1-ηh)w - ηb with b the mean noise of a batch: var b = c/B for independent draws. If
    each phase is an epoch of n samples without replacement, var b = c(n-B)/(B(n-1)), and cov(b, b') =
    -c/(n-1) for two batches of it.

    Args:
        h: Curvatures, shape [D].
        c: Variance of one sample's noise, shape [D].
        phases: The phases, in order.
        n: The number of samples of each epoch, which is one phase; None: independent draws.
    """
    square = np.ones_like(h)  # E[w²], shape [D]
    for phase in phases:
        powers = (1 - phase.rate * h) ** np.arange(phase.updates)[:, None]  # [updates, D]
        own = (powers**2).sum(0)
        noise = own / phase.batch
        if n is not None:
            noise = (own * (n - phase.batch) / phase.batch - (powers.sum(0) ** 2 - own)) / (n - 1)
        square = (1 - phase.rate * h) ** (2 * phase.updates) * square + phase.rate**2 * c * noise
    return 0.5 * float(h @ square)


@dataclass(frozen=True)
class Quadratic:
    """Hold a noisy quadratic, as an optimizer sees it.

    Attributes:
        h: Curvatures, shape [D].
        c: Variance of one sample's noise, shape [D].
        weights: Curvatures that the risk ½Σ weights w² counts, shape [D].
    """

    h: Array
    c: Array
    weights: Array

    @classmethod
    def of(cls, h: Array) -> Quadratic:
        """Return the quadratic whose noise has the covariance of its Hessian, c = h."""
        return cls(h, h, h)

    def preconditioned(self, power: float) -> Quadratic:
        """Return what SGD meets if it multiplies each gradient by h^-power."""
        return replace(self, h=self.h ** (1 - power), c=self.c * self.h ** (-2 * power))

    def steady_risk(self, rate: float, beta: float, batch: float) -> float:
        """Return the risk at which heavy ball ends: Σ weights α(1+β)c / (2Bh(2β+2-αh)(1-β)).

        It is infinite where αh ≥ 2(1+β) for some h, as the weights then diverge.
        """
        if rate * self.h.max() >= 2 * (1 + beta):
            return np.inf
        return 0.5 * float(self.weights @ self._steady(rate, beta)[0]) / batch

    def _steady(self, rate: float, beta: float) -> tuple[Array, Array, Array]:
        """Return E[w²], E[wv], E[v²] in the end, for batches of 1; each has shape [D].

        As w' = w - αv', stationarity gives E[wv] = -αE[v²]/2 and hE[w²] = α(1+β)E[v²]/2.
        """
        vv = 2 * self.c / ((2 * beta + 2 - rate * self.h) * (1 - beta))
        return rate * (1 + beta) * vv / (2 * self.h), -rate * vv / 2, vv


class HeavyBall:
    """Compute the risk of v' = βv + hw + ξ, w' = w - αv' after any number of updates.

    Args:
        quadratic: The quadratic.
        rate: The learning rate α.
        beta: The momentum β; 0 is plain SGD.
        batch: The batch size B.
    """

    def __init__(self, quadratic: Quadratic, rate: float, beta: float, batch: float) -> None:
        self._weights = quadratic.weights
        self._steady = [moment / batch for moment in quadratic._steady(rate, beta)]
        h, one = quadratic.h, np.ones_like(quadratic.h)
        self._once = (1 - rate * h, -rate * beta * one, h, beta * one)  # (w, v) -> (w', v'), by rows

    def risk(self, updates: int) -> float:
        """Return E[½Σ weights w²] after so many updates."""
        one = np.ones_like(self._weights)
        power, step = (one, 0 * one, 0 * one, one), self._once
        while updates:
            power = _product(step, power) if updates % 2 else power
            step, updates = _product(step, step), updates // 2
        return self._risk(power)

    def updates_to(self, goal: float, most: int = 2**30) -> float:
        """Return the update at which the risk crosses a goal; inf: not within ``most``.

        Found by bisection: where the risk oscillates about the goal, it is one of the crossings.

        Args:
            goal: The risk to reach.
            most: A power of 2.
        """
        steps = [self._once]
        while 2 ** (len(steps) - 1) < most and self._risk(steps[-1]) > goal:
            steps.append(_product(steps[-1], steps[-1]))
        if self._risk(steps[-1]) > goal:
            return np.inf
        updates, power = 0, None
        for level in range(len(steps) - 2, -1, -1):
            further = steps[level] if power is None else _product(steps[level], power)
            if self._risk(further) > goal:
                updates, power = updates + 2**level, further
        return updates + 1

    def _risk(self, power: tuple[Array, Array, Array, Array]) -> float:
        """Return the risk after the updates whose product is ``power``: Σ + P(M₀-Σ)Pᵀ, entry w²."""
        ww, wv, vv = self._steady
        a, b = power[:2]
        return 0.5 * float(self._weights @ (ww + a * a * (1 - ww) - 2 * a * b * wv - b * b * vv))


def least_updates(quadratic: Quadratic, beta: float, batch: float, goal: float) -> float:
    """Return the fewest updates to a goal over all learning rates.

    12 rates are tried, up to the largest that reaches the goal at all, then twice 8 around the best of them.

    Args:
        quadratic: The quadratic.
        beta: The momentum.
        batch: The batch size.
        goal: The risk to reach.
    """
    low, high = 0.0, 2 * (1 + beta) / float(quadratic.h.max())
    for _ in range(50):  # the largest rate whose steady risk is below the goal
        middle = (low + high) / 2
        low, high = (middle, high) if quadratic.steady_risk(middle, beta, batch) < goal else (low, middle)
    least, rates = np.inf, np.geomspace(low / 30, low, 12)
    for _ in range(3):
        found = [HeavyBall(quadratic, float(rate), beta, batch).updates_to(goal) for rate in rates]
        best = int(np.argmin(found))
        least = min(least, found[best])
        rates = np.geomspace(rates[max(best - 1, 0)], rates[min(best + 1, len(rates) - 1)], 10)[1:-1]
    return least


def _product(
    left: tuple[Array, Array, Array, Array], right: tuple[Array, Array, Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """Return the products of 2×2 matrices, each given by its four entries, shape [D]."""
    (a, b, c, d), (e, f, g, h) = left, right
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
