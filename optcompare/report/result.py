"""The answer as people use it: its data and tables, drawn, saved, shown in a notebook, loaded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.headline import headline
from ..analysis.stability import stability_edges
from ..errors import USER_CODE_ERRORS, RunDirectoryError
from ..results.merge import merge, run_directories
from ..results.tables import ResultTables, describe
from ..storage import run_dir
from ..storage.looks_file import add_look, add_unrecorded, looks_so_far, read_looks
from ..storage.merged_looks import add_merged_look, looks_at_any_of
from .paper import check_metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .plots.panel import Panel

FORMATS = ("png", "svg", "pdf", "html")


@dataclass(repr=False)
class Result(ResultTables):
    """What a comparison measured, the tables computed from it, and how it is drawn, saved and shown.

    - ``records``: one row per measurement; ``trials``: one row per trial (columns as in the run directory's
      files);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: what was said before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights along the way and the loss around them, else None;
    - ``plane``: where the weights of each arm went, if that was asked for;
    - ``weights``: final weights by arm, seed and tuning repeat (0 without), of those that were kept;
    - ``workload``: what was trained, where it is known;
    - ``panels``: what may stand on the comparison plot beside the loss; None: those that come along;
    - ``appearance``: the colours of arms by label, where they are not to follow from the labels.
    """

    panels: Mapping[str, Panel] | None = field(default=None, kw_only=True)
    appearance: Mapping[str, str] | None = field(default=None, kw_only=True)

    def colours(self) -> dict[str, str]:
        """The colour of each arm by its label, in every figure; with it go a marker and dashes."""
        from .plots.looks import arm_colours

        given = self.appearance or {}
        found = arm_colours([arm.label for arm in self.comparison.arms])
        return {arm: given.get(arm, colour) for arm, colour in found.items()}

    def plot(self, metric: str | None = None, *, width: float | None = None, caption: bool = True) -> Figure:
        """Draw the comparison plot.

        Args:
            metric: A column of the records; by default what arms are compared by, and below it the training
                loss, and the final values on the test set where there is one.
            width: Inches; 10 by default.
            caption: Whether the title, which says what is claimed, and what explains the marks are drawn.

        Returns:
            A matplotlib Figure; ``.savefig("x.pdf")`` writes it, in the suffix's format.

        Raises:
            ComparisonError: There is no such column.
        """
        from .plots.comparison import comparison_figure

        if metric is not None:
            check_metric(metric, self.reported[0])
        note = None if self.status == "finished" else self._what_is_missing()
        return comparison_figure(
            *self.reported,
            paths=self.paths,
            note=note,
            panels=self.wanted_panels(),
            colours=self.colours(),
            title=self.headline(metric),
            metric=[metric] if metric else self.shown_metrics(),
            width=10.0 if width is None else width,
            caption=caption,
            final="test_loss" if metric is None and "test_loss" in self.records else None,
        )

    def shown_metrics(self) -> list[str]:
        """The columns that the comparison plot shows: what arms are compared by, then the training loss."""
        return list(dict.fromkeys([self.compared, "train_loss"]))

    def headline(self, metric: str | None = None) -> str:
        """The finding in a few words; see :func:`optcompare.analysis.headline.headline`.

        Args:
            metric: The column that a figure below it shows. Where arms were compared by another, that one is
            named.
        """
        goal = str(self.goal) if self.goal else ""
        seeds = int(self.reported[1]["seed"].nunique())
        compared = self.verdict_on if metric not in (None, self.verdict_on) else ""
        return headline(self.comparison.workload.label, self.pairs(), self.baseline, seeds, goal, compared)

    def _what_is_missing(self) -> str:
        return self.unfinished if self.is_under_way else "interrupted: results so far"

    def wanted_panels(self) -> list[tuple[str, Panel, pd.DataFrame]]:
        """The panels that have something to show of this run, with what they show it of: a plugin's first."""
        from .plots.builtin_panels import FIRST, PANELS

        panels = {name: make() for name, make in PANELS.items()} if self.panels is None else self.panels
        tables = self.panel_tables()
        found = [
            (name, panel, tables[panel.reads]) for name, panel in panels.items() if panel.reads in tables
        ]
        order = {name: number for number, name in enumerate(FIRST)}
        return sorted((each for each in found if _wants(*each)), key=lambda each: order.get(each[0], -1))

    def panel_tables(self) -> dict[str, pd.DataFrame]:
        """What panels read, by name; see :class:`optcompare.Panel`."""
        from .plots.curves import with_status

        records, trials = self.reported
        if records.empty:
            return {}
        records = with_status(records.assign(edge=stability_edges(records, self.comparison)), trials)
        return {"records": records} | ({} if self.plane is None else {"plane": self.plane})

    def save_page(self, path: str | Path) -> None:
        """Writes one page of HTML that opens offline: verdict, certificate, interactive curves, sortable
        tables.
        """
        from .html.page import page

        text = page([self])
        with run_dir.writing(Path(path)):
            Path(path).write_text(text, encoding="utf-8")

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Writes the run directory, which must be new or empty, and returns its path."""
        path = Path(directory)
        run_dir.claim(path)
        self.write(path, formats)
        return path

    def write(self, directory: Path, formats: Sequence[str] = ("png",), metric: str | None = None) -> None:
        """Writes every file of the run directory, each atomically, over what is there; ``metric``: as
        :meth:`plot` takes it.

        ``comparison.json`` holds the SHA-256 of all others, though not its own: what it says of the trials is
        checked by computing it again (``optcompare verify``).
        """
        tables = {run_dir.RECORDS: self.records, run_dir.TRIALS: self.trials}
        if self.paths is not None:
            tables[run_dir.PATHS] = self.paths
        if self.plane is not None:
            tables[run_dir.PLANE] = self.plane
        for name, table in tables.items():
            run_dir.write_table(directory, name, table)
        written = list(tables)
        run_dir.write_atomically(
            directory / run_dir.SUMMARY, lambda path: path.write_bytes(self.summary_csv())
        )
        written.append(run_dir.SUMMARY)
        self._record_look(directory)
        if len(self.reported[0]):
            pictures = [suffix for suffix in formats if suffix != "html"]
            figure = self.plot(metric) if pictures else None
            for suffix in pictures:
                run_dir.write_atomically(directory / f"comparison.{suffix}", figure.savefig)  # type: ignore[union-attr]
                written.append(f"comparison.{suffix}")
            if "html" in formats:
                run_dir.write_atomically(directory / "comparison.html", self.save_page)
                written.append("comparison.html")
        about = describe(
            self.comparison,
            self.status,
            self.environment,
            self.notes,
            self.certificate,
            self.verdict(),
            self.claims(),
        )
        files = {name: run_dir.file_sha256(directory / name) for name in written}
        run_dir.write_json(
            directory, {**about, "files": files, "looks": looks_so_far(directory)}
        )  # last: it says that the rest is there

    def _record_look(self, directory: Path) -> None:
        """Adds the looks that the directory does not hold yet, this one last."""
        before, now = read_looks(directory), self.as_past_look()
        known = {look.trials for look in before.looks}
        new = [
            look
            for look in [*self.looks.looks, *([now] if now is not None else [])]
            if look.trials not in known
        ]
        if new and not self.looks.recorded and (before.recorded or not before.looks):
            add_unrecorded(directory)
        for look in {look.trials: look for look in new}.values():
            add_look(directory, look)
        self.looks = self.looks.together_with(read_looks(directory)) if new or before.looks else self.looks

    def _repr_html_(self) -> str:
        from .html.notebook import result_html

        return result_html(self)

    def __repr__(self) -> str:
        from .html.notebook import result_text

        return result_text(self)


def _wants(name: str, panel: Panel, table: pd.DataFrame) -> bool:
    """A plugin's panel that fails to say is asked to draw, where its failure is shown."""
    try:
        return panel.wants(table)
    except USER_CODE_ERRORS:
        return True


def load(directory: str | Path) -> Result:
    """A result from its run directory; nothing in it is executed.

    A run that is under way, or was killed, is read as far as trials have ended. Raises
    :class:`RunDirectoryError` where something is missing or damaged.
    """
    return Result.read(directory)


def load_all(directories: Sequence[Path]) -> list[Result]:
    """One result a workload: directories of several runs are opened, runs of one workload merged.

    Runs together are trials that were not seen before: that look is recorded; see
    :mod:`.storage.merged_looks`. The run directories stay as they are.
    """
    return [result for result, _ in load_with_paths(directories)]


def load_with_paths(directories: Sequence[Path]) -> list[tuple[Result, list[Path]]]:
    """:func:`load_all`, each result with the run directories that it is from."""
    by_workload: dict[str, list[tuple[Path, Result]]] = {}
    for path in run_directories(directories):
        result = load(path)
        by_workload.setdefault(result.comparison.workload.label, []).append((path, result))
    return [
        (_looked_at(merge(found)) if len(found) > 1 else found[0][1], [path for path, _ in found])
        for found in by_workload.values()
    ]


def _looked_at(merged: Result) -> Result:
    """Counts the earlier looks at merged runs, and records this one; where it cannot be written, not all are
    recorded.
    """
    trials = merged.reported[1]
    merged.looks = merged.looks.together_with(looks_at_any_of(trials))
    look = None if merged.looks.holds(trials) else merged.as_past_look()
    if look is None:
        return merged
    recorded = True
    try:
        add_merged_look(look, trials)
    except RunDirectoryError:
        recorded = False
    merged.looks = merged.looks.followed_by(look, recorded)
    return merged
