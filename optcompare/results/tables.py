"""Define a result as data and tables: what was measured, and what is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from ..analysis.check import Check
from ..analysis.claims import claims_as_rows, past_look
from ..analysis.looks import History, Look, PastLook
from ..analysis.lr_scores import rate_scores
from ..analysis.paired import pairs
from ..analysis.paired_tests import PairedTests
from ..analysis.rate_sensitivity import rate_sensitivity
from ..analysis.statistics import compared_column, verdict_column
from ..analysis.summary import short_summary, summarize
from ..analysis.time_to_goal import time_to_goal
from ..analysis.verdict import verdict
from ..core.comparison import Comparison
from ..core.goal import Goal
from ..errors import ComparisonError
from ..storage.run_tables import chosen
from ..storage.under_way import read_consistently
from .csv_text import csv_text
from .how_far import CRASHED, UNDER_WAY
from .reading import read_fields
from .trained_module import kept_weights, trained_module
from .verdict_setting import paired_tests, verdict_setting

if TYPE_CHECKING:
    from torch import nn

    from ..analysis.batch_scaling import Curve
    from ..interfaces.workload import Workload


@dataclass(repr=False)
class ResultTables:
    """Hold the results of a comparison, and compute tables from them.

    - ``records``: one row for each measurement; ``trials``: one row for each trial (columns as in the files
      of the run directory);
    - ``certificate``: the fairness checks with their evidence; ``status``: finished or interrupted;
    - ``notes``: messages from before training; ``environment``: versions, hardware, plugins;
    - ``paths``: for a model of two weights, its weights after each update and the loss around them, else
      None;
    - ``plane``: the path of each arm's weights in a plane, if it was recorded;
    - ``weights``: the kept final weights, by arm, seed and tuning repeat (0 without repeats);
    - ``workload``: what was trained, if it is known; ``looks``: the recorded verdicts on its trials.
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
        """Read a result from its run directory, without executing anything in it.

        A run that is still in progress, or was killed, is read with the trials that have ended.

        Args:
            directory: The run directory.

        Raises:
            RunDirectoryError: Something is missing or damaged.
        """
        path = Path(directory)
        return read_consistently(path, lambda values: cls(**read_fields(path, values)))

    @property
    def unfinished(self) -> str:
        """Return why the run did not finish: it was killed, or is in progress; empty if it finished."""
        return next((note for note in self.notes if note == CRASHED or note.startswith(UNDER_WAY)), "")

    @property
    def is_under_way(self) -> bool:
        """Return whether the run was in progress when it was read."""
        return self.unfinished.startswith(UNDER_WAY)

    @property
    def reported(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return records and trials without those of tuning."""
        return self.of_phase("report")

    def summary(self, wide: bool = False) -> pd.DataFrame:
        """Summarise each arm in a row.

        Args:
            wide: Whether to return all columns, as in ``summary.csv``; see
                :func:`optcompare.analysis.summary.summarize`. Otherwise the losses that tuning and verdict
                compare, the cost of training, and failures; see
                :func:`optcompare.analysis.summary.short_summary`.
        """
        summary = summarize(*self.reported, self.goal)
        return summary if wide else short_summary(summary, [self.compared, self.verdict_on])

    @property
    def goal(self) -> Goal | None:
        """Return the goal, or None if there is none."""
        return Goal.parse(self.comparison.goal, self.comparison.errors) if self.comparison.goal else None

    def times_to_goal(self) -> pd.DataFrame:
        """Return ``arm, seed, samples, updates, seconds, resolution`` at the goal, one row a trial.

        A miss is infinite.

        Raises:
            ComparisonError: There is no goal.
        """
        if self.goal is None:
            raise ComparisonError("this comparison has no goal; give a goal, such as train_loss=0.1")
        return time_to_goal(*self.reported, self.goal)

    def pairs(self) -> pd.DataFrame:
        """Compare each arm with the baseline; see :func:`optcompare.analysis.paired.pairs`."""
        records, trials = self.reported
        # The run may have been interrupted before the baseline was trained.
        known = trials if self.baseline in set(trials["arm"]) else trials[:0]
        return pairs(records, known, self.tests(), self.look())

    def verdict(self) -> list[str]:
        """Return the answer in a few sentences with numbers, which claim no more than the data support."""
        records, trials = self.reported
        if self.baseline not in set(trials["arm"]):
            return [f"Interrupted before {self.baseline} was trained: there is nothing to compare with yet."]
        workload, setting = self.comparison.workload.label, verdict_setting(self)
        return verdict(records, trials, self.tests(), workload=workload, look=self.look(), setting=setting)

    def claims(self) -> list[dict[str, Any]]:
        """Return every comparison of the verdict: ``arm, baseline, measure, p, p_holm, claims``."""
        return claims_as_rows(self.pairs(), self.tests().measures)

    def look(self) -> Look:
        """Return the look at these trials; a run in progress is described without claims."""
        withheld = "this run has not come to its end" if self.unfinished else ""
        return self.looks.look_at(self.reported[1], withheld)

    def as_past_look(self) -> PastLook | None:
        """Return this look as later looks count it.

        Returns:
            None if nothing is compared, or nothing may be claimed.
        """
        table, look = self.pairs(), self.look()
        return (
            None
            if table.empty or look.withheld
            else past_look(self.reported[1], table, self.tests().measures, look)
        )

    def tests(self) -> PairedTests:
        """Return the tests for each arm."""
        return paired_tests(self)

    def tuning(self) -> pd.DataFrame:
        """Return a score for each arm, each tuning repeat and each learning rate that was tried.

        See :func:`optcompare.analysis.lr_scores.rate_scores`.

        Raises:
            ComparisonError: The comparison was not tuned.
        """
        if self.comparison.tuning is None:
            raise ComparisonError("this comparison was not tuned; give tune, such as 5")
        return rate_scores(
            *self.of_phase("tune"), self.compared, self.goal if self.comparison.stop_at_goal else None
        )

    def rate_sensitivity(self) -> pd.DataFrame:
        """Return the increase of each arm's score at the rates next to its best one.

        See :func:`optcompare.analysis.rate_sensitivity.rate_sensitivity`.

        Raises:
            ComparisonError: The comparison was not tuned.
        """
        return rate_sensitivity(self.tuning())

    def scaling(self) -> list[Curve]:
        """Return the curves of a batch-size study by optimizer; see :mod:`optcompare.analysis.batch_scaling`.

        Raises:
            ComparisonError: The result is no batch-size study.
        """
        from .study_tables import scaling_curves

        return scaling_curves(self)

    def recommendation(self) -> list[str]:
        """State the findings of a batch-size study, one line each."""
        from .study_tables import scaling_words

        return scaling_words(self)

    @property
    def is_finished_study(self) -> bool:
        """Return whether this is a batch-size study that finished."""
        return self.comparison.stop_at_goal and self.status != "interrupted"

    def answer(self) -> list[str]:
        """Return the recommendation of a finished batch-size study, else the verdict."""
        if not self.is_finished_study:
            return self.verdict()
        from .study_tables import study_answer

        return study_answer(self)

    @property
    def tuned_by(self) -> str:
        """Return the name of the score of :meth:`tuning`."""
        return f"samples to {self.goal}" if self.comparison.stop_at_goal else self.compared

    @property
    def baseline(self) -> str:
        """Return the label of the arm with which the others are compared."""
        return self.comparison.baseline or self.comparison.arms[0].label

    @property
    def compared(self) -> str:
        """Return the column by which tuning selects: the validation loss, else the training loss."""
        return compared_column(self.records)

    @property
    def verdict_on(self) -> str:
        """Return the column that verdict and pairs compare: the loss on the test set, else ``compared``."""
        return verdict_column(self.records)

    def of_phase(self, phase: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the records and trials of a phase.

        Args:
            phase: ``tune`` or ``report``.
        """
        records, trials = (
            chosen(table, (table["phase"] == phase).to_numpy()) for table in (self.records, self.trials)
        )
        return records, trials

    def model(
        self, arm: str, seed: int, repeat: int | None = None, *, recalibrated: bool = False
    ) -> nn.Module:
        """Make the trained module of a trial, on the CPU.

        By default BatchNorm's running averages are those of the training, as after a plain loop, even if
        measurements used others. With ``recalibrated`` they are those of the measurements: the mean over
        forward passes of the same training rows with which a comparison with ``recalibrate`` measures its
        losses.

        Args:
            arm: The label of the arm.
            seed: One of the seeds of the comparison.
            repeat: The tuning repeat that chose the trial's rate, from 1 on, if there are several.
            recalibrated: Whether the running averages are those of the measurements.

        Raises:
            ComparisonError: The arm, seed or repeat was not compared.
            RunDirectoryError: The final weights were not kept: a run directory holds none, and one process
                keeps at most 1 GiB.
        """
        which = (arm, seed, repeat)
        kept = kept_weights(self.comparison, self.weights, which, known=self.workload is not None)
        assert self.workload is not None
        return trained_module(self.workload, seed, self.comparison, kept, recalibrated=recalibrated)

    def summary_csv(self) -> bytes:
        """Return the contents of ``summary.csv``."""
        return csv_text(self.summary(wide=True)).encode()
