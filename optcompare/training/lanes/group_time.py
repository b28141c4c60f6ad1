"""Estimate the time of a group of lanes, which may change its engine during training."""

from __future__ import annotations

from dataclasses import dataclass

from .cost_model import Work

CALL_OPERATIONS = 100
"""The overhead of a call of the program and of one measurement, as small operations."""

RECORD_OPERATIONS = 10
"""The overhead of one record, as small operations."""

CHECK_UPDATES = 12
"""Updates of all lanes that the comparison with the loop takes; see :mod:`.admission`."""

LOADING_OPERATIONS = 70_000
"""Loading a compiled program and comparing it with the traced one, as small operations."""


BESIDE_A_COMPILER = 1.25
"""The factor by which lanes are slowed down by a compiler on another core."""


@dataclass(frozen=True)
class GroupPace:
    """Hold the seconds of the parts of a group's training.

    Args:
        update: One update of all lanes, until the program is compiled.
        measurement: One measurement of all lanes.
        epoch: Planning one epoch of all lanes.
        start: All that comes before the first update.
        compiled: One update of all lanes of the compiled program.
        compiling: The seconds until the program is compiled; 0: it is in the cache; None: it is not compiled.
    """

    update: float
    measurement: float
    epoch: float = 0.0
    start: float = 0.0
    compiled: float = 0.0
    compiling: float | None = None


@dataclass(frozen=True)
class GroupTime:
    """Hold the seconds of a group, and the point at which its pace changes.

    Args:
        seconds: The seconds of the whole group.
        turn: The share of the updates, and the share of the seconds, at which the compiled program takes
            over; (1, 1): the pace does not change.
    """

    seconds: float
    turn: tuple[float, float] = (1.0, 1.0)


def group_time(
    work: Work, epochs: float, pace: GroupPace, elapsed: float = 0.0, slower: float = 1.0
) -> GroupTime:
    """Estimate the time of a group.

    Args:
        work: The work of the group.
        epochs: The epochs of each trial.
        pace: The seconds of the parts.
        elapsed: The seconds for which its program has been compiling when the group starts.
        slower: The factor by which compilers are slowed down by each other, and lanes by compilers.

    Returns:
        The time.
    """
    around = work.measurements * pace.measurement + epochs * pace.epoch
    slow = around + work.updates * pace.update
    if pace.compiling is None or work.updates == 0:
        return GroupTime(pace.start + slow)
    wait = max(0.0, slower * pace.compiling - elapsed - pace.start)
    slow = slow * slower * BESIDE_A_COMPILER if wait > 0 else slow
    if wait >= slow:
        return GroupTime(pace.start + slow)
    share = wait / slow
    fast = around + work.updates * min(pace.update, pace.compiled)
    seconds = pace.start + wait + (1 - share) * fast
    return GroupTime(seconds, (share, (pace.start + wait) / seconds) if share > 0 else (1.0, 1.0))
