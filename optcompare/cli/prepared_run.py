"""A comparison of a command line that is ready to be run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..interfaces.suite import Suite
    from ..planning.prepare import Prepared
    from ..storage.previous_run import PreviousRun


@dataclass(frozen=True)
class PreparedRun:
    """Hold a comparison that is ready to be run.

    Args:
        prepared: The prepared comparison.
        out: The run directory.
        previous: The previous run in this directory; None: the run is new.
        suite: The suite that it is a part of, whose folder holds the run directory; None: it stands alone.
    """

    prepared: Prepared
    out: Path
    previous: PreviousRun | None = None
    suite: Suite | None = None
