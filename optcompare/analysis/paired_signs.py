"""Wins and losses of one arm against another, pair by pair."""

from __future__ import annotations

import numpy as np

from .exact_tests import Side, sign_p
from .pairing import Pairing


def better_of(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Compare costs pair by pair.

    Args:
        ours: The costs of one arm, float[n].
        theirs: The costs of the other arm, float[n].

    Returns:
        1 where our cost is less, -1 where it is more, 0 where both are equal, float[n].
    """
    return (ours < theirs).astype(float) - (ours > theirs)


def win_counts(prefix: str, better: np.ndarray) -> dict[str, object]:
    """Count wins, losses and ties.

    Args:
        prefix: The prefix of the keys.
        better: The sign of each pair, float[n]: positive for a win.

    Returns:
        The counts with the keys ``wins``, ``losses`` and ``ties`` after the prefix.
    """
    counts = {"wins": better > 0, "losses": better < 0, "ties": better == 0}
    return {f"{prefix}{name}": int(which.sum()) for name, which in counts.items()}


def balance(pairing: Pairing, better: np.ndarray) -> int:
    """Return wins minus losses over the independent observations; ``better`` is the sign of each pair."""
    return int(np.sign(pairing.independent(better)).sum())


def sign_test(pairing: Pairing, better: np.ndarray, side: Side = "two") -> float:
    """Test wins against losses; an observation has the sign that most of its pairs have.

    Args:
        pairing: The pairs, with the observation that each belongs to.
        better: The sign of each pair, float[n].
        side: See :func:`.exact_tests.sign_p`.

    Returns:
        The p; 1 without a win or a loss.
    """
    signs = np.sign(pairing.independent(better))
    return sign_p(int((signs > 0).sum()), int((signs < 0).sum()), side)
