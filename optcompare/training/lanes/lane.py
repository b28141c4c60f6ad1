"""A lane: one trial of a group that is trained as one program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...core.columns import Record
from ...core.comparison import Trial
from ..loop.planner import Planner
from ..measurement.counters import Progress
from ..state import TrialState


@dataclass(eq=False)
class Lane:
    """One trial of a group.

    Attributes:
        trial: Of the comparison.
        planner: Of its strategy; the lanes of a seed share one.
        progress: Its counters.
        state: As the loop trainer would leave it, when the lane was last stopped.
        pace: Seconds of one update on the loop trainer.
        follows: Whether the path of its weights is followed.
        strayed: Why its trial continues on the loop trainer; empty while it is trained here.
        frozen: Whether ``state`` is its last, whatever the other lanes do.
        last: Its last record of this task.
    """

    trial: Trial
    planner: Planner
    progress: Progress
    state: TrialState
    pace: float
    follows: bool = False
    strayed: str = ""
    frozen: bool = False
    last: Record = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it is still trained in this group."""
        return self.progress.status == "running" and not self.strayed


def running(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes that are still trained."""
    return [lane for lane in lanes if lane.running]
