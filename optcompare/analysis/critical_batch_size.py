"""The critical batch size: updates to a goal by batch size, fitted by S = S_min + E_min/B."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from .scaling_curve import Floats, fit_rows, knee_bounds
from .statistics import CONFIDENCE

OVERHEAD = 0.2
"""The share by which samples, or updates, exceed their minimum at the ends of a region."""
LEAST_SIZES = 3
"""The fewest batch sizes that a fit needs."""


class SizeEstimate(NamedTuple):
    """A positive number and the ends of its 95% interval, nan where there is no interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> SizeEstimate:
        """Return the estimate of the number times a factor."""
        return SizeEstimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Fit:
    """Hold the fit S = S_min + E_min/B of the updates S to a goal at batch size B.

    The samples are S·B = S_min·B + E_min.

    Attributes:
        updates: S_min, the lower bound of the updates at any batch size.
        samples: E_min, the lower bound of the samples at any batch size.
        critical: The knee E_min/S_min. There updates and samples are both twice their minimum (McCandlish et
            al. 2018, arXiv 1812.06162).
        residuals: By batch size, the mean over seeds of log updates minus the logarithm of the fit.
        seeds: The number of seeds that were averaged.
        without_size: By batch size, the knee of a fit without it.
        without_tuning_seed: The knees of fits that leave out one tuning seed each, in the order of these
            seeds; nan where too little is known. Empty where tuning is not known.
    """

    updates: SizeEstimate
    samples: SizeEstimate
    critical: SizeEstimate
    residuals: Mapping[int, float]
    seeds: int
    without_size: Mapping[int, float]
    without_tuning_seed: tuple[float, ...] = ()

    def at(self, batch_size: Any) -> Any:
        """Return the updates to the goal at one or several batch sizes."""
        return self.updates.value + self.samples.value / batch_size

    @property
    def twenty_percent(self) -> SizeEstimate:
        """Return the batch size that needs 20% more samples than perfect scaling, 0.2·E_min/S_min.

        It is a fifth of the knee, where 100% more are needed (Zhang et al. 2024, arXiv 2410.21676).
        """
        return self.critical.times(OVERHEAD)

    @property
    def regions(self) -> tuple[float, float]:
        """Return the batch sizes with samples 20% above E_min and with updates 20% above S_min.

        They are a fifth of the knee and five times the knee.
        """
        return self.critical.value * OVERHEAD, self.critical.value / OVERHEAD

    @property
    def worst(self) -> tuple[int, float]:
        """Return the batch size with the largest relative error of the fit, and this error."""
        size = max(self.residuals, key=lambda each: abs(self.residuals[each]))
        return size, math.exp(abs(self.residuals[size])) - 1


def fit(trials: pd.DataFrame, retuned: pd.DataFrame | None = None) -> Fit | None:
    """Fit S = S_min + E_min/B to the updates that trials took to their goal.

    The fit is least squares on log S. It uses the means over seeds of log updates at each batch size at which
    every seed reached the goal. All sizes have the same weight, since their learning rates cause more error
    than the noise of their seeds.

    Trials are measured at evaluation points only. A trial reached the goal after the last point that had not
    reached it, and no later than the first point that had. The fit uses the middle of the first and the last
    possible update, on a logarithmic scale.

    The 95% intervals are of logarithms. Their variance is the sum of

    - a jackknife over batch sizes: the effect of tuning, or of the curve's form, on one size;
    - a jackknife over seeds, and one over tuning seeds, where there are two or more;
    - the resolution. At each size the logarithm is uniform over the width log(last/first) of the possible
      updates, with variance width²/12. It is the same for all seeds of a size, since they are measured at
      the same points, and independent between sizes. It is multiplied by the square of the fit's derivative.

    A jackknife over m parts has the variance (m-1)/m·Σ(θ_i - mean θ)² and m-1 degrees of freedom. The degrees
    of freedom of the sum are (Σv)²/Σ(v²/df) (Satterthwaite 1946). Noise that differs from trial to trial is
    counted among sizes and among seeds, so the intervals are rather too wide. Where the best fit has no
    S_min, or no E_min, the knee is a factor e⁸ beyond the sizes. Then neither of the two has an interval,
    since the true distance is not known.

    Args:
        trials: One row for each trial, as :func:`~optcompare.analysis.time_to_goal.time_to_goal` returns
            them: ``batch_size, seed, updates``, and ``resolution`` (samples since the previous evaluation
            point) or ``before`` (updates at that point); with neither, every update was measured.
        retuned: ``left_out`` (a tuning seed), ``batch_size`` or ``arm``, and ``ratio``: the factor by which
            updates at that size change without the tuning seed; 1: the same rate is chosen, nan: not known. A
            size without a known factor is left out of that refit. A refit to fewer than three sizes is not
            made.

    Returns:
        The fit; None with fewer than three batch sizes.
    """
    sizes, first, last = _known_range(trials)
    if len(sizes) < LEAST_SIZES:
        return None
    logs, width = (np.log(first) + np.log(last)) / 2, (np.log(last) - np.log(first)).mean(axis=1)
    parts = _parts(logs, width, _log_ratios(trials, retuned, sizes))
    rows = fit_rows(sizes, np.vstack(list(parts.values())))
    found = dict(zip(parts, np.split(rows, _ends(parts)), strict=True))
    s_min, e_min, _ = best = found["all"][0]
    updates, samples, critical = (
        SizeEstimate(*map(float, np.exp([value, value - by, value + by])))
        for value, by in zip(best, _half_widths(found, sizes), strict=True)
    )
    return Fit(
        updates,
        samples,
        critical,
        residuals=_by_size(sizes, logs.mean(axis=1) - np.logaddexp(s_min, e_min - np.log(sizes))),
        seeds=logs.shape[1],
        without_size=_by_size(sizes, np.exp(found["sizes"][:, 2])),
        without_tuning_seed=tuple(map(float, np.exp(found["tuning"][:, 2]))),
    )


def _parts(logs: Floats, width: Floats, ratios: Floats) -> dict[str, Floats]:
    """Stack the log updates of every fit: to all trials, to parts of them, and to moved ones.

    Args:
        logs: Log updates, float[sizes, seeds].
        width: The width of the range of possible log updates, float[sizes].
        ratios: The result of :func:`_log_ratios`.

    Returns:
        float[rows, sizes] for each kind of fit, in the order in which they are fitted.
    """
    mean, (k, n) = logs.mean(axis=1), logs.shape
    spread = np.diag(width / math.sqrt(12))
    few = np.isfinite(ratios).sum(axis=1, keepdims=True) < LEAST_SIZES
    return {
        "all": mean[None],
        "sizes": np.where(np.eye(k, dtype=bool), math.nan, mean),
        "seeds": (logs.sum(axis=1)[:, None] - logs).T / (n - 1) if n > 1 else np.empty((0, k)),
        "tuning": np.where(few, math.nan, mean + ratios),
        "up": mean + spread,
        "down": mean - spread,
    }


def _half_widths(found: Mapping[str, Floats], sizes: Floats) -> Floats:
    """Return half the widths of the intervals of log S_min, E_min and knee, float[3], nan for none."""
    variances = [_jackknife(found[name]) for name in ("sizes", "seeds", "tuning")]
    variances.append((((found["up"] - found["down"]) ** 2).sum(axis=0) / 4, math.inf))
    knee, (least, most) = found["all"][0][2], knee_bounds(sizes)
    vanished = np.array([knee > most - 1e-6, knee < least + 1e-6, not least + 1e-6 <= knee <= most - 1e-6])
    return np.where(vanished, math.nan, _half_width(variances))


def fit_curve(
    batch_sizes: Sequence[float] | Floats, updates: Sequence[float] | Floats
) -> tuple[float, float]:
    """Fit S_min and E_min of S = S_min + E_min/B by least squares on log S (McCandlish et al. 2018).

    Args:
        batch_sizes: B, at least two.
        updates: S at each of them, positive.

    Returns:
        S_min and E_min. Where the best fit lacks one of them, E_min/S_min is a factor e⁸ beyond the sizes.
    """
    s_min, e_min, _ = np.exp(
        fit_rows(np.asarray(batch_sizes, dtype=float), np.log(np.asarray(updates, dtype=float))[None])[0]
    )
    return float(s_min), float(e_min)


def _known_range(trials: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Find the sizes at which all seeds reached the goal, and the updates at which they may have reached it.

    Returns:
        The sizes, float[k], and the first and the last possible update of each trial, float[k, n].
    """
    sizes, row = np.unique(trials["batch_size"].to_numpy(float), return_inverse=True)
    seeds, column = np.unique(trials["seed"].to_numpy(), return_inverse=True)
    updates = trials["updates"].to_numpy(float)
    before = updates - 1
    if "before" in trials:
        before = trials["before"].to_numpy(float)
    elif "resolution" in trials:  # A short last batch is an update, too.
        before = updates - np.ceil(trials["resolution"].to_numpy(float) / sizes[row])
    first, last = np.full((2, len(sizes), len(seeds)), math.nan)
    last[row, column] = updates
    # Where the previous evaluation point is not known, the first possible update is the last.
    first[row, column] = np.fmin(np.maximum(before, 0) + 1, updates)
    reached = (np.isfinite(last) & (last > 0)).all(axis=1)
    return sizes[reached], first[reached], last[reached]


def _log_ratios(trials: pd.DataFrame, retuned: pd.DataFrame | None, sizes: Floats) -> Floats:
    """Return the logarithms of ``ratio``, float[tuning seeds, sizes], nan where not known."""
    if retuned is None or retuned.empty:
        return np.empty((0, len(sizes)))
    table = retuned
    if "arm" in retuned:
        arms = trials[["arm", "batch_size"]].drop_duplicates("arm")
        table = retuned[["left_out", "arm", "ratio"]].merge(arms, on="arm")
    wide = table.pivot(index="left_out", columns="batch_size", values="ratio").reindex(columns=sizes)
    return np.asarray(np.log(wide.to_numpy(float)))


def _ends(parts: Mapping[str, Floats]) -> list[int]:
    """Return the index at which each part but the first begins when all are stacked."""
    return [int(end) for end in np.cumsum([len(rows) for rows in parts.values()])[:-1]]


def _jackknife(refits: Floats) -> tuple[Floats, float]:
    """SizeEstimate the variance of each column from refits that leave out one part each, float[m, 3].

    Refits that could not be made are replaced by the known ones; with fewer than two the variance is 0.

    Returns:
        The variances, float[3], and their degrees of freedom.
    """
    known = refits[np.isfinite(refits).all(axis=1)]
    if len(known) < 2:
        return np.zeros(refits.shape[1]), math.inf
    return (len(refits) - 1) * known.var(axis=0), len(known) - 1.0


def _half_width(variances: Sequence[tuple[Floats, float]]) -> Floats:
    """Return half the widths of t intervals, from parts of variances with their degrees of freedom."""
    total = np.sum([variance for variance, _ in variances], axis=0)
    shares = np.sum([variance**2 / freedom for variance, freedom in variances], axis=0)
    freedom = np.where(shares > 0, total**2 / np.where(shares > 0, shares, 1.0), 1e9)
    return np.asarray(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(total))


def _by_size(sizes: Floats, values: Floats) -> dict[int, float]:
    return {int(size): float(value) for size, value in zip(sizes, values, strict=True)}
