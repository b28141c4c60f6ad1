"""Estimate the time at the end of a run: certificate, tables, plots, and the measurements of a study."""

from __future__ import annotations

from collections.abc import Collection

from ..core.comparison import Comparison
from ..planning.estimates import Estimate
from .update_times import ROUND_SECONDS, ROUNDS

_FINISHING_OPERATIONS, _OPERATIONS_OF_AN_ARM, _TUNING_OPERATIONS = 450_000, 40_000, 100_000
"""The certificate, tables and the plot, and what each arm and the plot of tuning add, as small operations."""


def finishing_seconds(comparison: Comparison, estimates: Collection[Estimate], operation: float) -> float:
    """Return the expected seconds after the last trial.

    Args:
        comparison: The comparison.
        estimates: The estimates of its arms.
        operation: The seconds of one small tensor operation.

    Returns:
        The seconds.
    """
    operations = _FINISHING_OPERATIONS + _OPERATIONS_OF_AN_ARM * len(comparison.arms)
    operations += _TUNING_OPERATIONS * (comparison.tuning is not None)
    seconds = operations * operation
    if comparison.stop_at_goal:
        # Each arm's updates are timed, and one trial of each optimizer is trained again.
        seconds += 2 * ROUNDS * ROUND_SECONDS * len(comparison.arms)
        seconds += max((estimate.seconds for estimate in estimates), default=0.0)
    return seconds
