"""How far test accuracy spreads over seeds if errors on different test rows are independent (Jordan 2023).

Over seeds, row i of n test rows is classified right with probability c. If errors on different rows are
independent, the variance of accuracy is Σc(1-c)/n² = D/(2n), where D, the mean of 2c(1-c), is the share of
rows on which two seeds differ in being right.

With two classes, the ensemble of all seeds is calibrated if a share q of those rows belongs to a class that a
share q of the seeds puts there. Then c is q with probability q and else 1-q, so that c(1-c) = q(1-q), and the
error rate is the mean of 2q(1-q): err = D, and the variance is err/(2n) (arXiv 2304.01910).

If all c were the same p, the variance would be p(1-p)/n, which is about twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Spread:
    """Compare the spread of accuracy over seeds with what is predicted.

    Attributes:
        right: Whether a seed classifies a test row right, 1.0 or 0.0, shape [seeds, n].
    """

    right: NDArray[np.float64]

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """The accuracy of each seed, shape [seeds]."""
        return np.asarray(self.right.mean(1))

    @property
    def deviation(self) -> float:
        """The standard deviation of accuracy over seeds."""
        return float(self.accuracies.std(ddof=1))

    @property
    def error(self) -> float:
        """The mean error rate, err = 1-p."""
        return float(1 - self.right.mean())

    @property
    def disagreement(self) -> float:
        """D: the share of rows on which two seeds differ in being right, averaged over all pairs of seeds."""
        return float(2 * self.right.var(0, ddof=1).mean())

    def predicted(self) -> dict[str, float]:
        """Return standard deviations of accuracy, by formula: √(D/2n), √(err/2n) and √(p(1-p)/n)."""
        n = self.right.shape[1]
        halves = {"√(D/2n)": self.disagreement, "√(err/2n)": self.error}
        return {name: (rate / (2 * n)) ** 0.5 for name, rate in halves.items()} | {
            "√(p(1-p)/n)": (self.error * (1 - self.error) / n) ** 0.5
        }

    @property
    def ratios(self) -> list[float]:
        """The standard deviation of accuracy over each of those that are predicted."""
        return [self.deviation / each for each in self.predicted().values()]


def drawn(spread: Spread, ax: Axes) -> Axes:
    """Draw a histogram of the accuracies, and a normal distribution for each predicted deviation.

    Args:
        spread: The accuracies.
        ax: The axes to draw into.
    """
    predicted, p = spread.predicted(), 1 - spread.error
    grid = p + np.linspace(-3.5, 3.5, 200) * max(*predicted.values(), spread.deviation)
    ax.hist(spread.accuracies, bins=8, density=True, color="0.8", label="seeds")
    for colour, (name, deviation) in enumerate(predicted.items()):
        density = stats.norm.pdf(grid, p, deviation)
        ax.plot(grid, density, color=f"C{colour}", label=f"normal, deviation {name}")
    ax.set(xlabel="test accuracy", ylabel="density")
    ax.locator_params("x", nbins=5)
    return ax
