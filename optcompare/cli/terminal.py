"""What the command line shows of a comparison: the question, progress, the summary, the verdict, the
certificate.
"""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..analysis.statistics import estimated, on_shared_clock
from ..core.comparison import Arm, Comparison, Trial
from ..core.formatting import duration
from ..errors import printable
from ..execution.progress import Lines, progress
from ..report.markdown import markdown
from ..report.table import (
    OF_GOAL,
    SCALING_LEGEND,
    certificate_lines,
    goal_cells,
    interval_words,
    latex,
    pair_cells,
    scaling_cells,
    short_cells,
    spread_cells,
    summary_cells,
    trial_name,
    tuning_cells,
    tuning_words,
)
from ..results.csv_text import csv_text
from .fitted_tables import fitted
from .next_steps import next_steps

if TYPE_CHECKING:
    from ..execution.expected_time import Expected
    from ..planning.dry_run import Estimate
    from ..report.result import Result
    from ..verification.finding import Finding

_HELD = {True: "held", False: "NOT HELD", None: "not checked"}


class Reporter:
    """Speaks to the user during a run, or keeps quiet; ``aside``: on standard error, where the other one is a
    program's;
    ``wide``: with all columns of the summary.
    """

    def __init__(self, quiet: bool, aside: bool = False, wide: bool = False) -> None:
        self._quiet, self.aside, self._wide = quiet, aside, wide
        self._out = Console(highlight=False, soft_wrap=True, stderr=aside)

    def question(self, comparison: Comparison, notes: Sequence[str]) -> None:
        """What is about to be compared, and what the user should know of it."""
        if self._quiet:
            return
        arms = ", ".join(arm.label for arm in comparison.arms)
        rates = ", ".join(dict.fromkeys(map(_rate, comparison.arms)))
        if comparison.tuning is not None:
            rates += f", and {comparison.tuning.count} to tune from"
            rates += f" in each of {comparison.repeats} repeats" if comparison.repeats > 1 else ""
        seeds = f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) > 1 else ''}"
        seeds += f" on {comparison.split_seeds} splits" if comparison.split_seeds > 1 else ""
        seeds += f" at the rates of {comparison.repeats} tuning repeats" if comparison.repeats > 1 else ""
        threads = f"{comparison.threads} thread{'s' if comparison.threads > 1 else ''}"
        where = f"{comparison.device}, {comparison.precision}, {threads}"
        self._say(
            f"{comparison.workload.label}: {arms} | {rates} | {seeds}, {comparison.budget} each | {where}"
        )
        for note in notes:
            self._say(f"note: {note}")

    def plan(self, estimates: Sequence[Estimate], trials: Sequence[Trial], expected: Expected) -> None:
        """The dry run; ``trials``: all that there would be; ``expected``: how long they take."""
        if self._quiet:
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
        self._table(header, rows)
        arms = "arm" if len(estimates) == 1 else "arms"
        tuning = sum(trial.phase == "tune" for trial in trials)
        of_tuning = f", {tuning} of them to tune" if tuning else ""
        many = "all" if expected.in_lanes == len(trials) else f"{expected.in_lanes:,}"
        lanes = f", {many} of them in lanes (side by side)," if expected.in_lanes else ""
        self._say(
            f"{len(trials):,} trials of {len(estimates)} {arms}{of_tuning}{lanes} would take {expected}."
        )
        self._say("Dry run: nothing was trained.")

    @contextmanager
    def progress(self) -> Iterator[Lines | None]:
        """A bar with the time left on a terminal, plain lines elsewhere, nothing when quiet.

        On standard error.
        """
        if self._quiet:
            yield None
        else:
            with progress() as shown:
                yield shown

    def across(self, results: Sequence[Result], plots: Sequence[Path]) -> None:
        """What several workloads say together: mean ranks, and scores where each has a goal."""
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
        self._say("")
        self._table(header, rows)
        said = f"mean rank of the median final loss over {len(results)} workloads, 1 is best"
        self._say(said + ("; score: area under the profile of samples to the goal" if with_goal else ""))
        if len(finals.columns) > 1:
            test = rank_test(finals)
            self._say(rank_words(test))
            if math.isfinite(test.critical):
                apart = f"critical difference {test.critical:.2f} (Nemenyi)"
                self._say(f"{apart}: arms whose mean ranks differ by no more are not told apart")
        for plot in plots:
            self._say(f"plot: {plot}")

    def summary(self, result: Result) -> None:
        """The summary, what the goal took, the pairs against the baseline, and the verdict."""
        if self._quiet:
            return
        summary = result.summary(wide=True)
        self._say("")
        self._table(
            *(
                summary_cells(summary)
                if self._wide
                else short_cells(summary, [result.compared, result.verdict_on])
            )
        )
        several = len(result.comparison.seeds) * result.comparison.repeats > 1
        self._say(interval_words(summary))
        if estimated(result.records):
            self._say(
                "train time of trials in lanes is estimated: updates × median update time, measured alone"
            )
        elif on_shared_clock(result.records):
            self._say("train time was measured while other trials ran; leave out --jobs to compare times")
        if result.goal is not None and len(result.records):
            self._say("")
            self._table(*goal_cells(summary, str(result.goal)))
        both = dict.fromkeys([result.compared, result.verdict_on])
        for column in both if self._wide and several and len(result.reported[1]) else ():
            self._say("")
            self._table(*spread_cells(summary, column))
        pairs = result.pairs()
        if len(pairs):
            self._say("")
            self._say(f"against {result.baseline}, seed by seed")
            self._table(*pair_cells(pairs, result.verdict_on), breaks=[OF_GOAL])
        self._say("")
        for line in result.answer():
            self._say(wrapped(line, self._out.width) if self._out.is_terminal else line)

    def result(self, result: Result, plots: Sequence[Path], said: int) -> None:
        """Summary, pairs, verdict, what went wrong, certificate, where the plots are, and what to do next.

        ``said``: notes shown before.
        """
        if self._quiet:
            return
        self.summary(result)
        self.tuning(result)
        for note in result.notes[said:]:
            self._say(f"note: {note}")
        ended = result.reported[1]
        for _, trial in ended[ended["status"] != "finished"].head(8).iterrows():
            self._say(f"{trial['status']}: {trial_name(trial)}: {trial['reason']}")
        self._say("")
        for line in certificate_lines(result.certificate):
            self._say(line)
        self._say("")
        for plot in plots:
            if plot.exists():
                self._say(f"{'page' if plot.suffix == '.html' else 'plot'}: {plot}")
        for line in next_steps(result, plots[0].parent):
            self._say(line)

    def scaling(self, result: Result, plots: Sequence[Path]) -> None:
        """A batch-size study: what each batch size took, the recommendation, notes, certificate, and where
        the plots are.
        """
        if self._quiet:
            return
        curves = result.scaling()
        for curve in curves:
            self._say(f"\n{curve.optimizer}" if len(curves) > 1 else "")
            self._table(*scaling_cells(curve.table))
        for line in SCALING_LEGEND:
            self._say(line)
        for note in result.notes:
            self._say(f"note: {note}")
        ended = result.reported[1]
        for _, trial in ended[ended["status"] != "finished"].head(8).iterrows():
            self._say(f"{trial['status']}: {trial_name(trial)}: {trial['reason']}")
        self._say("")
        for line in result.answer():
            self._say(line)
        self._say("")
        for line in certificate_lines(result.certificate):
            self._say(line)
        self._say("")
        for plot in [
            *plots,
            *(plot.with_name(plot.name.replace("scaling", "comparison")) for plot in plots[:1]),
        ]:
            self._say(f"plot: {plot}")

    def findings(
        self, checks: Callable[[Callable[[int, int, float], None]], Iterator[Finding]]
    ) -> list[Finding]:
        """Each check of ``verify`` in a line as soon as it is made, with progress meanwhile, and what they
        come to.
        """
        shown: list[Lines | None] = [None]
        began, reached = time.monotonic(), 1.0
        found: list[Finding] = []

        def advanced(done: int, of: int, share: float) -> None:
            nonlocal began, reached
            if share < reached:  # another check has begun
                began = time.monotonic()
            elif shown[0] is not None and share > 0:
                shown[0].advanced(done, of, share, (time.monotonic() - began) * (1 - share) / share)
            reached = share

        coming = checks(advanced)
        while True:
            with self.progress() as shown[0]:
                finding = next(coming, None)
            if finding is None:
                break
            found.append(finding)
            if not self._quiet:
                self._say(f"{_HELD[finding.held]:<11}  {finding.name}: {finding.detail}")
        if not self._quiet:
            broken = [finding.name for finding in found if finding.held is False]
            made = [finding for finding in found if finding.held is not None]
            self._say("")
            self._say(
                f"{len(broken)} of {len(made)} checks did not hold: {', '.join(broken)}"
                if broken
                else f"all {len(made)} checks{' that could be made' * (len(made) < len(found))} held"
            )
        return found

    def tuning(self, result: Result) -> None:
        """What each arm's tuning chose, what fewer trials would have found, and what it cost."""
        if result.comparison.tuning is None or result.status != "finished":
            return
        self._say("")
        self._table(*tuning_cells(result.tuning(), result.tuned_by))
        self._say(tuning_words(result.comparison.tuning))

    def _say(self, text: str) -> None:
        lines = map(printable, text.split("\n"))
        self._out.print(Text("\n".join(map(self._broken, lines) if self._out.is_terminal else lines)))

    def _broken(self, line: str) -> str:
        """A line of prose broken between words, where a terminal would break it within one; a long path stays
        whole.
        """
        parts = textwrap.wrap(line, self._out.width, break_long_words=False, break_on_hyphens=False)
        return "\n".join(parts) if cell_len(line) > self._out.width else line

    def _table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], breaks: Sequence[int] = ()
    ) -> None:
        """A table that is not wider than the terminal, or than 80 columns elsewhere (or ``COLUMNS``)."""
        cells = [[printable(cell) for cell in row] for row in (header, *rows)]
        for number, (titles, lines) in enumerate(fitted(cells[0], cells[1:], self._out.width, breaks)):
            if number:
                self._out.print()
            self._out.print(Text("\n".join(titles), style="bold" if self._out.is_terminal else ""))
            for line in lines:
                self._out.print(Text(line))


def wrapped(line: str, width: int) -> str:
    """A line of the verdict within ``width`` columns, the rest of a ranked entry below the name of its
    arm.
    """
    hanging = " " * 3 if line[:1].isdigit() else ""
    return textwrap.fill(
        line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _rate(arm: Arm) -> str:
    scheduled = f", {arm.schedule}" if arm.schedule != "none" else ""
    return f"{arm.optimizer.label} lr {arm.lr:g}{scheduled}" + (
        f", clip {arm.clip:g}" if arm.clip is not None else ""
    )


def summary_as(form: str, result: Result, wide: bool = False) -> str:
    """The summary as ``csv`` (every number), ``md`` or ``latex`` (as on the terminal; ``wide``: as there with
    --wide).
    """
    summary = result.summary(wide=True)
    if form == "csv":
        return csv_text(summary).rstrip()
    cells = summary_cells(summary) if wide else short_cells(summary, [result.compared, result.verdict_on])
    return markdown(*cells) if form == "md" else latex(*cells)
