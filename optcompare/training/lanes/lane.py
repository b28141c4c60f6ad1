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
    """Hold one trial of a group.

    Attributes:
        trial: The trial.
        planner: The planner of its strategy; the lanes of a seed share one.
        progress: The counters of the trial.
        state: The state of the trial when the lane was last stopped, as the loop trainer would return it.
        pace: Seconds of one update on the loop trainer.
        follows: Whether the path of its weights is followed.
        strayed: Why its trial continues on the loop trainer; empty while it is trained here.
        frozen: Whether ``state`` is final: the lane has ended, while others may continue.
        last: The last record of the trial in this task.
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
        """Return whether the lane is still trained in this group."""
        return self.progress.status == "running" and not self.strayed


def running(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes that are still trained."""
    return [lane for lane in lanes if lane.running]
