"""Draw the figures of several workloads, ``name(results, paper)``, and compute their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.profiles import performance_profile
from ..analysis.ranks import mean_ranks, rank_test, rank_words
from ..analysis.statistics import final_values, verdict_column
from ..errors import ComparisonError
from .figures_of_one import drawn_on, settings
from .paper import XS, Paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import Result


def profile(results: Sequence[Result], paper: Paper) -> Figure:
    """Draw a performance profile of the cost of the goal, in ``paper.x`` or samples.

    Args:
        results: One for each workload, all with the same arms.
        paper: The format of the figure.
    """
    from .plots.clocks import clock_sentence
    from .plots.performance_profile import draw_profile, profile_figure

    cost, colours = paper.x or "samples", results[0].colours()
    table = performance_profile(times_across(results, cost))
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_profile, table, colours, unit=cost)
    clocks = clock_sentence(pd.concat([one.reported[0] for one in results])) if cost == "seconds" else None
    return profile_figure(table, colours, unit=cost, note=clocks, **settings(paper))


def ranks(results: Sequence[Result], paper: Paper) -> Figure:
    """Draw mean ranks of the final losses.

    Arms are separated by a critical difference only if :func:`optcompare.analysis.ranks.rank_test` finds that
    they differ; the caption states the result.

    Args:
        results: One for each workload, all with the same arms.
        paper: The format of the figure.
    """
    from .plots.rank_diagram import ranks_figure

    if paper.ax is not None:
        raise ComparisonError("the figure ranks has names outside its axes, and cannot be drawn on one ax")
    table = finals_across(results)
    test = rank_test(table)
    note, colours = rank_words(test).replace(" = ", "\u00a0=\u00a0"), results[0].colours()
    return ranks_figure(mean_ranks(table), test.critical, colours, note=note, **settings(paper))


ACROSS: Mapping[str, Callable[[Sequence[Result], Paper], Figure]] = {"profile": profile, "ranks": ranks}
"""The figures of several workloads by name."""


def times_across(results: Sequence[Result], cost: str = "samples") -> pd.DataFrame:
    """Return the median cost of the goal, infinite if the median trial missed it.

    Args:
        results: One for each workload, all with the same arms.
        cost: updates, samples or seconds.

    Returns:
        One row for each workload and one column for each arm.

    Raises:
        ComparisonError: Two results have the same workload, arms differ, or the cost is unknown.
    """
    _refuse_other_arms(results)
    if cost not in XS[1:]:
        raise ComparisonError(f"the cost of a goal is counted in updates, samples or seconds, not {cost}")
    rows = {
        one.comparison.workload.label: one.times_to_goal().groupby("arm")[cost].median() for one in results
    }
    return pd.DataFrame(rows).T[arms_of(results[0])]


def finals_across(results: Sequence[Result]) -> pd.DataFrame:
    """Return the median final loss on the test set, or else in validation, or else in training.

    Args:
        results: One for each workload, all with the same arms.

    Returns:
        One row for each workload and one column for each arm.

    Raises:
        ComparisonError: Two results have the same workload, or arms differ.
    """
    _refuse_other_arms(results)
    finals = {
        one.comparison.workload.label: final_values(*one.reported, verdict_column(one.records))
        for one in results
    }
    rows = {label: table.groupby("arm")["final"].median() for label, table in finals.items()}
    return pd.DataFrame(rows).T[arms_of(results[0])]


def arms_of(result: Result) -> list[str]:
    """Return the labels of all arms but the control.

    Args:
        result: The result of a comparison.
    """
    return [arm.label for arm in result.comparison.arms if arm.label != result.comparison.control]


def _refuse_other_arms(results: Sequence[Result]) -> None:
    first = results[0]
    labels = [one.comparison.workload.label for one in results]
    twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if twice:
        raise ComparisonError(
            f"figures across workloads need one result for each workload, got {labels.count(twice[0])} for "
            f"{twice[0]}; leave all but one out"
        )
    for other in results[1:]:
        if set(arms_of(other)) != set(arms_of(first)):
            raise ComparisonError(
                f"{first.comparison.workload.label} compares {', '.join(arms_of(first))} and "
                f"{other.comparison.workload.label} {', '.join(arms_of(other))}; figures across workloads "
                "need the same arms"
            )
