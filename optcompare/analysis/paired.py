"""Arms against a baseline, seed by seed: differences, what may be claimed of them, and samples to a goal.

Arms share their seeds, so what a seed does to both cancels in their difference. Everything here rests on differences
(for samples, on differences of logs) and Student's t: with so few seeds a bootstrap covers too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr

from ..core.goal import Goal
from ..errors import ComparisonError
from .statistics import final_values, mean_interval
from .time_to_goal import time_to_goal

ALPHA = 0.05
ROUNDING = 1e-5
"""The relative spread of final values over seeds that a seed which changes nothing may leave."""
COLUMNS = (
    "arm", "baseline", "n", "difference", "low", "high", "wins", "losses", "ties", "p", "p_holm", "enough_seeds",
    "claimed", "control_spread", "indistinguishable", "goal_pairs", "goal_ratio", "goal_ratio_low", "goal_ratio_high",
    "goal_p_holm", "goal_claimed", "goal_resolution", "goal_seeds", "goal_hits", "goal_baseline_hits",
    "same_start", "repeats",
)  # fmt: skip


class Paired(NamedTuple):
    """A mean difference, the ends of its 95% t interval, and the two-sided p of no difference."""

    difference: float
    low: float
    high: float
    p: float


def paired(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> Paired:
    """The paired t test of a[n] against b[n]: d = a - b, d̄ ± t(n-1, .975)·s_d/√n.

    The same numbers as ``scipy.stats.ttest_rel``, whose import alone takes a tenth of a small run's time. Without a
    pair, or where a value is not finite, all four are nan; a single pair has a difference alone. Where all differences
    are 0 there is nothing to find: p is 1.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(first) == 0 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return Paired(math.nan, math.nan, math.nan, math.nan)
    differences = first - second
    with np.errstate(over="ignore"):  # of differences near the largest float the interval is infinite
        mean, low, high = mean_interval(differences)
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    if len(differences) == 1:
        return Paired(mean, math.nan, math.nan, math.nan)
    if not differences.any():
        return Paired(0.0, 0.0, 0.0, 1.0)
    p = 2 * float(stdtr(len(differences) - 1, -abs(mean) / error)) if error else 0.0
    return Paired(mean, low, high, p)


def holm(p: Sequence[float] | np.ndarray | pd.Series) -> np.ndarray:
    """Holm's step-down correction of p[m]: for the k-th smallest, max over j ≤ k of min(1, (m-j+1)·p_(j)).

    It keeps the chance of any false claim among the m at most α, however the tests depend on each other. A nan is a
    comparison that could not be made: it stays nan and still counts in m, for which comparisons there are was decided
    before the data (Holm 1979, Scandinavian Journal of Statistics 6).
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)  # nan last
    steps = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(steps) if len(steps) else steps
    return corrected


def seeds_needed(comparisons: int) -> int:
    """The fewest seeds n with m·2/2ⁿ ≤ .05: 6, 7, 8 for m = 1, 2, 4 comparisons.

    2/2ⁿ is the smallest two-sided p that an exact paired test can give, when all n differences agree in sign. With
    fewer seeds a claim would rest on the normality that Student's t assumes, and on nothing else.
    """
    n = 1
    while comparisons * 2 / 2**n > ALPHA:
        n += 1
    return n


def pairs(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    baseline: str,
    column: str,
    *,
    goal: Goal | None = None,
    control: str | None = None,
) -> pd.DataFrame:
    """One row for each arm other than the baseline and the control, in the order of the comparison.

    Of the final values of ``column``, arm minus baseline:

    - ``n``: shared seeds on which both are finite; ``difference, low, high``: the mean with its 95% t interval (not
      corrected for their number), all nan where any seed of either diverged, failed or ended at no finite value;
    - ``wins, losses, ties`` over all shared seeds: the lower ``*_loss`` wins, of other metrics the higher; a lost trial
      loses to any other, and two lost ones tie. Interrupted trials take no part;
    - ``p`` by paired t, ``p_holm`` corrected over the rows; ``enough_seeds``: n ≥ :func:`seeds_needed`; ``claimed``:
      p_holm ≤ .05 with enough seeds, and not indistinguishable;
    - ``control_spread``: the largest \\|control - baseline\\| over seeds (infinite where only one of them was lost; nan
      without a control); ``indistinguishable``: \\|difference\\| ≤ control_spread. The control copies the baseline.

    Of the samples to the goal (0 and nan without one):

    - ``goal_ratio, goal_ratio_low, goal_ratio_high``: the geometric mean of arm/baseline with its 95% t interval, on
      logs, over the ``goal_pairs`` seeds on which both reached it after the start; ``goal_p_holm``, ``goal_claimed``:
      as above, for this ratio; ``goal_resolution``: the largest share of a trial's samples that lay between the
      measurement that reached the goal and the one before it;
    - ``goal_hits``, ``goal_baseline_hits``: of ``goal_seeds`` shared seeds, those on which each reached it.

    ``same_start``: both arms begin with the same weights on all seeds; ``repeats``: the seeds of which all are one run,
    since besides no final value varies by more than rounding. Such a pair is one observation: n is 1, and it has no
    interval and no p.

    Raises :class:`ComparisonError` where the baseline or the control is no arm, or the goal no metric.
    """
    arms = list(trials["arm"].unique())
    if not arms:
        return pd.DataFrame(columns=list(COLUMNS))
    for role, label in (("baseline", baseline), ("control", control)):
        if label is not None and label not in arms:
            raise ComparisonError(f"the {role} '{label}' is no arm; there are {', '.join(arms)}")
    if records.empty:
        records = trials[["arm", "seed"]][:0].assign(**{column: 0.0})
    finals = _by_arm(final_values(records, trials, column), "final")
    times = _by_arm(time_to_goal(records, trials, goal), "samples", "resolution") if goal else {}
    spread = math.nan if control is None else control_spread(records, trials, baseline, control, column)
    rows = []
    for arm in arms:
        if arm not in (baseline, control):
            row: dict[str, object] = {"arm": arm, "baseline": baseline, "control_spread": spread}
            ends, goals = _shared(finals, arm, baseline), _shared(times, arm, baseline)
            row["same_start"] = _same_start(trials[trials["arm"].isin([arm, baseline])])
            row["repeats"] = len(ends[0]) if row["same_start"] and all(map(_constant, ends)) else 0
            if row["repeats"]:
                ends, goals = (ends[0][:1], ends[1][:1]), (goals[0][:1], goals[1][:1])
            rows.append(row | _differences(*ends, lower_wins=column.endswith("_loss")) | _to_goal(*goals))
    return _with_claims(pd.DataFrame(rows, columns=[*COLUMNS, "goal_p"]))


def _same_start(trials: pd.DataFrame) -> bool:
    """Whether trials of several seeds all begin with the same weights."""
    if "weights_sha256" not in trials or trials["seed"].nunique() < 2:
        return False
    begun = trials["weights_sha256"][trials["weights_sha256"] != ""]
    return len(begun) > 0 and begun.nunique() == 1


def _constant(values: np.ndarray) -> bool:
    """Whether final values, in the first column, differ by rounding at most."""
    finals = values[:, 0]
    return (
        len(finals) > 1 and bool(np.isfinite(finals).all()) and bool(np.ptp(finals) <= ROUNDING * np.abs(finals).max())
    )


def _with_claims(table: pd.DataFrame) -> pd.DataFrame:
    needed = seeds_needed(len(table))
    table["p_holm"], table["goal_p_holm"] = holm(table["p"]), holm(table["goal_p"])
    table["enough_seeds"] = table["n"] >= needed
    table["indistinguishable"] = table["difference"].abs() <= table["control_spread"]
    table["claimed"] = (table["p_holm"] <= ALPHA) & table["enough_seeds"] & ~table["indistinguishable"]
    table["goal_claimed"] = (table["goal_p_holm"] <= ALPHA) & (table["goal_pairs"] >= needed)
    return table[list(COLUMNS)]


def _by_arm(values: pd.DataFrame, *columns: str) -> dict[str, pd.DataFrame]:
    return {str(arm): group.set_index("seed")[list(columns)] for arm, group in values.groupby("arm", sort=False)}


def _shared(values: Mapping[str, pd.DataFrame], arm: str, baseline: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of both on the seeds that they share, float[seeds, columns]; none where an arm has no values."""
    if arm not in values or baseline not in values:
        return np.empty((0, 2)), np.empty((0, 2))
    seeds = values[arm].index.intersection(values[baseline].index)
    return values[arm].loc[seeds].to_numpy(float), values[baseline].loc[seeds].to_numpy(float)


def _differences(ours: np.ndarray, theirs: np.ndarray, *, lower_wins: bool) -> dict[str, object]:
    a, b = ours[:, 0], theirs[:, 0]
    found = paired(a, b)
    sign = 1.0 if lower_wins else -1.0
    cost_a, cost_b = (np.where(np.isfinite(values), sign * values, math.inf) for values in (a, b))
    return {
        "n": int((np.isfinite(a) & np.isfinite(b)).sum()),
        **found._asdict(),
        "wins": int((cost_a < cost_b).sum()),
        "losses": int((cost_a > cost_b).sum()),
        "ties": int((cost_a == cost_b).sum()),
    }


def control_spread(records: pd.DataFrame, trials: pd.DataFrame, baseline: str, control: str, column: str) -> float:
    """The largest difference of a final value between the baseline and its copy in another rounding."""
    finals = _by_arm(final_values(records, trials, column), "final")
    copied, original = _shared(finals, control, baseline)
    a, b = copied[:, 0], original[:, 0]
    known, lost = np.isfinite(a) & np.isfinite(b), np.isfinite(a) != np.isfinite(b)
    if lost.any():
        return math.inf
    return float(np.abs(a[known] - b[known]).max()) if known.any() else math.nan


def _to_goal(ours: np.ndarray, theirs: np.ndarray) -> dict[str, object]:
    """From ``samples, resolution`` of both; a seed on which either was interrupted before its goal is left out."""
    known = ~(np.isnan(ours[:, 0]) | np.isnan(theirs[:, 0]))
    (a, step_a), (b, step_b) = ours[known].T, theirs[known].T
    both = np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)
    on_logs = paired(np.log(a[both]), np.log(b[both]))
    shares = np.concatenate([step_a[both] / a[both], step_b[both] / b[both]])
    ratio, low, high = (math.exp(value) for value in on_logs[:3])
    return {
        "goal_pairs": int(both.sum()),
        "goal_ratio": ratio,
        "goal_ratio_low": low,
        "goal_ratio_high": high,
        "goal_p": on_logs.p,
        "goal_resolution": float(shares.max()) if len(shares) else math.nan,
        "goal_seeds": len(a),
        "goal_hits": int(np.isfinite(a).sum()),
        "goal_baseline_hits": int(np.isfinite(b).sum()),
    }
