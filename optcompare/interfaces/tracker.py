"""What a tracker is: something that is told of a run while it runs, and hands that on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..core.comparison import Comparison, Trial
    from ..report.result import Result


class Tracker:
    """Override what you want to be told.

    Made anew for each comparison, in a process of its own, after this one's name.

    - ``address``: what follows the name in ``--track name:address``, else empty; ``directory``: the run
      directory, None where nothing is saved. Make and open here what is needed, so that what is missing is
      said before anything is trained (raise :class:`optcompare.ComparisonError` with one line), but write
      into ``directory`` only when told;
    - what it prints comes out of the run's standard output, in order; ``prints``: it does so, and what is
      written for people then goes to standard error.

    However long it takes, and whether it raises, training goes on: it is told of as much as it has time for,
    and some seconds more at the end. A run that is resumed tells what is new, and the whole result at its
    end.
    """

    prints: ClassVar[bool] = False

    def __init__(self, address: str, directory: Path | None) -> None:
        self.address, self.directory = address, directory

    def run_started(self, comparison: Comparison) -> None:
        """After everything was checked and before anything is trained."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Each row of ``records.parquet``."""

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        """Each row of ``trials.parquet``, when the trial has ended, however it did."""

    def run_finished(self, result: Result) -> None:
        """With everything that was measured, after an interruption too; without weights."""
