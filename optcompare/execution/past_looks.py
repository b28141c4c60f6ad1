"""Past looks at a run's trials, which are read and recorded before the run continues."""

from __future__ import annotations

from pathlib import Path

from ..analysis.looks import History
from ..errors import ComparisonError
from ..results.tables import ResultTables
from ..storage import run_dir
from ..storage.looks_file import LOOKS, add_look, add_unrecorded, looks_changed, read_looks
from ..storage.merged_looks import looks_at_any_of
from ..storage.run_tables import has_tables


def refuse_missing_looks(directory: Path, force: bool) -> list[str]:
    """Refuse to continue a run if its recorded looks were deleted or changed.

    Args:
        directory: The run directory.
        force: Continue nevertheless, and record in the file that looks are missing.

    Returns:
        Sentences for the notes of the run.

    Raises:
        ComparisonError: The looks were deleted or changed.
    """
    changed = looks_changed(directory, run_dir.read_json(directory).get("looks"))
    if not changed:
        return []
    if not force:
        raise ComparisonError(
            f"since this run began, {changed}, and with it the looks at its trials; put it back, or give "
            "--force to go on with looks that are not all recorded"
        )
    add_unrecorded(directory)
    return [f"resumed although {changed}"]


def note_unrecorded_look(directory: Path) -> None:
    """Add the look of a verdict that an earlier version wrote without recording a look."""
    if (
        (directory / LOOKS).exists()
        or not has_tables(directory)
        or not run_dir.read_json(directory).get("verdict")
    ):
        return
    look = ResultTables.read(directory).as_past_look()
    if look is not None:
        add_unrecorded(directory)
        add_look(directory, look)


def note_looks_at_merged_runs(directory: Path) -> None:
    """Add the looks at merged runs that include trials of this run.

    They are recorded outside of run directories and are found by fingerprints of the trials, which may change
    when the run continues; see :mod:`.storage.merged_looks`.
    """
    if not has_tables(directory):
        return
    known = {look.trials for look in read_looks(directory).looks}
    for look in looks_at_any_of(ResultTables.read(directory).reported[1]).looks:
        if look.trials not in known:
            add_look(directory, look)


def looks_of(out: Path | None) -> History:
    """Return the looks in the run directory; a new one records all looks from the first on."""
    if out is None:
        return History()
    return read_looks(out) if (out / LOOKS).exists() else History(recorded=True)
