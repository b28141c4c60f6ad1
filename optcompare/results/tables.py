"""The answer as data: records, trials, certificate, and what is computed of them: summary, pairs, verdict,
tuning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from ..analysis.certificate import Check
from ..analysis.claims import claims_as_rows, past_look, tested_measures
from ..analysis.limits import Setting
from ..analysis.looks import History, Look, PastLook
from ..analysis.lr_scores import rate_scores
from ..analysis.paired import pairs
from ..analysis.rate_sensitivity import rate_sensitivity
from ..analysis.statistics import compared_column, verdict_column
from ..analysis.summary import short_summary, summarize
from ..analysis.time_to_goal import time_to_goal
from ..analysis.verdict import verdict
from ..core.columns import PATHS_SCHEMA, PLANE_SCHEMA, RECORD_COLUMNS, TRIAL_COLUMNS, TableSchema
from ..core.comparison import Comparison
from ..core.goal import Goal
from ..errors import ComparisonError, RunDirectoryError
from ..storage import run_dir
from ..storage.looks_file import read_looks
from ..storage.run_tables import chosen, has_tables, read_run
from ..storage.table_bounds import most_points, refuse_strangers
from ..storage.table_files import read_table
from ..storage.under_way import is_under_way, read_consistently
from .csv_text import csv_text
from .how_far import CRASHED, UNDER_WAY, how_far
from .trained_module import refuse_other_repeat, trained_module

if TYPE_CHECKING:
    from torch import nn

    from ..analysis.batch_scaling import Curve
    from ..interfaces.workload import Workload


@dataclass(repr=False)
class ResultTables:
    """What a comparison measured, and the tables that are computed from it.

    - ``records``: one row per measurement; ``trials``: one row per trial (columns as in the run directory's
      files);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: what was said before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights along the way and the loss around them, else None;
    - ``plane``: where the weights of each arm went, if that was asked for;
    - ``weights``: final weights by arm, seed and tuning repeat (0 without), of those that were kept;
    - ``workload``: what was trained, where it is known;
    - ``looks``: the verdicts that were given on its trials, or on some of them, as the run directory records
      them.
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
    weights: Mapping[tuple[str, int, int], Mapping[str, Any]] = field(default_factory=dict)
    workload: Workload | None = None
    looks: History = field(default=History(), kw_only=True)

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """A result from its run directory; nothing in it is executed.

        A run that is under way, or was killed, is read as far as trials have ended. Raises
        :class:`RunDirectoryError` where something is missing or damaged.
        """
        path = Path(directory)
        return read_consistently(path, lambda values: cls._read(path, values))

    @classmethod
    def _read(cls, path: Path, values: Mapping[str, Any]) -> Self:
        under_way = is_under_way(path, values)
        if not has_tables(path) and values.get("status") == "running":
            raise RunDirectoryError(
                f"{path} holds no trial yet: this run is still under way, and the first has not ended"
                if under_way
                else f"{path} holds no trial: the run was stopped before the first had ended; optcompare "
                f"run --resume {path} goes on"
            )
        try:
            comparison = Comparison.from_json(values["comparison"])
            repeat = ("repeat",) if comparison.repeats > 1 else ()
            records, trials = read_run(
                path, (*RECORD_COLUMNS, *repeat), (*TRIAL_COLUMNS, *repeat), comparison
            )
            crashed = values["status"] == "running"
            unfinished = how_far(comparison, trials) if under_way else CRASHED
            return cls(
                comparison=comparison,
                records=records,
                trials=trials,
                certificate=[Check(**check) for check in values["certificate"]],
                status="interrupted" if crashed else values["status"],
                notes=[*values["notes"], *([unfinished] if crashed else [])],
                environment=values["environment"],
                paths=_points(path / run_dir.PATHS, PATHS_SCHEMA, comparison, trials),
                plane=_points(path / run_dir.PLANE, PLANE_SCHEMA, comparison, trials),
                looks=_looks(path, values),
            )
        except (KeyError, TypeError, ComparisonError) as error:
            raise RunDirectoryError(
                f"{path / run_dir.COMPARISON} is damaged: {type(error).__name__}: {error}"
            ) from error

    @property
    def unfinished(self) -> str:
        """In a sentence that the run was killed, or that it is still under way and how far it is; empty where
        it ended.
        """
        return next((note for note in self.notes if note == CRASHED or note.startswith(UNDER_WAY)), "")

    @property
    def is_under_way(self) -> bool:
        """Whether the run was going on when it was read."""
        return self.unfinished.startswith(UNDER_WAY)

    @property
    def reported(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Records and trials without those of tuning."""
        return self.of_phase("report")

    def summary(self, wide: bool = False) -> pd.DataFrame:
        """Summarise each arm in a row.

        Args:
            wide: All columns, as in ``summary.csv``; see :func:`optcompare.analysis.summary.summarize`.
                Otherwise only what arms are compared by and the verdict speaks of, what it took, and what
                went wrong; see :func:`optcompare.analysis.summary.short_summary`.
        """
        summary = summarize(*self.reported, self.goal)
        return summary if wide else short_summary(summary, [self.compared, self.verdict_on])

    @property
    def goal(self) -> Goal | None:
        """What was to be reached, if anything."""
        return Goal.parse(self.comparison.goal, self.comparison.errors) if self.comparison.goal else None

    def times_to_goal(self) -> pd.DataFrame:
        """One row a trial: ``arm, seed, samples, updates, seconds, resolution`` at the goal; a miss is
        infinite.
        """
        if self.goal is None:
            raise ComparisonError("this comparison has no goal; give one with --goal, such as train_loss=0.1")
        return time_to_goal(*self.reported, self.goal)

    def pairs(self) -> pd.DataFrame:
        """One row an arm against the baseline, seed by seed; see :func:`optcompare.analysis.paired.pairs`."""
        records, trials = self.reported
        if self.baseline not in set(trials["arm"]):  # interrupted before
            return pairs(records, trials[:0], self.baseline, self.verdict_on)
        return pairs(records, trials, self.baseline, self.verdict_on, look=self.look(), **self._asked(trials))

    def verdict(self) -> list[str]:
        """The answer in a few sentences, with numbers, that say no more than the data."""
        records, trials = self.reported
        if self.baseline not in set(trials["arm"]):
            return [f"Interrupted before {self.baseline} was trained: there is nothing to compare with yet."]
        return verdict(
            self.comparison.workload.label,
            records,
            trials,
            self.baseline,
            self.verdict_on,
            look=self.look(),
            setting=self._setting(),
            **self._asked(trials),
        )

    def claims(self) -> list[dict[str, Any]]:
        """Every comparison that the verdict makes: ``arm, baseline, measure, p, p_holm``, and what it
        ``claims``, if anything.
        """
        return claims_as_rows(self.pairs(), self.tested_measures())

    def look(self) -> Look:
        """Which look at these trials this is; trials of a run that is under way are only described."""
        withheld = "this run has not come to its end" if self.unfinished else ""
        return self.looks.look_at(self.reported[1], withheld)

    def as_past_look(self) -> PastLook | None:
        """This look as one that was given; None where there is nothing to compare, or nothing may be
        claimed.
        """
        table, look = self.pairs(), self.look()
        return (
            None
            if table.empty or look.withheld
            else past_look(self.reported[1], table, self.tested_measures(), look)
        )

    def _asked(self, trials: pd.DataFrame) -> dict[str, Any]:
        comparison = self.comparison
        return {
            "goal": self.goal,
            "control": self._control(trials),
            "margin": comparison.margin,
            "final": not comparison.stop_at_goal,
            "dtype": comparison.dtype,
        }

    def tested_measures(self) -> dict[str, str]:
        """What is tested of each arm; see :func:`optcompare.analysis.claims.tested_measures`."""
        return tested_measures(
            self.verdict_on, self.goal, self.comparison.margin, not self.comparison.stop_at_goal
        )

    def _setting(self) -> Setting:
        tuned = self.comparison.tuning is not None
        scored_alike = tuned and not self.comparison.stop_at_goal  # else the scores of tuning are samples
        sensitivity = self.rate_sensitivity() if scored_alike else pd.DataFrame(columns=["arm", "loss"])
        return Setting(
            tunings=self.comparison.repeats if tuned else 0,
            sensitivity=dict(zip(sensitivity["arm"], sensitivity["loss"], strict=True)),
            splits=0 if self.verdict_on == "train_loss" else self.comparison.split_seeds,
        )

    def _control(self, trials: pd.DataFrame) -> str | None:
        """The control, where it was trained."""
        return self.comparison.control if self.comparison.control in set(trials["arm"]) else None

    def tuning(self) -> pd.DataFrame:
        """One row for each arm and learning rate that tuning tried, in each repeat where there are several.

        See :func:`optcompare.analysis.lr_scores.rate_scores`.
        """
        if self.comparison.tuning is None:
            raise ComparisonError("this comparison was not tuned; run it with --tune 5, say")
        return rate_scores(
            *self.of_phase("tune"), self.compared, self.goal if self.comparison.stop_at_goal else None
        )

    def rate_sensitivity(self) -> pd.DataFrame:
        """One row an arm: how much worse it is at the rates beside the one that tuning chose.

        See :func:`optcompare.analysis.rate_sensitivity.rate_sensitivity`.
        """
        return rate_sensitivity(self.tuning())

    def scaling(self) -> list[Curve]:
        """What a batch-size study found: a curve for each optimizer; see
        :mod:`optcompare.analysis.batch_scaling`.
        """
        from .study_tables import scaling_curves

        return scaling_curves(self)

    def recommendation(self) -> list[str]:
        """What a batch-size study says, a line each."""
        from .study_tables import scaling_words

        return scaling_words(self)

    @property
    def is_finished_study(self) -> bool:
        """Whether this is a batch-size study that came to its end."""
        return self.comparison.stop_at_goal and self.status != "interrupted"

    def answer(self) -> list[str]:
        """What there is to say in words: the recommendation of a finished batch-size study, else the
        verdict.
        """
        if not self.is_finished_study:
            return self.verdict()
        several = (
            len({arm.optimizer.label for arm in self.comparison.arms}) > 1
        )  # then lines begin with a label
        return [line if several else line[:1].upper() + line[1:] for line in self.recommendation()]

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
        """What tuning selects by and curves show: the validation loss, or the training loss where there is no
        other.
        """
        return compared_column(self.records)

    @property
    def verdict_on(self) -> str:
        """The column of which verdict and pairs speak: the loss on the test set, or where there is none,
        ``compared``.
        """
        return verdict_column(self.records)

    def of_phase(self, phase: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Records and trials of the ``tune`` or the ``report`` phase."""
        records, trials = (
            chosen(table, (table["phase"] == phase).to_numpy()) for table in (self.records, self.trials)
        )
        return records, trials

    def model(
        self, arm: str, seed: int, repeat: int | None = None, *, recalibrated: bool = False
    ) -> nn.Module:
        """The trained module of a trial, on the CPU; ``repeat``: the tuning repeat whose rate it has, where
        there are several.

        BatchNorm's running averages are those of the training, as a plain loop leaves them, also where
        measurements were made with others. With ``recalibrated`` they are those of the measurements: the mean
        over forward passes of the same training rows, from which a comparison with ``recalibrate`` measures
        its losses.

        Raises :class:`ComparisonError` for an arm, seed or repeat that was not compared, and
        :class:`RunDirectoryError` where the final weights were not kept (a run
        directory holds none, and one process keeps at most 1 GiB).
        """
        self.comparison.arm(arm)
        if seed not in self.comparison.seeds:
            raise ComparisonError(
                f"there is no seed {seed}; there are {', '.join(map(str, self.comparison.seeds))}"
            )
        refuse_other_repeat(repeat, self.comparison.repeats)
        kept = self.weights.get((arm, seed, repeat or 0))
        if kept is None or self.workload is None:
            which = f"{arm}, seed {seed}{f', repeat {repeat}' if repeat else ''}"
            raise RunDirectoryError(
                f"the final weights of {which}, were not kept; run compare() and ask its Result"
            )
        return trained_module(self.workload, seed, self.comparison, kept, recalibrated=recalibrated)

    def summary_csv(self) -> bytes:
        """The contents of ``summary.csv``."""
        return csv_text(self.summary(wide=True)).encode()


def describe(
    comparison: Comparison,
    status: str,
    environment: Mapping[str, Any],
    notes: Sequence[str],
    certificate: Sequence[Check],
    verdict: Sequence[str] = (),
    claims: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The contents of ``comparison.json``."""
    return {
        "status": status,
        "verdict": list(verdict),
        "claims": list(claims),
        "comparison": comparison.to_json(),
        "certificate": [dataclasses.asdict(check) for check in certificate],
        "notes": list(notes),
        "environment": dict(environment),
    }


def _points(
    path: Path, schema: TableSchema, comparison: Comparison, trials: pd.DataFrame
) -> pd.DataFrame | None:
    """The points of a picture of two dimensions, where the run wrote them."""
    if not path.exists():
        return None
    table = read_table(path, schema, schema.required, most_points(trials))
    refuse_strangers(path, table, comparison)
    return table


def _looks(path: Path, about: Mapping[str, Any]) -> History:
    """The looks that are recorded; a run in which there was nothing to look at has none, and notes that."""
    found = read_looks(path)
    return History(recorded=True) if not found.looks and about.get("looks", found) is None else found
