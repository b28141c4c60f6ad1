"""The sensitivity to the tuning seeds: the choice without one of them, and rates that jump between sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..core.goal import Goal
from .lr_scores import best_rates, rate_scores
from .time_to_goal import time_to_goal

JUMP = 1.5
"""A rate farther than this factor from the line through its neighbours is called a jump.

A power law that is rounded to rates a factor of 1.5 apart is at most that far off.
"""


def without_each_tuning_seed(
    records: pd.DataFrame, trials: pd.DataFrame, column: str, goal: Goal
) -> pd.DataFrame:
    """Choose the learning rate of every arm again without each tuning seed, and measure the effect.

    The choice follows the same rule as tuning (:func:`~optcompare.analysis.lr_scores.rate_scores` and
    :func:`~optcompare.analysis.lr_scores.best_rates`), among the rates that were tried; the second round of
    rates, around the best of the first, stays the same. The effect is measured by the tuning trials of all
    seeds at both rates. So the seeds that chose a rate also measure it, and the effect is smaller than that
    of another set of tuning seeds.

    Args:
        records: The records of the tuning phase.
        trials: The trials of the tuning phase.
        column: The loss that decides between rates with equal samples to the goal.
        goal: The goal at which trials stop; rates are chosen by the samples to it.

    Returns:
        One row for each arm and tuning seed, in their order: ``arm, left_out, lr, ratio``. ``ratio`` is the
        geometric mean, over the tuning seeds on which both rates reached the goal, of samples at the new rate
        over samples at the chosen one. It is 1 if the same rate is chosen, and nan if no seed reached the
        goal at both. Empty with fewer than two tuning seeds.
    """
    seeds, arms = (list(dict.fromkeys(trials[name])) for name in ("seed", "arm"))
    rows: list[tuple[object, ...]] = []
    if len(seeds) > 1:
        logs, chosen = _log_samples(records, trials, goal), _chosen(records, trials, column, goal)
        again = {
            seed: _chosen(records[records["seed"] != seed], trials[trials["seed"] != seed], column, goal)
            for seed in seeds
        }
        for arm in arms:
            for seed in seeds:
                new = again[seed].get(arm, math.nan)
                rows.append((arm, seed, new, _ratio(logs, arm, new, chosen[arm])))
    return pd.DataFrame(rows, columns=["arm", "left_out", "lr", "ratio"])


def jumps(sizes: Sequence[int], rates: Sequence[float]) -> list[int]:
    """Find the batch sizes with a learning rate out of line with those of their neighbours.

    A size is a jump if its rate differs by more than a factor :data:`JUMP` from the line, in log rate over
    log size, through its two neighbours. It must also differ as much from the two lines in which one
    neighbour is replaced by the size behind it, if there is one. So a size is not a jump only because its
    neighbour is one. The first and the last size have one neighbour and are never jumps.

    For example, .24, .48, .97, .62, .88 at 8, 32, 128, 512, 2048 jumps at 128: .97 is 1.8 times the line
    through 32 and 512. The rate .62 at 512 is below the line through 128 and 2048 by a factor of 1.5, but on
    the line through 32 and 2048.

    A power law of the size that is rounded to rates a factor of 1.5 apart has no jumps. The known rules are
    curved: lr/(1 + K/B) for SGD and 2·lr/(√(K/B) + √(B/K)) for Adam (Li et al. 2024, arXiv 2405.14578) exceed
    the line by (√c + 1/√c)/2 at most if neighbours are a factor c away, 1.06 at 2, 1.25 at 4 and 2.1 at 16.
    Up to a factor of 4 this is within :data:`JUMP`. Beyond it the threshold grows in proportion, to 2.5 at
    16.

    Args:
        sizes: Batch sizes, rising.
        rates: The learning rate chosen at each size; sizes without one (nan) are skipped.

    Returns:
        The sizes that are jumps, rising.
    """
    known = [
        (size, rate) for size, rate in zip(sizes, rates, strict=True) if math.isfinite(rate) and rate > 0
    ]
    across, logs = np.log([size for size, _ in known]), np.log([rate for _, rate in known])
    return [known[at][0] for at in range(1, len(known) - 1) if _jumps(across, logs, at)]


def _jumps(across: np.ndarray, logs: np.ndarray, at: int) -> bool:
    """Return whether a rate is off all three lines, in log sizes and log rates."""
    allowed = (
        math.log(JUMP * max(1.0, _bend((across[at + 1] - across[at - 1]) / 2) / _bend(math.log(4)))) + 1e-9
    )
    for left, right in ((at - 1, at + 1), (at - 2, at + 1), (at - 1, at + 2)):
        if left >= 0 and right < len(logs):
            expected = np.interp(across[at], across[[left, right]], logs[[left, right]])
            if abs(logs[at] - expected) <= allowed:
                return False
    return True


def _bend(log_c: float) -> float:
    """Return (√c + 1/√c)/2."""
    return math.cosh(log_c / 2)


def _chosen(records: pd.DataFrame, trials: pd.DataFrame, column: str, goal: Goal) -> dict[str, float]:
    """Return the learning rate that tuning chooses, by arm."""
    best = best_rates(rate_scores(records, trials, column, goal))
    return dict(zip(best["arm"], best["lr"].astype(float), strict=True))


def _log_samples(
    records: pd.DataFrame, trials: pd.DataFrame, goal: Goal
) -> dict[tuple[str, float], pd.Series]:
    """Return the log samples to the goal by seed, for each arm and rate, without seeds that missed it."""
    found = {}
    for lr, own in trials.groupby("lr", sort=False):  # Arm and seed identify a trial at one rate.
        times = time_to_goal(records[records["lr"] == lr], own, goal).set_index("seed")
        reached = times[np.isfinite(times["samples"]) & (times["samples"] > 0)]
        for arm in own["arm"].unique():
            samples = reached.loc[reached["arm"] == arm, "samples"]
            found[str(arm), float(lr)] = np.log(samples)  # type: ignore[arg-type]
    return found


def _ratio(logs: dict[tuple[str, float], pd.Series], arm: str, new: float, chosen: float) -> float:
    if new == chosen:
        return 1.0
    if math.isnan(new) or math.isnan(chosen):
        return math.nan
    apart = (logs[arm, new] - logs[arm, chosen]).dropna()  # seeds that both rates have
    return math.exp(float(apart.mean())) if len(apart) else math.nan
