"""The columns of a run directory's tables, one place for all who write or read them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

RECORD_COLUMNS = (
    "workload",
    "phase",
    "arm",
    "strategy",
    "optimizer",
    "lr",
    "seed",
    "mark",
    "update",
    "epoch",
    "samples",
    "batch_size",
    "seconds",
    "clock",
    "train_loss",
)
TRIAL_COLUMNS = (
    "workload",
    "phase",
    "arm",
    "lr",
    "seed",
    "status",
    "reason",
    "weights_sha256",
    "order_sha256",
    "batches_sha256",
    "final_sha256",
    "trainer",
    "updates",
    "samples",
    "train_seconds",
    "measure_seconds",
)

GOAL_COLUMNS = ("goal_updates", "goal_samples", "goal_before", "goal_dip")
"""Further columns of trials that stop at a smoothed goal: where it was reached, the last measured update
whose average had not, and the first measured update at which the metric itself had; not a number where it was
not reached.
"""

KEY = ("phase", "arm", "lr", "seed")
"""What tells the trials of a run directory apart, where arms are not tuned several times."""


def run_key(columns: Iterable[Hashable]) -> list[str]:
    """The columns that tell all trials of a run apart, with the tuning repeat where there are several.

    Args:
        columns: The names of a table's columns, or the table.

    Returns:
        ``["phase", "arm", "lr", "seed"]``, and ``"repeat"`` where the table has such a column.
    """
    return [*KEY, *(["repeat"] if "repeat" in set(columns) else [])]


def trial_key(columns: Iterable[Hashable]) -> list[str]:
    """The columns that tell the trials of one phase apart: the arm, the seed, and the tuning repeat where
    there are several.

    Args:
        columns: The names of a table's columns, or the table.

    Returns:
        ``["arm", "seed"]``, and ``"repeat"`` where the table has such a column.
    """
    return ["arm", "seed", *(["repeat"] if "repeat" in set(columns) else [])]
