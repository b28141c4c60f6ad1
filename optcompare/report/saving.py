"""Write a result into its run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.description import describe
from ..storage import run_dir
from ..storage.looks_file import add_look, add_unrecorded, looks_so_far, read_looks

if TYPE_CHECKING:
    from .result import Result


def write_run(result: Result, directory: Path, formats: Sequence[str], metric: str | None) -> None:
    """Write every file of the run directory, each atomically, replacing existing files.

    ``comparison.json`` is written last. It holds the SHA-256 of all other files. ``optcompare verify`` checks
    its statements about the trials by computing them again.

    Args:
        result: The result to write.
        directory: The run directory.
        formats: The formats of the comparison plot: ``png``, ``svg``, ``pdf``, ``html``.
        metric: The column that the plot shows; None: the compared loss.
    """
    written = _write_tables(result, directory)
    _record_look(result, directory)
    if len(result.reported[0]):
        written += _write_plots(result, directory, formats, metric)
    about = describe(
        result.comparison,
        result.status,
        result.environment,
        result.notes,
        result.certificate,
        result.verdict(),
        result.claims(),
    )
    files = {name: run_dir.file_sha256(directory / name) for name in written}
    run_dir.write_json(directory, {**about, "files": files, "looks": looks_so_far(directory)})


def _write_tables(result: Result, directory: Path) -> list[str]:
    """Write all tables, and return the names of their files."""
    tables = {
        run_dir.RECORDS: result.records,
        run_dir.TRIALS: result.trials,
        run_dir.PATHS: result.paths,
        run_dir.PLANE: result.plane,
    }
    known = {name: table for name, table in tables.items() if table is not None}
    for name, table in known.items():
        run_dir.write_table(directory, name, table)
    summary = result.summary_csv()
    run_dir.write_atomically(directory / run_dir.SUMMARY, lambda path: path.write_bytes(summary))
    return [*known, run_dir.SUMMARY]


def _write_plots(result: Result, directory: Path, formats: Sequence[str], metric: str | None) -> list[str]:
    """Write the comparison plot in each format, and return the names of its files."""
    pictures = [f"comparison.{suffix}" for suffix in formats if suffix != "html"]
    if pictures:
        figure = result.plot(metric)
        for name in pictures:
            run_dir.write_atomically(directory / name, figure.savefig)
    if "html" not in formats:
        return pictures
    run_dir.write_atomically(directory / "comparison.html", result.save_page)
    return [*pictures, "comparison.html"]


def _record_look(result: Result, directory: Path) -> None:
    """Add the looks that the directory does not hold yet, the present one last."""
    before, now = read_looks(directory), result.as_past_look()
    known = {look.trials for look in before.looks}
    seen = [*result.looks.looks, *([now] if now is not None else [])]
    new = {look.trials: look for look in seen if look.trials not in known}
    if new and not result.looks.recorded and (before.recorded or not before.looks):
        add_unrecorded(directory)
    for look in new.values():
        add_look(directory, look)
    if new or before.looks:
        result.looks = result.looks.together_with(read_looks(directory))
