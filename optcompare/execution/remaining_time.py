"""Estimate the remaining time of a run: the expected time, corrected by the real time so far."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ..core.comparison import Trial
from .expected_time import Expected

_TRUSTED_SECONDS = 5.0
"""The weight of expected times, in seconds of a run, since the first seconds of a run are noisy."""


class RemainingTime:
    """Estimate the time left for all trials of a run; the clock starts with this object.

    Args:
        expected: The expected time of each trial.
        planned: All trials of the run.
    """

    def __init__(self, expected: Expected, planned: Sequence[Trial]) -> None:
        self._expected = expected
        self._total = sum(map(expected.of, planned))
        self._done = 0.0
        self._began = time.perf_counter()

    def finished(self, trial: Trial) -> None:
        """Count a trial that has ended."""
        self._done += self._expected.of(trial)

    def left(self, shares: Mapping[Trial, float]) -> tuple[float, float]:
        """Return the share of all work that is done, from 0 to 1, and the seconds left.

        Args:
            shares: The share of each trial under way that is done, from 0 to 1.
        """
        elapsed = time.perf_counter() - self._began
        done = self._done + sum(share * self._expected.of(trial) for trial, share in shares.items())
        rate = (elapsed + _TRUSTED_SECONDS) / (done + _TRUSTED_SECONDS)
        left = max(0.0, self._total - done)
        return min(1.0, done / self._total), left * rate
