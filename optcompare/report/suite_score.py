"""The score of arms on a suite: the cost of each goal, beside that of the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..analysis.profiles import performance_profile, scores
from ..core.goal import Goal
from ..errors import ComparisonError
from ..interfaces.suite import Suite, SuiteWorkload
from ..results.csv_text import csv_text
from ..storage.run_dir import safe_name, write_atomically
from ..storage.suite_run import is_suite_run, read_suite_run
from .figures_across import times_across
from .figures_of_one import drawn_on, settings
from .paper import Paper, at_resolution, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import Result

REFERENCE = "reference"
"""The name of the best arm of each goal's search, in tables and figures."""
COSTS = ("samples", "updates")
"""Costs of a goal that mean the same on every machine."""
SCORE, PROFILE = "score.csv", "profile"


@dataclass(frozen=True)
class SuiteScore:
    """Hold the results of arms on all workloads of a suite, and compute their scores.

    A score is the area under the performance profile of Dolan & Moré from ratio 1 to 4, divided by 3: the
    mean over workloads of max(0, 4 - r) / 3, where r is the arm's cost of the goal divided by the least of
    all arms; a miss counts 0 (Dahl et al. 2023, arXiv 2306.07179). The reference is one of these arms. A
    score depends on the arms that are compared.

    Args:
        suite: The suite.
        results: One result for each of its workloads, all with the same arms.

    Raises:
        ComparisonError: A workload has no result or another goal or budget than in the suite, or arms differ.
    """

    suite: Suite
    results: Sequence[Result]

    def __post_init__(self) -> None:
        known = {one.comparison.workload.label: one for one in self.results}
        missing = [each.workload for each in self.suite.workloads if each.workload not in known]
        if missing:
            raise ComparisonError(
                f"a score on suite {self.suite.name} needs all its workloads; missing: {', '.join(missing)}"
            )
        for each in self.suite.workloads:
            _check_same(self.suite, each, known[each.workload])
        ordered = [known[each.workload] for each in self.suite.workloads]
        object.__setattr__(self, "results", ordered)
        if REFERENCE in times_across(ordered):
            raise ComparisonError(f"no arm of a suite can be called {REFERENCE}; rename it")

    def times(self, cost: str = "samples") -> pd.DataFrame:
        """Return the median cost of each goal, infinite if the median trial missed it.

        Args:
            cost: ``samples`` or ``updates``, which mean the same on every machine.

        Returns:
            One row for each workload, one column for each arm; the last is the reference, where the suite
            holds one for each workload.

        Raises:
            ComparisonError: The cost is another one.
        """
        if cost not in COSTS:
            raise ComparisonError(
                f"the score of a suite counts samples or updates, which mean the same on every machine, not "
                f"{cost}"
            )
        found = times_across(self.results, cost)
        references = [each.reference for each in self.suite.workloads]
        if all(references):
            found[REFERENCE] = [float(getattr(each, cost)) for each in references]
        return found

    def scores(self, cost: str = "samples") -> pd.Series:
        """Return the score of each arm and of the reference, from 0 to 1; see the class.

        Args:
            cost: ``samples`` or ``updates``.
        """
        return scores(self.times(cost))

    def notes(self) -> list[str]:
        """Return a sentence for each workload whose data are not those on which its goal was set."""
        pairs = zip(self.suite.workloads, self.results, strict=True)
        return [
            f"{each.workload}: these data are not those on which the goal was set, which may be too easy or "
            "too hard here"
            for each, result in pairs
            if each.data_sha256 and result.environment.get("data_sha256") not in (None, each.data_sha256)
        ]

    def figure(self, cost: str = "samples", paper: Paper | None = None) -> Figure:
        """Draw the performance profile, with each arm's score after its name.

        Args:
            cost: ``samples`` or ``updates``.
            paper: The format of the figure; None: the default one.
        """
        from .plots.looks import ArmStyle
        from .plots.performance_profile import draw_profile, profile_figure

        paper, table = paper or Paper(), performance_profile(self.times(cost))
        colours = {**self.results[0].colours(), REFERENCE: ArmStyle("#767676", "x", (0, (1, 1)))}
        if paper.ax is not None:
            return drawn_on(paper.ax, draw_profile, table, colours, unit=cost)
        note = f"The {REFERENCE} is the best of all trials when each goal was set."
        return profile_figure(table, colours, unit=cost, note=note, **settings(paper))

    def save(self, directory: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
        """Write ``score.csv`` and the figure.

        Args:
            directory: The folder, which exists.
            formats: The suffixes of the figure; ``html`` is left out.

        Returns:
            The paths of the figures.
        """
        table = self.as_table().encode()
        write_atomically(directory / SCORE, lambda path: path.write_bytes(table))
        pictures = [suffix for suffix in formats if suffix != "html"] or ["png"]
        return save_figure(self.figure(), directory, PROFILE, pictures, Paper())

    def save_profile(self, out: Path, formats: Sequence[str], paper: Paper) -> list[Path]:
        """Save the figure alone, as ``SUITE-profile``.

        Args:
            out: The directory, which is created if it does not exist.
            formats: The suffixes of the figure.
            paper: Its format; ``paper.x`` is the cost.

        Returns:
            The paths of the figures.
        """
        picture = at_resolution(paper, self.figure(paper.x or "samples", paper))
        name = f"{safe_name(self.suite.name)}-{PROFILE}"
        return save_figure(picture, out, name, formats, paper)

    def as_table(self) -> str:
        """Return the contents of ``score.csv``: a row for each workload and arm, then the scores."""
        rows = [
            {"workload": each["workload"], "goal": each["goal"], "arm": arm}
            | {cost: each[cost][arm] for cost in COSTS}
            for each in self._costs()
            for arm in each["samples"]
        ]
        found = {cost: self.scores(cost).to_dict() for cost in COSTS}
        rows += [
            {"workload": "score", "arm": arm} | {cost: found[cost][arm] for cost in COSTS}
            for arm in found["samples"]
        ]
        return csv_text(pd.DataFrame(rows))

    def as_json(self) -> dict[str, Any]:
        """Return the score as plain values; the cost of a miss is null."""
        known = [
            each | {cost: {arm: _finite(value) for arm, value in each[cost].items()} for cost in COSTS}
            for each in self._costs()
        ]
        return {
            "suite": self.suite.name,
            "scores": {cost: self.scores(cost).to_dict() for cost in COSTS},
            "workloads": known,
            "notes": self.notes(),
        }

    def _costs(self) -> list[dict[str, Any]]:
        """Return for each workload its goal, and the costs of each arm by unit."""
        tables = {cost: self.times(cost).to_dict("index") for cost in COSTS}
        return [
            {"workload": each.workload, "goal": each.goal}
            | {cost: table[each.workload] for cost, table in tables.items()}
            for each in self.suite.workloads
        ]


def score_of(directories: Sequence[Path], results: Sequence[Result]) -> SuiteScore | None:
    """Return the score of the runs in the folder of a suite.

    Args:
        directories: Directories that were read.
        results: Their results.

    Returns:
        The score; None if it is not one folder of a suite, or not all of its workloads were trained.

    Raises:
        OptcompareError: ``suite.json`` is damaged, or does not fit the results.
    """
    if len(directories) != 1 or not is_suite_run(directories[0]):
        return None
    suite, _ = read_suite_run(directories[0])
    trained = {one.comparison.workload.label for one in results if one.status == "finished"}
    whole = trained >= {each.workload for each in suite.workloads}
    return SuiteScore(suite, results) if whole else None


def _check_same(suite: Suite, workload: SuiteWorkload, result: Result) -> None:
    """Refuse a result with another goal or budget than in the suite."""
    comparison = result.comparison
    goal = None if workload.goal is None else str(Goal.parse(workload.goal, comparison.errors))
    fixed = (goal, workload.budget, workload.measure)
    if fixed != (comparison.goal, comparison.budget, comparison.measure):
        raise ComparisonError(
            f"{workload.workload} was trained for {comparison.budget} to {comparison.goal}, measured "
            f"{comparison.measure} times an epoch; suite {suite.name} fixes {workload.budget}, {goal} and "
            f"{workload.measure} times"
        )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
