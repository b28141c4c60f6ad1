"""The answer: records, trials, certificate; summary, plot, trained models; saved to and loaded from a run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..analysis.certificate import Check
from ..analysis.lr_scores import best_rates, rate_scores
from ..analysis.paired import pairs
from ..analysis.stability import stability_edges
from ..analysis.statistics import compared_column, estimated
from ..analysis.summary import summarize
from ..analysis.time_to_goal import time_to_goal
from ..analysis.verdict import verdict
from ..core.columns import RECORD_COLUMNS, TRIAL_COLUMNS
from ..core.comparison import Comparison
from ..core.goal import Goal
from ..errors import ComparisonError, RunDirectoryError
from ..storage import run_dir
from ..storage.journal import chosen, has_tables, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from ..analysis.batch_scaling import Curve
    from ..interfaces.workload import Workload
    from ..report.plots.panel import Panel

CRASHED = "this run did not come to its end (or is still under way); optcompare run --resume goes on with it"
FORMATS = ("png", "svg", "pdf", "html")


@dataclass(repr=False)
class Result:
    """What a comparison measured.

    - ``records``: one row per measurement; ``trials``: one row per trial (columns as in the run directory's files);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: what was said before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights along the way and the loss around them, else None;
    - ``plane``: where the weights of each arm went, if that was asked for;
    - ``panels``: what may stand on the comparison plot beside the loss; None: those that come along.
    """

    comparison: Comparison
    records: pd.DataFrame
    trials: pd.DataFrame
    certificate: list[Check]
    status: str = "finished"
    notes: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    paths: pd.DataFrame | None = None
    plane: pd.DataFrame | None = None
    panels: Mapping[str, Panel] | None = None
    weights: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    workload: Workload | None = None

    @property
    def reported(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Records and trials without those of tuning."""
        return self._of_phase("report")

    def summary(self) -> pd.DataFrame:
        """One row an arm: final and best losses and metrics over seeds, updates, samples, seconds; what the goal took."""
        return summarize(*self.reported, self.goal)

    @property
    def goal(self) -> Goal | None:
        """What was to be reached, if anything."""
        return Goal.parse(self.comparison.goal, self.comparison.errors) if self.comparison.goal else None

    def times_to_goal(self) -> pd.DataFrame:
        """One row a trial: ``arm, seed, samples, updates, seconds, resolution`` at the goal; a miss is infinite."""
        if self.goal is None:
            raise ComparisonError("this comparison has no goal; give one with --goal, such as train_loss=0.1")
        return time_to_goal(*self.reported, self.goal)

    def pairs(self) -> pd.DataFrame:
        """One row an arm against the baseline, seed by seed; see :func:`optcompare.analysis.paired.pairs`."""
        records, trials = self.reported
        if self.baseline not in set(trials["arm"]):  # interrupted before
            return pairs(records, trials[:0], self.baseline, self.compared)
        return pairs(records, trials, self.baseline, self.compared, goal=self.goal, control=self._control(trials))

    def verdict(self) -> list[str]:
        """The answer in two or three sentences, with numbers, that say no more than the data."""
        records, trials = self.reported
        if self.baseline not in set(trials["arm"]):
            return [f"Interrupted before {self.baseline} was trained: there is nothing to compare with yet."]
        return verdict(
            self.comparison.workload.label, records, trials, self.baseline, self.compared,
            goal=self.goal, control=self._control(trials), final=not self.comparison.stop_at_goal,
        )  # fmt: skip

    def _control(self, trials: pd.DataFrame) -> str | None:
        """The control, where it was trained and can tell something: a trial that failed tells nothing of rounding."""
        control = self.comparison.control
        ended = trials.loc[trials["arm"].isin([control, self.baseline]), "status"]
        return control if control in set(trials["arm"]) and not (ended == "failed").any() else None

    def tuning(self) -> pd.DataFrame:
        """One row for each arm and learning rate that tuning tried; see :func:`optcompare.analysis.lr_scores.rate_scores`."""
        if self.comparison.tuning is None:
            raise ComparisonError("this comparison was not tuned; run it with --tune 5, say")
        return rate_scores(*self._of_phase("tune"), self.compared, self.goal if self.comparison.stop_at_goal else None)

    def scaling(self) -> list[Curve]:
        """What a batch-size study found: a curve for each optimizer; see :mod:`optcompare.analysis.batch_scaling`."""
        from ..analysis.batch_scaling import curves

        if self.goal is None or not self.comparison.stop_at_goal:
            raise ComparisonError(
                "this is no batch-size study, whose trials stop at their goal; run optcompare scaling"
            )
        trained = self.reported[0]
        sizes = trained[trained["update"] > 0].groupby("arm")["batch_size"].max()
        arms = pd.DataFrame(
            [(arm.label, arm.optimizer.label, int(sizes.get(arm.label, 0)), arm.lr) for arm in self.comparison.arms],
            columns=["arm", "optimizer", "batch_size", "lr"],
        )
        rates = best_rates(self.tuning()) if self.comparison.tuning is not None else None
        known = arms[arms["batch_size"] > 0]
        return curves(self.times_to_goal(), known, pd.DataFrame(self.environment.get("noise", [])), rates)

    def recommendation(self) -> list[str]:
        """What a batch-size study says, in words."""
        from ..analysis.batch_scaling import words

        kind = "estimated seconds" if estimated(self.records) else "seconds"
        return words(self.scaling(), str(self.goal), str(self.comparison.budget), kind)

    @property
    def tuned_by(self) -> str:
        """What the scores of :meth:`tuning` are, as the name of a column."""
        return f"samples to {self.goal}" if self.comparison.stop_at_goal else self.compared

    @property
    def baseline(self) -> str:
        """The label of the arm that the others are compared with."""
        return self.comparison.baseline or self.comparison.arms[0].label

    @property
    def compared(self) -> str:
        """The column by which arms are judged: the validation loss, or the training loss where there is no other."""
        return compared_column(self.records)

    def plot(self) -> Figure:
        """The comparison plot as a matplotlib Figure; ``.savefig("x.pdf")`` writes it, in the suffix's format."""
        from ..report.plots.comparison import comparison_figure

        note = None if self.status == "finished" else "interrupted: what was measured until then"
        return comparison_figure(*self.reported, paths=self.paths, note=note, panels=self.wanted_panels())

    def wanted_panels(self) -> list[tuple[str, Panel, pd.DataFrame]]:
        """The panels that have something to show of this run, with what they show it of: a plugin's first."""
        from ..report.plots.builtin_panels import FIRST, PANELS

        panels = {name: make() for name, make in PANELS.items()} if self.panels is None else self.panels
        tables = self.panel_tables()
        found = [(name, panel, tables[panel.reads]) for name, panel in panels.items() if panel.reads in tables]
        order = {name: number for number, name in enumerate(FIRST)}
        return sorted((each for each in found if _wants(*each)), key=lambda each: order.get(each[0], -1))

    def panel_tables(self) -> dict[str, pd.DataFrame]:
        """What panels read, by name; see :class:`optcompare.Panel`."""
        from ..report.plots.curves import with_status

        records, trials = self.reported
        if records.empty:
            return {}
        records = with_status(records.assign(edge=stability_edges(records, self.comparison)), trials)
        return {"records": records} | ({} if self.plane is None else {"plane": self.plane})

    def save_page(self, path: str | Path) -> None:
        """Writes one page of HTML that opens offline: verdict, certificate, interactive curves, sortable tables."""
        from ..report.html.page import page

        Path(path).write_text(page([self]), encoding="utf-8")

    def _of_phase(self, phase: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        records, trials = (chosen(table, (table["phase"] == phase).to_numpy()) for table in (self.records, self.trials))
        return records, trials

    def model(self, arm: str, seed: int) -> nn.Module:
        """The trained module of a trial, on the CPU.

        Raises :class:`ComparisonError` for an arm or seed that was not compared, and
        :class:`RunDirectoryError` where the final weights were not kept (a run
        directory holds none, and one process keeps at most 1 GiB).
        """
        self.comparison.arm(arm)
        if seed not in self.comparison.seeds:
            raise ComparisonError(f"there is no seed {seed}; there are {', '.join(map(str, self.comparison.seeds))}")
        if (arm, seed) not in self.weights or self.workload is None:
            raise RunDirectoryError(
                f"the final weights of {arm}, seed {seed}, were not kept; run compare() and ask its Result"
            )
        from ..training.data import first_rows
        from ..training.device import DTYPES
        from ..training.shared_init import SharedStart

        workload = self.workload
        model = SharedStart(workload, seed, lambda: first_rows(workload.train, 2, workload.collate)).model()
        model.to(DTYPES[self.comparison.dtype])
        model.load_state_dict(dict(self.weights[arm, seed]))
        return model

    def save(self, directory: str | Path, formats: Sequence[str] = ("png",)) -> Path:
        """Writes the run directory, which must be new or empty, and returns its path."""
        path = Path(directory)
        run_dir.claim(path)
        self.write(path, formats)
        return path

    def write(self, directory: Path, formats: Sequence[str] = ("png",)) -> None:
        """Writes every file of the run directory, each atomically, over what is there.

        ``comparison.json`` holds the SHA-256 of all others, though not its own: what it says of the trials is checked
        by computing it again (``optcompare verify``).
        """
        tables = {run_dir.RECORDS: self.records, run_dir.TRIALS: self.trials}
        if self.paths is not None:
            tables[run_dir.PATHS] = self.paths
        if self.plane is not None:
            tables[run_dir.PLANE] = self.plane
        for name, table in tables.items():
            run_dir.write_table(directory, name, table)
        written = list(tables)
        run_dir.write_atomically(directory / run_dir.SUMMARY, lambda path: path.write_bytes(self.summary_csv()))
        written.append(run_dir.SUMMARY)
        if len(self.reported[0]):
            pictures = [suffix for suffix in formats if suffix != "html"]
            figure = self.plot() if pictures else None
            for suffix in pictures:
                run_dir.write_atomically(directory / f"comparison.{suffix}", figure.savefig)  # type: ignore[union-attr]
                written.append(f"comparison.{suffix}")
            if "html" in formats:
                run_dir.write_atomically(directory / "comparison.html", self.save_page)
                written.append("comparison.html")
        about = describe(self.comparison, self.status, self.environment, self.notes, self.certificate, self.verdict())
        files = {name: run_dir.file_sha256(directory / name) for name in written}
        run_dir.write_json(directory, {**about, "files": files})  # last: it says that the rest is there

    def summary_csv(self) -> bytes:
        """The contents of ``summary.csv``."""
        return str(self.summary().to_csv(index=False, lineterminator="\n")).encode()

    def _repr_html_(self) -> str:
        from ..report.html.notebook import result_html

        return result_html(self)

    def __repr__(self) -> str:
        from ..report.html.notebook import result_text

        return result_text(self)


def _wants(name: str, panel: Panel, table: pd.DataFrame) -> bool:
    """A plugin's panel that fails to say is asked to draw, where its failure is shown."""
    try:
        return panel.wants(table)
    except Exception:
        return True


def describe(
    comparison: Comparison,
    status: str,
    environment: Mapping[str, Any],
    notes: Sequence[str],
    certificate: Sequence[Check],
    verdict: Sequence[str] = (),
) -> dict[str, Any]:
    """The contents of ``comparison.json``."""
    return {
        "status": status,
        "verdict": list(verdict),
        "comparison": comparison.to_json(),
        "certificate": [dataclasses.asdict(check) for check in certificate],
        "notes": list(notes),
        "environment": dict(environment),
    }


def load(directory: str | Path) -> Result:
    """A result from its run directory; nothing in it is executed.

    A run that is under way, or was killed, is read as far as trials have ended. Raises :class:`RunDirectoryError` where
    something is missing or damaged.
    """
    path = Path(directory)
    values = run_dir.read_json(path)
    if not has_tables(path) and values.get("status") == "running":
        raise RunDirectoryError(
            f"{path} holds no trial: the run was stopped before the first had ended; optcompare run --resume {path} goes on"
        )
    try:
        records, trials = read_run(path, RECORD_COLUMNS, TRIAL_COLUMNS)
        crashed = values["status"] == "running"
        return Result(
            comparison=Comparison.from_json(values["comparison"]),
            records=records,
            trials=trials,
            certificate=[Check(**check) for check in values["certificate"]],
            status="interrupted" if crashed else values["status"],
            notes=[*values["notes"], *([CRASHED] if crashed else [])],
            environment=values["environment"],
            paths=run_dir.read_table(path, run_dir.PATHS) if (path / run_dir.PATHS).is_file() else None,
            plane=run_dir.read_table(path, run_dir.PLANE) if (path / run_dir.PLANE).is_file() else None,
        )
    except (KeyError, TypeError, ComparisonError) as error:
        raise RunDirectoryError(f"{path / run_dir.COMPARISON} is damaged: {type(error).__name__}: {error}") from error
