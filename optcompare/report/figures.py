"""Every figure by its name, from results: computes the table that a figure shows, and hands it to what
draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.batch_scaling import COLUMNS as SCALING_COLUMNS
from ..analysis.profiles import performance_profile
from ..analysis.ranks import mean_ranks, rank_test, rank_words
from ..analysis.statistics import final_values, verdict_column
from ..errors import ComparisonError
from ..results.csv_text import csv_text
from ..storage.run_dir import make_directory, safe_name, write_atomically
from .figures_of_one import (
    ACROSS,
    XS,
    drawn_on,
    final_of,
    goal_of,
    loss_of,
    pairs_of,
    panel_of,
    paths_of,
    scaling_of,
    settings,
    tuning_of,
)
from .figures_of_one import FIGURES as FIGURES
from .output_files import joined
from .paper import Paper, check_metric, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .result import Result


def figure(
    kind: str,
    results: Result | Sequence[Result],
    x: str | None = None,
    width: float | None = None,
    *,
    metric: str | None = None,
    caption: bool = True,
    dpi: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a figure by its name.

    Args:
        kind: One of ``loss paths final tuning pairs goal scaling``, a panel such as ``sharpness``, or, of the
            results of several workloads, ``profile`` or ``ranks``.
        results: One, or several.
        x: The axis of ``loss`` (all if None) and of a panel, and the cost of ``goal`` and ``profile``:
            ``epochs``, ``updates``, ``samples`` or ``seconds``.
        width: Inches; by default 10 for ``loss`` and ``paths``, and 7 for all others.
        metric: The column that ``loss`` and ``final`` show; by default what the verdict speaks of.
        caption: Whether title and explanations are drawn; the figure's ``caption`` holds them in any case.
        dpi: Dots an inch at which it is shown and saved; matplotlib's default if None.
        ax: Axes to draw on, for figures that have one panel: ``loss`` with ``x``, ``final``, ``tuning``,
            ``pairs``, ``goal``, ``profile`` and further panels. Its figure is returned; ``width``,
            ``caption`` and ``dpi`` are then its own.

    Returns:
        A matplotlib Figure, whose ``savefig`` embeds fonts in PDF, and leaves text as text in SVG.

    Raises:
        ComparisonError: The comparison has not what the figure shows, or an argument is out of range.
    """
    several, paper = (
        list(results) if isinstance(results, Sequence) else [results],
        Paper(width, caption, dpi, metric, ax),
    )
    if kind in ACROSS:
        return figure_across(kind, several, x, paper)
    if len(several) != 1:
        raise ComparisonError(f"the figure {kind} is of one result, got {len(several)}")
    return figure_of(kind, several[0], x, paper)


def figure_of(kind: str, result: Result, x: str | None = None, paper: Paper | None = None) -> Figure:
    """Draw one comparison's figure; arguments and errors as those of :func:`figure`."""
    paper = paper or Paper()
    if kind != "tuning" and result.reported[1].empty:
        what = (
            f"{result.unfinished}, all of tuning"
            if result.is_under_way
            else "this run was interrupted while it was tuned"
        )
        raise ComparisonError(f"{what}; there is only --figure tuning to draw")
    if paper.ax is not None and (kind in ("paths", "scaling") or (kind == "loss" and x is None)):
        more = "; give x, such as x='epochs'" if kind == "loss" else ""
        raise ComparisonError(f"the figure {kind} has several panels, and does not fit one ax{more}")
    if paper.metric is not None:
        if kind not in ("loss", "final"):
            raise ComparisonError(
                f"--metric is for the figures loss and final; {kind} shows what it is about"
            )
        check_metric(paper.metric, result.reported[0], final=kind == "final")
    drawn: Mapping[str, Callable[[], Figure]] = {
        "loss": lambda: loss_of(result, x, paper),
        "paths": lambda: paths_of(result, paper),
        "final": lambda: final_of(result, paper),
        "tuning": lambda: tuning_of(result, paper),
        "pairs": lambda: pairs_of(result, paper),
        "goal": lambda: goal_of(result, x or "samples", paper),
        "scaling": lambda: scaling_of(result, paper),
    }
    return _at(paper, drawn[kind]() if kind in drawn else panel_of(result, kind, x or "epochs", paper))


def _at(paper: Paper, picture: Figure) -> Figure:
    """The figure with the resolution that is asked for."""
    from .plots.picture import Picture

    if paper.dpi is not None and isinstance(picture, Picture):
        picture.set_resolution(paper.dpi)
    return picture


def figure_across(
    kind: str, results: Sequence[Result], x: str | None = None, paper: Paper | None = None
) -> Figure:
    """The figure of several workloads: ``profile`` of what the goal took in ``x``, or ``ranks`` of the final
    losses.

    Arms in ``ranks`` are told apart, by a critical difference, only where
    :func:`optcompare.analysis.ranks.rank_test` finds that they differ; the caption says what it finds.
    """
    from .plots.across_workloads import draw_profile, profile_figure, ranks_figure
    from .plots.clocks import clock_sentence

    paper = paper or Paper()
    if paper.metric is not None:
        raise ComparisonError(f"--metric is for the figures loss and final; {kind} shows what it is about")
    if paper.ax is not None and kind == "ranks":
        raise ComparisonError("the figure ranks writes names beside its axes, and does not fit one ax")
    if len(results) < 2:
        raise ComparisonError(
            f"the figure {kind} is over several workloads; give several run directories, or one run of "
            "several"
        )
    if kind == "ranks":
        table = finals_across(results)
        test = rank_test(table)
        note = rank_words(test).replace(" = ", "\u00a0=\u00a0")
        found = ranks_figure(
            mean_ranks(table), test.critical, results[0].colours(), note=note, **settings(paper)
        )
        return _at(paper, found)
    cost = x or "samples"
    shown = performance_profile(times_across(results, cost)), results[0].colours()
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_profile, *shown, unit=cost)
    clocks = clock_sentence(pd.concat([one.reported[0] for one in results])) if cost == "seconds" else None
    return _at(paper, profile_figure(*shown, unit=cost, note=clocks, **settings(paper)))


def save_figures(
    results: Sequence[Result],
    kind: str | None,
    out: Path,
    formats: Sequence[str],
    x: str | None = None,
    width: float | None = None,
    *,
    paper: Paper | None = None,
    runs: Sequence[str] | None = None,
) -> list[Path]:
    """Draws a figure (None: the comparison plot) of each result, or one over all, into ``out``; returns the
    files.

    ``html`` among the formats is one page of all results; it goes with the comparison plot, not with another
    figure. ``runs``: a name for each result, with which its files begin, as in ``RUN-pairs.png`` and
    ``RUN-report.html``.
    """
    paper = paper or Paper(width)
    if "html" in formats:
        pictures = [suffix for suffix in formats if suffix != "html"]
        beside = save_figures(results, kind, out, pictures, x, paper=paper, runs=runs) if pictures else []
        return beside if kind is not None else [*beside, _save_page(results, out, runs)]
    if kind in ACROSS:
        name = kind if runs is None else f"{joined(runs)}-{kind}"
        return save_figure(figure_across(kind, results, x, paper), out, name, formats, paper)
    drawn = [(result, figure_of(kind or "loss", result, x if kind else None, paper)) for result in results]
    paths = []
    for place, (result, picture) in enumerate(drawn):
        suffix = f"-{safe_name(result.comparison.workload.label)}" if len(results) > 1 else ""
        name = f"{kind or 'comparison'}{suffix}" if runs is None else f"{runs[place]}-{kind or 'comparison'}"
        paths += save_figure(picture, out, name, formats, paper)
    return paths


def save_across(results: Sequence[Result], out: Path, formats: Sequence[str]) -> list[Path]:
    """What several workloads can be drawn as: ranks where there are arms to rank, a profile where each has a
    goal.
    """
    kinds = ["profile"] if all(result.goal is not None for result in results) else []
    kinds += ["ranks"] if len(_arms(results[0])) > 1 else []
    return [path for kind in kinds for path in save_figures(results, kind, out, formats)]


def save_scaling(result: Result, out: Path, formats: Sequence[str]) -> list[Path]:
    """Writes ``scaling.csv`` and ``scaling.png`` of a batch-size study; returns the plots."""
    tables = [curve.table for curve in result.scaling()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SCALING_COLUMNS)
    write_atomically(out / "scaling.csv", lambda path: path.write_bytes(csv_text(table).encode()))
    return save_figures([result], "scaling", out, formats) if tables else []


def times_across(results: Sequence[Result], cost: str = "samples") -> pd.DataFrame:
    """Median cost to the goal, one row a workload and one column an arm; infinite where the median trial
    missed.
    """
    _refuse_other_arms(results)
    if cost not in XS[1:]:
        raise ComparisonError(f"a goal takes updates, samples or seconds, not {cost}")
    rows = {
        one.comparison.workload.label: one.times_to_goal().groupby("arm")[cost].median() for one in results
    }
    return pd.DataFrame(rows).T[_arms(results[0])]


def finals_across(results: Sequence[Result]) -> pd.DataFrame:
    """Median final loss (on the test set, else in validation, else in training), one row a workload and one
    column an arm.
    """
    _refuse_other_arms(results)
    rows = {
        one.comparison.workload.label: final_values(*one.reported, verdict_column(one.records))
        .groupby("arm")["final"]
        .median()
        for one in results
    }
    return pd.DataFrame(rows).T[_arms(results[0])]


def _save_page(results: Sequence[Result], out: Path, runs: Sequence[str] | None) -> Path:
    from .html.page import page

    make_directory(out)
    path = out / ("comparison.html" if runs is None else f"{joined(runs)}-report.html")
    write_atomically(path, lambda place: place.write_text(page(results), encoding="utf-8"))
    return path


def _arms(result: Result) -> list[str]:
    return [arm.label for arm in result.comparison.arms if arm.label != result.comparison.control]


def _refuse_other_arms(results: Sequence[Result]) -> None:
    first = results[0]
    labels = [one.comparison.workload.label for one in results]
    twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if twice:
        raise ComparisonError(
            f"figures across workloads need one result for each workload, got {labels.count(twice[0])} for "
            f"{twice[0]}; "
            "leave all but one out"
        )
    for other in results[1:]:
        if set(_arms(other)) != set(_arms(first)):
            raise ComparisonError(
                f"{first.comparison.workload.label} compares {', '.join(_arms(first))} and "
                f"{other.comparison.workload.label} {', '.join(_arms(other))}; figures across workloads "
                "need the same arms"
            )
