"""The lanes trainer: trials that differ only in numbers are trained together, as one program.

A group is admitted only if its first updates agree with the loop trainer's; all other trials run on the loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

from ...core.columns import Record
from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ...errors import USER_CODE_ERRORS, explain
from ..data import TensorSource
from ..loop.planner import Planner
from ..loop.trainer import LoopTrainer
from ..loop.trial import TrialRun
from ..measurement.counters import Progress
from ..settings import preserved_settings
from ..state import LanesState, TrialState
from .adaptive_run import AdaptiveRun
from .admission import Admission, Admitted
from .equivalence import TOLERANCES
from .families import Families
from .lane import Lane
from .run import LanesRun
from .update_rules import Unsupported


class LanesTrainer:
    """Train groups of trials as one program each, with the data and shared starts of a loop trainer.

    Args:
        loop: The loop trainer of the same setup.
        memory: Bytes that lanes may use.
        say: A function that receives a line for each choice.

    Attributes:
        admission: The comparison of lanes with the loop trainer.
    """

    name = "lanes"

    def __init__(
        self, loop: LoopTrainer, memory: float, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.loop, self.setup = loop, loop.setup
        self.families = Families(loop, memory, TOLERANCES[loop.setup.comparison.dtype], say)
        self.admission = Admission(loop, self.families)
        self._live: tuple[LanesState, LanesRun] | None = None

    def grouped(self, trials: Sequence[Trial]) -> tuple[list[list[Trial]], list[tuple[Trial, str]]]:
        """Return groups of trials that could share a program, and the other trials with the reasons."""
        groups: dict[Hashable, list[Trial]] = {}
        refused = []
        for trial in trials:
            try:
                groups.setdefault(self.families.key(trial), []).append(trial)
            except Unsupported as why:
                refused.append((trial, str(why)))
        return list(groups.values()), refused

    def supports(self, trial: Trial) -> bool:
        """Return whether the model and optimizer of a trial can run in lanes; no update is made."""
        with preserved_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.families.of(trial)
            except USER_CODE_ERRORS:
                return False
            return True

    def admit(self, trials: Sequence[Trial]) -> Admitted:
        """Choose the trials of a group that agree with the loop trainer; see :meth:`.Admission.admit`."""
        return self.admission.admit(trials)

    def advance(
        self,
        trials: Sequence[Trial],
        state: LanesState | None,
        until: Callable[[], bool],
        stop: Callable[[], bool] | None = None,
    ) -> tuple[list[Record], LanesState]:
        """Train an admitted group for a while, as :meth:`.LoopTrainer.advance` does one trial.

        Args:
            trials: The group.
            state: The state to continue from; None: the shared starts.
            until: Called about every quarter of a second; True ends the task.
            stop: Whether the user asked to stop; see :meth:`.LoopTrainer.advance`.

        Returns:
            The new records, and the new state. Its ``strayed`` names the trials that continue on the loop
            trainer.

        Raises:
            KeyboardInterrupt: There is no ``stop``, or the group was not complete yet.
        """
        with preserved_rng(), preserved_settings():
            again = False
            try:
                if self._live is not None and state is self._live[0]:
                    run = self._live[1]
                    run.measurement.records = []
                else:
                    run = self._run(trials, state)
            except (*USER_CODE_ERRORS, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt) and (stop is None or stop()):
                    raise
                why = f"lanes failed: {explain(error)}"
                lost: list[TrialState] = [{"progress": Progress().to_state()} for _ in trials]
                return [], {
                    "lanes": lost,
                    "strayed": {str(n): why for n in range(len(trials))},
                    "again": True,
                }
            try:
                run.train(until, stop)
            except (*USER_CODE_ERRORS, KeyboardInterrupt) as error:
                users = isinstance(error, KeyboardInterrupt) and (stop is None or stop())
                if users and stop is None:
                    raise
                again = not users
                for lane in filter(lambda lane: lane.running, run.lanes):
                    if users:
                        lane.progress.status, lane.progress.reason = (
                            "interrupted",
                            "interrupted within an update",
                        )
                    else:
                        lane.strayed = f"lanes failed: {explain(error)}"
            state = {**run.state(), "again": again}
            self._live = state, run
            return run.measurement.records, state

    def wait(self) -> None:
        """Wait for programs that are being compiled."""
        for programs in self.families.all_programs():
            programs.wait()

    def stop(self) -> None:
        """End running compilers."""
        for programs in self.families.all_programs():
            programs.stop()

    def _run(self, trials: Sequence[Trial], state: LanesState | None) -> LanesRun:
        """Return the run of a group, at the shared starts or at a state."""
        family = self.families.of(trials[0])
        records, planners, lanes = list[Record](), dict[int, Planner](), list[Lane]()
        first = dict[int, TrialRun]()  # of each seed, since optimizers of lanes do not change a module
        for number, trial in enumerate(trials):
            run = self.loop.run(
                trial, None if state is None else state["lanes"][number], first.get(trial.seed)
            )
            first.setdefault(trial.seed, run)
            if state is None:
                run.measurement.start()
                run.close()
                (record,) = run.records
                records.append({**record, "clock": "estimated"})
            ended = run.progress.status != "running"
            own = ended or family.needs is not None
            planner = run.planner if own else planners.setdefault(trial.seed, run.planner)
            pace = family.pace[trial.arm.label]
            lanes.append(
                Lane(trial, planner, run.progress, run.state(), pace, run.measurement.follows, frozen=ended)
            )
        width = next((width for width in family.programs if width >= len(trials)), len(trials))
        sources = cast(Mapping[str, TensorSource], family.loop.sources)
        numbers = [self.families.settings_of(trial).numbers for trial in trials]
        comparison, programs = self.setup.comparison, self.families.programs(family, width)
        rest = lanes, numbers, family.fits[1], records
        if family.needs is None:
            return LanesRun(comparison, sources, programs, *rest)
        with_stats = self.families.programs_with_stats(family, width)
        largest = min(trials[0].arm.chunk, max(family.sizes) * max(family.fits[0], width) // width)
        return AdaptiveRun(comparison, sources, programs, with_stats, largest, *rest)
