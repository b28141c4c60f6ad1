"""Final values of one arm compared with those of the baseline, as a row of the table of pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from .exact_tests import sign_flip_p
from .paired_signs import balance, better_of, sign_test, win_counts
from .paired_tests import PairedTests
from .pairing import Pairing, paired_trials, values_by_arm
from .statistics import final_values

ROUNDING = 1e-5
"""The relative spread over seeds up to which final values count as equal: the seed changes nothing."""
UNITS_IN_THE_LAST_PLACE = 10
EPSILON = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}


def end_row(pairing: Pairing, tests: PairedTests) -> dict[str, object]:
    """Compare final values.

    Args:
        pairing: The final values of both arms, in the first column.
        tests: The tests: their column decides which value is better; margin, dtype, and whether final values
            are tested.

    Returns:
        The columns of :func:`.paired.pairs` about final values.
    """
    a, b = pairing.ours[:, 0], pairing.theirs[:, 0]
    known, lower_wins = np.isfinite(a) & np.isfinite(b), tests.column.endswith("_loss")
    sign = 1.0 if lower_wins else -1.0
    better = better_of(*(np.where(np.isfinite(values), sign * values, math.inf) for values in (a, b)))
    row: dict[str, Any] = {
        "n": pairing.observations,
        **win_counts("", better),
        **dict.fromkeys(("difference", "low", "high", "median", "p", "equal_p"), math.nan),
        "margin": math.nan if tests.margin is None else tests.margin,
        "test": "",
        "rounding_only": False,
        "one_difference": False,
        "lower": (balance(pairing, better) > 0) == lower_wins,
        "at_odds": False,
    }
    if len(a) and known.all():
        row |= _sizes(pairing, tests.dtype)
        observed = pairing.independent(a - b)
        row["at_odds"] = balance(pairing, better) * (sign * observed.mean()) >= 0
    if len(a) < 2 or not tests.final:
        return row
    row["equal_p"] = _within(pairing, a, b, tests.margin)
    if not known.all():
        return row | {"test": "signs", "p": sign_test(pairing, better)}
    if not (row["rounding_only"] or row["one_difference"]):
        row |= {"test": "sign flips", "p": sign_flip_p(observed)}
    return row


def _sizes(pairing: Pairing, dtype: str) -> dict[str, object]:
    """Summarise the differences, all finite, and mark those that are only rounding."""
    a, b = pairing.ours[:, 0], pairing.theirs[:, 0]
    observed = pairing.independent(a - b)
    resolution = UNITS_IN_THE_LAST_PLACE * EPSILON[dtype] * float(np.abs([a, b]).max())
    difference, low, high = pairing.interval(a - b)
    rounding_only = float(np.abs(observed).max()) <= resolution
    one_difference = len(observed) > 1 and not rounding_only and float(np.ptp(observed)) <= resolution
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "lower": bool(observed.mean() < 0),
        "median": float(np.median(observed)),
        "rounding_only": rounding_only,
        "one_difference": one_difference,
    }


def _within(pairing: Pairing, a: np.ndarray, b: np.ndarray, margin: float | None) -> float:
    """Test that the differences lie within ±margin: the larger p of both one-sided tests (Schuirmann 1987).

    If any trial was lost, both are sign tests, and a lost trial lies outside the margin.
    """
    if margin is None:
        return math.nan
    if np.isfinite(a).all() and np.isfinite(b).all():
        observed = pairing.independent(a - b)
        return max(sign_flip_p(observed - margin, "less"), sign_flip_p(observed + margin, "greater"))
    with np.errstate(invalid="ignore"):
        differences = a - b  # nan where both were lost, or where one was lost and the column is no loss
    below, above = np.nan_to_num(differences, nan=math.inf), np.nan_to_num(differences, nan=-math.inf)
    tests = (
        sign_test(pairing, np.sign(margin - below), "greater"),
        sign_test(pairing, np.sign(above + margin), "greater"),
    )
    return max(tests)


def is_constant(pairing: Pairing) -> bool:
    """Return whether the final values of each arm are equal over seeds, up to rounding."""
    return all(_constant(values[:, 0]) for values in (pairing.ours, pairing.theirs))


def _constant(finals: np.ndarray) -> bool:
    return (
        len(finals) > 1
        and bool(np.isfinite(finals).all())
        and bool(np.ptp(finals) <= ROUNDING * np.abs(finals).max())
    )


def control_spread(records: pd.DataFrame, trials: pd.DataFrame, tests: PairedTests) -> float:
    """Measure how far rounding alone moves the final value of one seed.

    Args:
        records: The report's records.
        trials: The report's trials.
        tests: The tests, with their baseline, control and column.

    Returns:
        The standard deviation over seeds of the final value of the control minus that of the baseline.
        Infinite if only one of the two diverged on a seed. nan without a control, with fewer than two seeds,
        or if a trial of either failed, since failures are unrelated to rounding.
    """
    if tests.control is None:
        return math.nan
    both = trials["arm"].isin([tests.control, tests.baseline])
    if (trials.loc[both, "status"] == "failed").any():
        return math.nan
    finals = values_by_arm(final_values(records, trials, tests.column), "final")
    pairing = paired_trials(finals, tests.control, tests.baseline)
    a, b = pairing.ours[:, 0], pairing.theirs[:, 0]
    if (np.isfinite(a) != np.isfinite(b)).any():
        return math.inf
    known = np.isfinite(a) & np.isfinite(b)
    return float((a[known] - b[known]).std(ddof=1)) if known.sum() > 1 else math.nan
