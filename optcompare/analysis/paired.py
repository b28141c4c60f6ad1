"""Arms against a baseline, seed by seed: what their differences are, and what may be claimed of them.

Arms share their seeds, so what a seed does to both cancels in their difference. What is claimed rests on
exact tests alone (:mod:`.exact_tests`), in one family (:mod:`.error_rate`); means, medians and t intervals
describe.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ..core.goal import Goal
from ..errors import ComparisonError
from .claims import tested_measures, with_claims
from .exact_tests import Side, sign_flip_p, sign_p
from .looks import FIRST_LOOK, Look
from .pairing import Pairing, paired_trials, values_by_arm
from .statistics import final_values
from .time_to_goal import time_to_goal

ROUNDING = 1e-5
"""The relative spread of final values over seeds that a seed which changes nothing may leave."""
UNITS_IN_THE_LAST_PLACE = 10
EPSILON = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}
COLUMNS = (
    "arm",
    "baseline",
    "n",
    "difference",
    "low",
    "high",
    "median",
    "wins",
    "losses",
    "ties",
    "lower",
    "at_odds",
    "test",
    "p",
    "p_holm",
    "claimed",
    "enough_seeds",
    "rounding_only",
    "one_difference",
    "control_spread",
    "margin",
    "equal_p",
    "equal_p_holm",
    "equal_claimed",
    "goal_n",
    "goal_ratio",
    "goal_ratio_low",
    "goal_ratio_high",
    "goal_wins",
    "goal_losses",
    "goal_ties",
    "goal_fewer",
    "goal_at_odds",
    "goal_test",
    "goal_p",
    "goal_p_holm",
    "goal_claimed",
    "goal_enough_seeds",
    "goal_resolution",
    "goal_pairs",
    "goal_seeds",
    "goal_hits",
    "goal_baseline_hits",
    "goal_median",
    "same_start",
    "one_run_seeds",
    "comparisons",
    "seeds_needed",
)


def pairs(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    baseline: str,
    column: str,
    *,
    goal: Goal | None = None,
    control: str | None = None,
    margin: float | None = None,
    final: bool = True,
    dtype: str = "float64",
    look: Look = FIRST_LOOK,
) -> pd.DataFrame:
    """Compare each arm with the baseline, seed by seed.

    Final values of ``column``, arm minus baseline:

    - ``n``: independent observations (see :mod:`.pairing`); ``difference, low, high``: the mean with its 95%
      t interval, ``median``, all nan where a trial of either was lost (diverged, failed, or without a finite
      value);
    - ``wins, losses, ties`` over all shared trials: the lower ``*_loss`` wins, of other metrics the higher; a
      lost trial loses to any other, and two lost ones tie. Interrupted trials take no part;
    - ``at_odds`` (and ``goal_at_odds``): the mean and the wins point to opposite sides, a few large
      differences against many small ones: then nothing is claimed "seed by seed", whatever p is;
    - ``lower``: whether the arm ends lower, by the mean, or, where a trial was lost, by wins and losses;
    - ``test``: "sign flips" of the differences, or, where a trial was lost, "signs" of wins against losses;
      ``p``;
    - ``rounding_only``: no difference exceeds ten units in the last place of ``dtype``; ``one_difference``:
      all are equal to that. Of both there is no p, for nothing varies above rounding;
    - ``control_spread``: the standard deviation over seeds of control minus baseline (infinite where only one
      of them was lost; nan without a control, or with one seed);
    - ``margin, equal_p``: the test that the differences lie within ±margin: both one-sided tests against its
      ends.

    Samples to the goal (0 and nan without one):

    - ``goal_ratio, goal_ratio_low, goal_ratio_high``: the geometric mean of arm/baseline with its 95% t
      interval, on logs, over the ``goal_pairs`` seeds on which both reached it after the start;
    - ``goal_wins, goal_losses, goal_ties``: fewer samples win, a miss loses to any hit and ties with a miss;
    - ``goal_fewer``: whether the arm needs fewer, by the mean log, or, with any miss, by wins and losses;
    - ``goal_test, goal_p``: of the logs, or, with any miss, of wins against losses; ``goal_n``: observations.
      Equal logs are tested too: marks are coarse, so that trials which differ may reach the goal at the same
      one;
    - ``goal_resolution``: the largest share of a trial's samples that lay between the measurement that
      reached the goal and the one before it; ``goal_hits, goal_baseline_hits``: of ``goal_seeds`` shared
      trials, those that reached it; ``goal_median``: the arm's median samples over these, with a miss as
      infinite.

    ``p_holm, goal_p_holm, equal_p_holm`` are corrected by Holm over all tests of the table and those of
    earlier looks at the same trials; ``claimed, goal_claimed, equal_claimed``: at most the level of the look;
    ``enough_seeds, goal_enough_seeds``: with the given number of observations a claim was possible.
    ``comparisons``: how many tests that family has; ``seeds_needed``: observations from which on a claim is
    possible. ``same_start``: both arms begin with the same weights on all seeds; ``one_run_seeds``: the seeds
    of which all are one run, since besides no final value varies by more than rounding: n is then 1, without
    interval and p.

    Args:
        records: The report's records.
        trials: The report's trials.
        baseline: The label of the arm to compare with.
        column: What is compared at the end: a column of the records.
        goal: What is to be reached, if anything.
        control: The label of the baseline's copy in other rounding; it has no row.
        margin: Differences within ±margin count as equal; None: equality is not tested.
        final: Whether final values are tested; else the goal alone.
        dtype: In which trials were computed.
        look: The level, and the comparisons of earlier looks.

    Returns:
        One row for each arm other than the baseline and the control, in the order of the comparison.

    Raises:
        ComparisonError: The baseline or the control is no arm, or the goal no metric.
    """
    arms = list(trials["arm"].unique())
    if not arms:
        return pd.DataFrame(columns=list(COLUMNS))
    for role, label in (("baseline", baseline), ("control", control)):
        if label is not None and label not in arms:
            raise ComparisonError(f"the {role} '{label}' is no arm; there are {', '.join(arms)}")
    if records.empty:
        records = trials[["arm", "seed"]][:0].assign(**{column: 0.0})
    finals = values_by_arm(final_values(records, trials, column), "final")
    times = None
    if goal is not None:
        times = values_by_arm(
            _with_splits(time_to_goal(records, trials, goal), trials), "samples", "resolution"
        )
    spread = math.nan if control is None else control_spread(records, trials, baseline, control, column)
    rows = []
    for arm in arms:
        if arm not in (baseline, control):
            ends = paired_trials(finals, arm, baseline)
            costs = None if times is None else paired_trials(times, arm, baseline)
            row: dict[str, object] = {"arm": arm, "baseline": baseline, "control_spread": spread}
            row["same_start"] = _same_start(trials[trials["arm"].isin([arm, baseline])])
            row["one_run_seeds"] = 0
            if row["same_start"] and _constant(ends.ours) and _constant(ends.theirs):
                row["one_run_seeds"], ends, costs = len(ends.ours), ends.first(), costs and costs.first()
            row |= _differences(
                ends, EPSILON[dtype], lower_wins=column.endswith("_loss"), margin=margin, tested=final
            )
            rows.append(row | _to_goal(costs))
    return with_claims(
        pd.DataFrame(rows, columns=list(COLUMNS)), tested_measures(column, goal, margin, final), look
    )


def _with_splits(values: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    if "split" not in trials:
        return values
    return values.merge(trials[["seed", "split"]].drop_duplicates(), on="seed")


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
        len(finals) > 1
        and bool(np.isfinite(finals).all())
        and bool(np.ptp(finals) <= ROUNDING * np.abs(finals).max())
    )


def _differences(
    pairing: Pairing, epsilon: float, *, lower_wins: bool, margin: float | None, tested: bool
) -> dict[str, object]:
    a, b = pairing.ours[:, 0], pairing.theirs[:, 0]
    known = np.isfinite(a) & np.isfinite(b)
    sign = 1.0 if lower_wins else -1.0
    better = _compared(*(np.where(np.isfinite(values), sign * values, math.inf) for values in (a, b)))
    row: dict[str, Any] = {
        "n": pairing.observations,
        **_won("", better),
        **dict.fromkeys(("difference", "low", "high", "median", "p", "equal_p"), math.nan),
        "margin": math.nan if margin is None else margin,
        "test": "",
        "rounding_only": False,
        "one_difference": False,
        "lower": (_balance(pairing, better) > 0) == lower_wins,
        "at_odds": False,
    }
    if len(a) and known.all():
        observed = pairing.independent(a - b)
        resolution = UNITS_IN_THE_LAST_PLACE * epsilon * float(np.abs([a, b]).max())
        row["difference"], row["low"], row["high"] = pairing.interval(a - b)
        row["lower"] = bool(observed.mean() < 0)
        row["at_odds"] = _balance(pairing, better) * (sign * observed.mean()) >= 0
        row["median"] = float(np.median(observed))
        row["rounding_only"] = float(np.abs(observed).max()) <= resolution
        row["one_difference"] = (
            len(observed) > 1 and not row["rounding_only"] and float(np.ptp(observed)) <= resolution
        )
    if len(a) < 2 or not tested:
        return row
    if not known.all():
        return row | {
            "test": "signs",
            "p": _sign_test(pairing, better),
            "equal_p": _within(pairing, a, b, margin),
        }
    if not (row["rounding_only"] or row["one_difference"]):
        row |= {"test": "sign flips", "p": sign_flip_p(observed)}
    return row | {"equal_p": _within(pairing, a, b, margin)}


def _within(pairing: Pairing, a: np.ndarray, b: np.ndarray, margin: float | None) -> float:
    """The p of the test that the differences lie within ±margin: the larger of both one-sided ones
    (Schuirmann 1987).

    With any lost trial the two are sign tests, in which a lost trial lies outside.
    """
    if margin is None:
        return math.nan
    if np.isfinite(a).all() and np.isfinite(b).all():
        observed = pairing.independent(a - b)
        return max(sign_flip_p(observed - margin, "less"), sign_flip_p(observed + margin, "greater"))
    with np.errstate(invalid="ignore"):
        differences = a - b  # nan where both were lost, or one of a metric
    below, above = np.nan_to_num(differences, nan=math.inf), np.nan_to_num(differences, nan=-math.inf)
    tests = (
        _sign_test(pairing, np.sign(margin - below), "greater"),
        _sign_test(pairing, np.sign(above + margin), "greater"),
    )
    return max(tests)


def _compared(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """1 where our cost is less, -1 where it is more, 0 where both are equal, float[n]."""
    return (ours < theirs).astype(float) - (ours > theirs)


def _won(prefix: str, better: np.ndarray) -> dict[str, object]:
    counts = {"wins": better > 0, "losses": better < 0, "ties": better == 0}
    return {f"{prefix}{name}": int(which.sum()) for name, which in counts.items()}


def _balance(pairing: Pairing, better: np.ndarray) -> int:
    """Wins less losses of the independent observations."""
    return int(np.sign(pairing.independent(better)).sum())


def _sign_test(pairing: Pairing, better: np.ndarray, side: Side = "two") -> float:
    """Of each independent observation the sign that most of its pairs have."""
    signs = np.sign(pairing.independent(better))
    return sign_p(int((signs > 0).sum()), int((signs < 0).sum()), side)


def control_spread(
    records: pd.DataFrame, trials: pd.DataFrame, baseline: str, control: str, column: str
) -> float:
    """The standard deviation over seeds of a final value of the control minus that of the baseline.

    It is how far rounding alone moves one seed. Infinite where only one of both diverged; nan with fewer than
    two seeds, and where a trial of either failed, which tells nothing of rounding.
    """
    if (trials.loc[trials["arm"].isin([control, baseline]), "status"] == "failed").any():
        return math.nan
    pairing = paired_trials(values_by_arm(final_values(records, trials, column), "final"), control, baseline)
    a, b = pairing.ours[:, 0], pairing.theirs[:, 0]
    if (np.isfinite(a) != np.isfinite(b)).any():
        return math.inf
    known = np.isfinite(a) & np.isfinite(b)
    return float((a[known] - b[known]).std(ddof=1)) if known.sum() > 1 else math.nan


def _to_goal(pairing: Pairing | None) -> dict[str, object]:
    """From ``samples, resolution`` of both; a trial that was interrupted before its goal is left out, with
    its pair.
    """
    unknown = ("ratio", "ratio_low", "ratio_high", "p", "resolution", "median")
    counted = dict.fromkeys(("n", "wins", "losses", "ties", "pairs", "seeds", "hits", "baseline_hits"), 0)
    row: dict[str, object] = {
        **{f"goal_{name}": math.nan for name in unknown},
        **{f"goal_{name}": count for name, count in counted.items()},
        "goal_test": "",
        "goal_fewer": False,
        "goal_at_odds": False,
    }
    if pairing is None:
        return row
    pairing = pairing.where(~(np.isnan(pairing.ours[:, 0]) | np.isnan(pairing.theirs[:, 0])))
    (a, step_a), (b, step_b) = pairing.ours.T, pairing.theirs.T
    both = np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)
    shares = np.concatenate([step_a[both] / a[both], step_b[both] / b[both]])
    better = _compared(a, b)
    reached = pairing.where(both)
    logs = np.log(reached.ours[:, 0]) - np.log(reached.theirs[:, 0])
    ratio = dict(
        zip(("goal_ratio", "goal_ratio_low", "goal_ratio_high"), reached.interval(logs), strict=True)
    )
    row |= {name: math.exp(value) for name, value in ratio.items()} | _won("goal_", better)
    row |= {
        "goal_n": pairing.observations,
        "goal_resolution": float(shares.max()) if len(shares) else math.nan,
        "goal_pairs": int(both.sum()),
        "goal_seeds": len(a),
        "goal_hits": int(np.isfinite(a).sum()),
        "goal_median": float(np.median(a)) if len(a) else math.nan,
        "goal_baseline_hits": int(np.isfinite(b).sum()),
    }
    if len(a) > 1 and better.any():  # where no arm ever needs fewer there is nothing to test
        if both.all():
            observed = pairing.independent(logs)
            row |= {
                "goal_test": "sign flips",
                "goal_p": sign_flip_p(observed),
                "goal_fewer": bool(observed.mean() < 0),
            }
            row["goal_at_odds"] = _balance(pairing, better) * observed.mean() >= 0
        else:
            fewer = _balance(pairing, better) > 0
            row |= {"goal_test": "signs", "goal_p": _sign_test(pairing, better), "goal_fewer": fewer}
    return row
