"""Train a prepared comparison, or continue an earlier run of it."""

from __future__ import annotations

from pathlib import Path

from ..execution.run import execute, resume
from ..execution.run_options import RunOptions
from ..planning.prepare import Prepared
from ..report.result import Result
from ..storage.previous_run import PreviousRun
from ..storage.resume import refuse_other_question, with_previous_tuning


def run_or_resume(
    prepared: Prepared,
    previous: PreviousRun | None,
    directory: Path | None,
    options: RunOptions,
    *,
    force: bool = False,
) -> Result:
    """Train a comparison, or what an earlier run of the same question left of it.

    Args:
        prepared: The prepared comparison.
        previous: The earlier run; None: there is none.
        directory: The run directory of a new run; None: nothing is written.
        options: How it is run.
        force: Continue although something changed since.

    Returns:
        The result.

    Raises:
        OptcompareError: The earlier run asked another question, or cannot be continued.
    """
    if previous is None:
        return execute(prepared, directory, options)
    comparison = prepared.setup.comparison
    refuse_other_question(comparison, previous.comparison)
    prepared = prepared.for_comparison(with_previous_tuning(comparison, previous.comparison))
    return resume(prepared, previous, options, force=force)
