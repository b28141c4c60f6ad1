"""Print a comparison: the question, the plan, the summary, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.statistics import sample_sentence
from ..core.comparison import Arm, Comparison, Trial
from ..core.formatting import duration
from ..report.markdown import markdown
from ..report.table import (
    OF_GOAL,
    clock_words,
    goal_cells,
    interval_words,
    pair_cells,
    short_cells,
    spread_cells,
    summary_cells,
)
from ..report.table_text import certificate_lines, latex, trial_name
from ..report.tuning_table import SCALING_LEGEND, scaling_cells, tuning_cells, tuning_words
from ..results.csv_text import csv_text
from .next_steps import next_steps
from .printer import Printer

if TYPE_CHECKING:
    from ..execution.expected_time import ExpectedTime
    from ..planning.estimates import Estimate
    from ..report.result import Result


MOST_REASONS = 8
"""For how many unfinished trials the reason is printed."""


class Reporter(Printer):
    """Print what happens in a run.

    Args:
        quiet: Print nothing of a run.
        to_stderr: Print to standard error, where standard output is a program's.
        wide: Print all columns of the summary.
    """

    def __init__(self, quiet: bool, to_stderr: bool = False, wide: bool = False) -> None:
        super().__init__(quiet, to_stderr)
        self._wide = wide

    def question(self, comparison: Comparison, notes: Sequence[str]) -> None:
        """Print what is about to be compared, and notes.

        Args:
            comparison: The comparison.
            notes: A sentence each.
        """
        if self.quiet:
            return
        arms = ", ".join(arm.label for arm in comparison.arms)
        rates = ", ".join(dict.fromkeys(map(_rate, comparison.arms)))
        if comparison.tuning is not None:
            rates += f", and {comparison.tuning.rate_count} to tune from"
            rates += f" in each of {comparison.repeats} repeats" if comparison.repeats > 1 else ""
        seeds = f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) > 1 else ''}"
        seeds += f" on {comparison.split_seeds} splits" if comparison.split_seeds > 1 else ""
        seeds += f" at the rates of {comparison.repeats} tuning repeats" if comparison.repeats > 1 else ""
        threads = f"{comparison.threads} thread{'s' if comparison.threads > 1 else ''}"
        where = f"{comparison.device}, {comparison.precision}, {threads}"
        self.line(
            f"{comparison.workload.label}: {arms} | {rates} | {seeds}, {comparison.budget} each | {where}"
        )
        for note in notes:
            self.line(f"note: {note}")

    def plan(
        self, estimates: Sequence[Estimate], trials: Sequence[Trial], expected: ExpectedTime, jobs: str = ""
    ) -> None:
        """Print the plan of a dry run.

        Args:
            estimates: The estimates of each arm.
            trials: All that there would be.
            expected: The expected time of the trials.
            jobs: The choice of the number of jobs, in words; empty: the user chose it.
        """
        if self.quiet:
            return
        header = ["arm", "strategy", "optimizer", "lr", "updates a trial", "time a trial alone"]
        rows = [
            [
                e.arm.label,
                e.arm.strategy.label,
                e.arm.optimizer.label,
                f"{e.arm.lr:g}",
                f"{e.updates:,}" if e.updates is not None else "?",
                f"about {duration(e.seconds)}",
            ]
            for e in estimates
        ]
        self.table(header, rows)
        arms = "arm" if len(estimates) == 1 else "arms"
        tuning = sum(trial.phase == "tune" for trial in trials)
        of_tuning = f", {tuning} of them to tune" if tuning else ""
        many = "all" if expected.in_lanes == len(trials) else f"{expected.in_lanes:,}"
        lanes = f", {many} of them in lanes (side by side)," if expected.in_lanes else ""
        if not trials:
            self.line("All trials are trained already: nothing is left. Dry run: nothing was trained.")
            return
        number = "1 trial" if len(trials) == 1 else f"{len(trials):,} trials"
        self.line(f"{number} of {len(estimates)} {arms}{of_tuning}{lanes} would take {expected}.")
        if jobs:
            self.line(f"{jobs[0].upper()}{jobs[1:]}.")
        self.line("Dry run: nothing was trained.")

    def across(self, results: Sequence[Result], plots: Sequence[Path]) -> None:
        """Print what several workloads show together: mean ranks, and scores where each has a goal.

        Args:
            results: One of each workload.
            plots: That were drawn of all of them.
        """
        from ..analysis.profiles import scores
        from ..analysis.ranks import mean_ranks, rank_test, rank_words
        from ..report.figures_across import finals_across, times_across

        finals = finals_across(results)
        with_goal = all(result.goal is not None for result in results)
        score = scores(times_across(results)) if with_goal else None
        header = ["arm", "mean rank", *(["score"] if with_goal else [])]
        rows = [
            [str(arm), f"{rank:.2f}", *([f"{score[str(arm)]:.2f}"] if score is not None else [])]
            for arm, rank in mean_ranks(finals).sort_values().items()
        ]
        self.line()
        self.table(header, rows)
        meaning = f"mean rank of the median final loss over {len(results)} workloads, 1 is best"
        self.line(meaning + ("; score: area under the profile of samples to the goal" if with_goal else ""))
        if len(finals.columns) > 1:
            test = rank_test(finals)
            self.line(rank_words(test))
            if math.isfinite(test.critical):
                apart = f"critical difference {test.critical:.2f} (Nemenyi)"
                self.line(f"{apart}: arms whose mean ranks differ by no more are not told apart")
        for plot in plots:
            self.line(f"plot: {plot}")

    def summary(self, result: Result) -> None:
        """Print the summary, what the goal took, the pairs against the baseline, and the verdict.

        Args:
            result: The result of a run.
        """
        if self.quiet:
            return
        summary = result.summary(wide=True)
        self.line()
        self.table(
            *(
                summary_cells(summary)
                if self._wide
                else short_cells(summary, [result.compared, result.verdict_on])
            )
        )
        several = len(result.comparison.seeds) * result.comparison.repeats > 1
        self.line(interval_words(summary))
        for line in clock_words(result.records, result.environment.get("jobs", 1)):
            self.line(line)
        if sample := sample_sentence(result.reported[0]):
            self.line(f"{sample[:1].lower()}{sample[1:-1]} (--measure-rows all: on all)")
        if result.goal is not None and len(result.records):
            self.line()
            self.table(*goal_cells(summary, str(result.goal)))
        both = dict.fromkeys([result.compared, result.verdict_on])
        for column in both if self._wide and several and len(result.reported[1]) else ():
            self.line()
            self.table(*spread_cells(summary, column))
        pairs = result.pairs()
        if len(pairs):
            self.line()
            self.line(f"against {result.baseline}, seed by seed")
            self.table(*pair_cells(pairs, result.verdict_on), breaks=[OF_GOAL])
        self.line()
        self.entries(result.answer())

    def result(self, result: Result, plots: Sequence[Path], noted: int) -> None:
        """Print the summary, the verdict, failures, the certificate, the plots and the next commands.

        Args:
            result: The result of a run.
            plots: The paths of the plots, the first one in the run directory.
            noted: The number of its notes that were printed before.
        """
        if self.quiet:
            return
        self.summary(result)
        self.tuning(result)
        for note in result.notes[noted:]:
            self.line(f"note: {note}")
        self._unfinished(result)
        self.line()
        for line in certificate_lines(result.certificate):
            self.line(line)
        self.line()
        for plot in plots:
            if plot.exists():
                self.line(f"{'page' if plot.suffix == '.html' else 'plot'}: {plot}")
        for line in next_steps(result, plots[0].parent):
            self.line(line)

    def scaling(self, result: Result, plots: Sequence[Path]) -> None:
        """Print a batch-size study: its curves, the recommendation, notes, the certificate and the plots.

        Args:
            result: The result of a study.
            plots: The paths of the plots of its curves.
        """
        if self.quiet:
            return
        curves = result.scaling()
        for curve in curves:
            self.line(f"\n{curve.optimizer}" if len(curves) > 1 else "")
            self.table(*scaling_cells(curve.table))
        for line in SCALING_LEGEND:
            self.line(line)
        for note in result.notes:
            self.line(f"note: {note}")
        self._unfinished(result)
        self.line()
        for line in result.answer():
            self.line(line)
        self.line()
        for line in certificate_lines(result.certificate):
            self.line(line)
        self.line()
        for plot in [
            *plots,
            *(plot.with_name(plot.name.replace("scaling", "comparison")) for plot in plots[:1]),
        ]:
            self.line(f"plot: {plot}")

    def tuning(self, result: Result) -> None:
        """Print what each arm's tuning chose, what fewer trials would have found, and what it cost.

        Args:
            result: The result of a run; nothing is printed if it was not tuned.
        """
        if result.comparison.tuning is None or result.status != "finished":
            return
        self.line()
        self.table(*tuning_cells(result.tuning(), result.tuned_by))
        self.line(tuning_words(result.comparison.tuning))

    def _unfinished(self, result: Result) -> None:
        """Print trials that diverged, failed or were interrupted, with their reasons."""
        ended = result.reported[1]
        for _, trial in ended[ended["status"] != "finished"].head(MOST_REASONS).iterrows():
            self.line(f"{trial['status']}: {trial_name(trial)}: {trial['reason']}")


def _rate(arm: Arm) -> str:
    """Name the optimizer with its rate and what changes it."""
    scheduled = f", {arm.schedule}" if arm.schedule != "none" else ""
    return f"{arm.optimizer.label} lr {arm.lr:g}{scheduled}" + (
        f", clip {arm.clip:g}" if arm.clip is not None else ""
    )


def summary_as(form: str, result: Result, wide: bool = False) -> str:
    """Return the summary as text.

    Args:
        form: "csv" (every number), "md" or "latex" (as on the terminal).
        result: The result of a run.
        wide: Whether to include all columns of the terminal's table.

    Returns:
        Lines without a line break at the end.
    """
    summary = result.summary(wide=True)
    if form == "csv":
        return csv_text(summary).rstrip()
    cells = summary_cells(summary) if wide else short_cells(summary, [result.compared, result.verdict_on])
    return markdown(*cells) if form == "md" else latex(*cells)
