"""The tracker contract: forward the events of a run to another system while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..core.comparison import Comparison, Trial
    from ..report.result import Result


class Tracker:
    """Base class of all trackers; override the methods of the events that you need.

    A tracker is made for each comparison, in its own process. ``__init__`` should open all that is needed, so
    that a missing part is an error before the training: raise :class:`optcompare.ComparisonError` with one
    line. It must not write into ``directory``; the other methods may.

    The output of ``print`` in a tracker appears in the standard output of the run, in order.

    A tracker that is slow or raises does not stop the training. It misses the events for which it has no
    time; at the end the run waits some seconds for it. A resumed run sends the new events, and the whole
    result at its end.

    Args:
        address: The text after the name in ``--track name:address``; empty for none.
        directory: The run directory; None: nothing is saved.
    """

    prints: ClassVar[bool] = False
    """Whether it prints; messages for people then go to standard error."""

    def __init__(self, address: str, directory: Path | None) -> None:
        self.address, self.directory = address, directory

    def run_started(self, comparison: Comparison) -> None:
        """Receive the comparison, after all checks and before the training."""

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Receive a row of ``records.parquet``, by column."""

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        """Receive a row of ``trials.parquet``, by column, after the trial has ended in any status."""

    def run_finished(self, result: Result) -> None:
        """Receive the result, without weights, also after an interruption."""
