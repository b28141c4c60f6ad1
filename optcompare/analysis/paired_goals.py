"""Samples to the goal of one arm compared with the baseline, as a row of the table of pairs."""

from __future__ import annotations

import math

import numpy as np

from .exact_tests import sign_flip_p
from .paired_signs import balance, better_of, sign_test, win_counts
from .pairing import Pairing

_NUMBERS = ("ratio", "ratio_low", "ratio_high", "p", "resolution", "median")
_COUNTS = ("n", "wins", "losses", "ties", "pairs", "seeds", "hits", "baseline_hits")


def goal_row(pairing: Pairing | None) -> dict[str, object]:
    """Compare the samples to the goal.

    Args:
        pairing: ``samples, resolution`` of both arms; None without a goal. nan marks a trial that was
            interrupted before its goal; its pair is left out.

    Returns:
        The columns ``goal_*`` of :func:`.paired.pairs`.
    """
    row: dict[str, object] = {
        **{f"goal_{name}": math.nan for name in _NUMBERS},
        **{f"goal_{name}": 0 for name in _COUNTS},
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
    better, reached = better_of(a, b), pairing.where(both)
    logs = np.log(reached.ours[:, 0]) - np.log(reached.theirs[:, 0])
    ratios = zip(("goal_ratio", "goal_ratio_low", "goal_ratio_high"), reached.interval(logs), strict=True)
    row |= {name: math.exp(value) for name, value in ratios} | win_counts("goal_", better)
    row |= {
        "goal_n": pairing.observations,
        "goal_resolution": float(shares.max()) if len(shares) else math.nan,
        "goal_pairs": int(both.sum()),
        "goal_seeds": len(a),
        "goal_hits": int(np.isfinite(a).sum()),
        "goal_median": float(np.median(a)) if len(a) else math.nan,
        "goal_baseline_hits": int(np.isfinite(b).sum()),
    }
    if len(a) < 2 or not better.any():  # Without a difference there is nothing to test.
        return row
    return row | (_of_logs(pairing, logs, better) if both.all() else _of_signs(pairing, better))


def _of_logs(pairing: Pairing, logs: np.ndarray, better: np.ndarray) -> dict[str, object]:
    """Test the logarithms of the ratios; both arms reached the goal in every pair."""
    observed = pairing.independent(logs)
    return {
        "goal_test": "sign flips",
        "goal_p": sign_flip_p(observed),
        "goal_fewer": bool(observed.mean() < 0),
        "goal_at_odds": balance(pairing, better) * observed.mean() >= 0,
    }


def _of_signs(pairing: Pairing, better: np.ndarray) -> dict[str, object]:
    """Test wins against losses; some trial missed the goal."""
    fewer = balance(pairing, better) > 0
    return {"goal_test": "signs", "goal_p": sign_test(pairing, better), "goal_fewer": fewer}
