"""Estimate the remaining time of a run: the expected time, corrected by the real time so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from ..core.comparison import Trial
from .expected_time import ExpectedTime

_TRUSTED_SECONDS = 1.0
"""The weight of expected times, in seconds of a run, since the first seconds of a run are noisy."""
_TRUSTED_SHARE = 0.05
"""The same as a share of what is expected of an arm, or of all."""

_Arm = tuple[str, str]
"""The phase and the label of an arm."""


class RemainingTime:
    """Estimate the time left for all trials of a run; the clock starts with this object.

    The seconds that pass are counted for the arms whose trials advance. An arm's trials to come are expected
    to take as long as those before, so that trials that end early, at a goal, shorten the expected rest.

    Args:
        expected: The expected time of each trial.
        planned: All trials of the run.
        clock: Returns seconds.
    """

    def __init__(
        self,
        expected: ExpectedTime,
        planned: Sequence[Trial],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._expected, self._clock = expected, clock
        self._planned = defaultdict[_Arm, float](float)
        for trial in planned:
            self._planned[_arm(trial)] += expected.of(trial).seconds
        self._finished = defaultdict[_Arm, float](float)
        self._real = defaultdict[_Arm, float](float)
        self._before = dict[_Arm, float]()
        self._last = clock()

    def finished(self, trial: Trial, *, restored: bool = False) -> None:
        """Count a trial that has ended.

        Args:
            trial: The trial.
            restored: Whether a previous run trained it, so that it is not part of this run's work.
        """
        seconds = self._expected.of(trial).seconds
        if restored:
            self._planned[_arm(trial)] -= seconds
        else:
            self._finished[_arm(trial)] += seconds

    def left(self, shares: Mapping[Trial, float]) -> tuple[float, float]:
        """Return the share of all work that is done, from 0 to 1, and the seconds left.

        Args:
            shares: The share of each trial under way that is done, from 0 to 1.
        """
        done = self._done(shares)
        self._count(done)
        whole = sum(done.values())
        total, left = sum(self._planned.values()), 0.0
        pace = _pace(sum(self._real.values()), whole, 1.0, total)
        for arm, planned in self._planned.items():
            own = _pace(self._real[arm], done.get(arm, 0.0), pace, planned)
            left += max(0.0, planned - done.get(arm, 0.0)) * own
        return (min(1.0, whole / total) if total > 0 else 1.0), left + self._expected.finishing

    def _done(self, shares: Mapping[Trial, float]) -> dict[_Arm, float]:
        """Return the expected seconds of what is done, by arm."""
        done = defaultdict[_Arm, float](float, self._finished)
        for trial, share in shares.items():
            done[_arm(trial)] += self._expected.of(trial).until(share)
        return done

    def _count(self, done: Mapping[_Arm, float]) -> None:
        """Divide the seconds since the last call among the arms that have advanced."""
        now = self._clock()
        more = {arm: max(0.0, seconds - self._before.get(arm, 0.0)) for arm, seconds in done.items()}
        whole = sum(more.values())
        if whole <= 0:
            return
        for arm, seconds in more.items():
            self._real[arm] += (now - self._last) * seconds / whole
        self._before, self._last = dict(done), now


def _arm(trial: Trial) -> _Arm:
    return trial.phase, trial.arm.label


def _pace(real: float, expected: float, before: float, planned: float) -> float:
    """Return the real seconds of an expected one, which is ``before`` at first."""
    trusted = max(_TRUSTED_SECONDS, _TRUSTED_SHARE * planned)
    return (real + trusted * before) / (expected + trusted)
