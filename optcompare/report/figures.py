"""Every figure by its name, from results: computes the table that a figure shows, and hands it to what draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.arm_intervals import arm_interval
from ..analysis.batch_scaling import COLUMNS as SCALING_COLUMNS
from ..analysis.lr_scores import best_rates
from ..analysis.profiles import performance_profile
from ..analysis.ranks import mean_ranks, rank_test, rank_words
from ..analysis.statistics import estimated, final_values, on_shared_clock, verdict_column
from ..core.columns import trial_key
from ..errors import RAISED, ComparisonError, PluginError, explain
from ..storage.run_dir import make_directory, safe_name, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .result import Result

ONE = ("loss", "paths", "final", "tuning", "pairs", "goal", "scaling")
ACROSS = ("profile", "ranks")
FIGURES = (*ONE, *ACROSS)
XS = ("epochs", "updates", "samples", "seconds")


def figure(kind: str, results: Result | Sequence[Result], x: str | None = None, width: float = 7.0) -> Figure:
    """A figure by its name, as a matplotlib Figure: one of ``loss paths final tuning pairs goal scaling``, a panel such as
    ``sharpness``, or, of the results of several workloads, ``profile`` or ``ranks``.

    ``x``: the axis of ``loss`` (all if None) and of a panel, and the cost of ``goal`` and ``profile``: ``epochs``,
    ``updates``, ``samples`` or ``seconds``; ``width`` in inches, but of ``loss`` and ``paths``.

    Raises :class:`ComparisonError` where the comparison has not what the figure shows.
    """
    several = list(results) if isinstance(results, Sequence) else [results]
    if kind in ACROSS:
        return figure_across(kind, several, x, width)
    if len(several) != 1:
        raise ComparisonError(f"the figure {kind} is of one result, got {len(several)}")
    return figure_of(kind, several[0], x, width)


def figure_of(kind: str, result: Result, x: str | None = None, width: float = 7.0) -> Figure:
    """One comparison's figure; arguments and errors as those of :func:`figure`."""
    if kind != "tuning" and result.reported[1].empty:
        raise ComparisonError("this run was interrupted while it was tuned; there is only --figure tuning to draw")
    _check_width(width)
    drawn: Mapping[str, Callable[[], Figure]] = {
        "loss": lambda: _loss(result, x),
        "paths": lambda: _paths(result),
        "final": lambda: _final(result, width),
        "tuning": lambda: _tuning(result, width),
        "pairs": lambda: _pairs(result, width),
        "goal": lambda: _goal(result, x or "samples", width),
        "scaling": lambda: _scaling(result, width),
    }
    return drawn[kind]() if kind in drawn else _panel(result, kind, x or "epochs", width)


def figure_across(kind: str, results: Sequence[Result], x: str | None = None, width: float = 7.0) -> Figure:
    """The figure of several workloads: ``profile`` of what the goal took in ``x``, or ``ranks`` of the final losses.

    Arms in ``ranks`` are told apart, by a critical difference, only where :func:`optcompare.analysis.ranks.rank_test`
    finds that they differ; the caption says what it finds.
    """
    from .plots.across_workloads import profile_figure, ranks_figure

    _check_width(width)
    if len(results) < 2:
        raise ComparisonError(
            f"the figure {kind} is over several workloads; give several run directories, or one run of several"
        )
    if kind == "ranks":
        table = finals_across(results)
        test = rank_test(table)
        return ranks_figure(
            mean_ranks(table),
            test.critical,
            results[0].colours(),
            width=width,
            note=rank_words(test).replace(" = ", "\u00a0=\u00a0"),
        )
    cost = x or "samples"
    return profile_figure(
        performance_profile(times_across(results, cost)), results[0].colours(), width=width, unit=cost
    )


def save_figures(
    results: Sequence[Result],
    kind: str | None,
    out: Path,
    formats: Sequence[str],
    x: str | None = None,
    width: float | None = None,
) -> list[Path]:
    """Draws a figure (None: the comparison plot) of each result, or one over all, into ``out``; returns the files.

    ``html`` among the formats is one page of all results; it goes with the comparison plot, not with another figure.
    """
    if "html" in formats:
        pictures = [suffix for suffix in formats if suffix != "html"]
        beside = save_figures(results, kind, out, pictures, x, width) if pictures else []
        return beside if kind is not None else [*beside, _save_page(results, out)]
    if width is not None and kind in (None, "loss", "paths"):
        raise ComparisonError(f"the {kind or 'comparison'} plot is 10 inches wide; --width is for the other figures")
    inches = 7.0 if width is None else width
    if kind in ACROSS:
        return _save(figure_across(kind, results, x, inches), out, kind, formats)
    drawn = [(result, figure_of(kind or "loss", result, x if kind else None, inches)) for result in results]
    paths = []
    for result, picture in drawn:
        suffix = f"-{safe_name(result.comparison.workload.label)}" if len(results) > 1 else ""
        paths += _save(picture, out, (kind or "comparison") + suffix, formats)
    return paths


def save_across(results: Sequence[Result], out: Path, formats: Sequence[str]) -> list[Path]:
    """What several workloads can be drawn as: ranks where there are arms to rank, a profile where each has a goal."""
    kinds = ["profile"] if all(result.goal is not None for result in results) else []
    kinds += ["ranks"] if len(_arms(results[0])) > 1 else []
    return [path for kind in kinds for path in save_figures(results, kind, out, formats)]


def save_scaling(result: Result, out: Path, formats: Sequence[str]) -> list[Path]:
    """Writes ``scaling.csv`` and ``scaling.png`` of a batch-size study; returns the plots."""
    tables = [curve.table for curve in result.scaling()]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SCALING_COLUMNS)
    write_atomically(out / "scaling.csv", lambda path: table.to_csv(path, index=False, lineterminator="\n"))
    return save_figures([result], "scaling", out, formats)


def times_across(results: Sequence[Result], cost: str = "samples") -> pd.DataFrame:
    """Median cost to the goal, one row a workload and one column an arm; infinite where the median trial missed."""
    _refuse_other_arms(results)
    if cost not in XS[1:]:
        raise ComparisonError(f"a goal takes updates, samples or seconds, not {cost}")
    rows = {one.comparison.workload.label: one.times_to_goal().groupby("arm")[cost].median() for one in results}
    return pd.DataFrame(rows).T[_arms(results[0])]


def finals_across(results: Sequence[Result]) -> pd.DataFrame:
    """Median final loss (on the test set, else in validation, else in training), one row a workload and one column an arm."""
    _refuse_other_arms(results)
    rows = {
        one.comparison.workload.label: final_values(*one.reported, verdict_column(one.records))
        .groupby("arm")["final"]
        .median()
        for one in results
    }
    return pd.DataFrame(rows).T[_arms(results[0])]


def _check_width(width: float) -> None:
    if not 2.5 <= width <= 40:
        raise ComparisonError(f"--width takes 2.5 to 40 inches, got {width:g}")


def _save(picture: Figure, out: Path, name: str, formats: Sequence[str]) -> list[Path]:
    make_directory(out)
    paths = [out / f"{name}.{suffix}" for suffix in formats]
    for path in paths:
        write_atomically(path, picture.savefig)
    return paths


def _save_page(results: Sequence[Result], out: Path) -> Path:
    from .html.page import page

    make_directory(out)
    path = out / "comparison.html"
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
            f"figures across workloads need one result for each workload, got {labels.count(twice[0])} for {twice[0]}; "
            "leave all but one out"
        )
    for other in results[1:]:
        if set(_arms(other)) != set(_arms(first)):
            raise ComparisonError(
                f"{first.comparison.workload.label} compares {', '.join(_arms(first))} and "
                f"{other.comparison.workload.label} {', '.join(_arms(other))}; figures across workloads need the same arms"
            )


def _loss(result: Result, x: str | None) -> Figure:
    from .plots.comparison import comparison_figure

    return result.plot() if x is None else comparison_figure(*result.reported, xs=[x], colours=result.colours())  # type: ignore[list-item]


def _paths(result: Result) -> Figure:
    from .plots.comparison import paths_figure

    if result.paths is None:
        raise ComparisonError("paths can be drawn for models of two weights alone, such as those of line and quadratic")
    return paths_figure(result.reported[0], result.paths, result.colours())


def _panel(result: Result, kind: str, x: str, width: float) -> Figure:
    from .plots.builtin_panels import PANELS, panel_figure

    panels = {name: make() for name, make in PANELS.items()} if result.panels is None else result.panels
    if kind not in panels:
        raise ComparisonError(f"there is no figure '{kind}'; there are {', '.join((*FIGURES, *panels))}")
    panel, tables = panels[kind], result.panel_tables()
    try:
        if panel.reads not in tables or not panel.wants(tables[panel.reads]):
            raise ComparisonError(f"the panel {kind} {panel.missing()}")
        return panel_figure(panel, tables[panel.reads], result.colours(), x=x, width=width)  # type: ignore[arg-type]
    except (ComparisonError, PluginError):
        raise
    except RAISED as error:
        if kind in PANELS:
            raise
        raise PluginError(f"panel {kind}: {explain(error)}") from error


def _final(result: Result, width: float) -> Figure:
    from .plots.final_values import final_figure

    column = verdict_column(result.records)
    finals = final_values(*result.reported, column).rename(columns={"final": "value"})
    ends = {arm: arm_interval(group, "value") for arm, group in finals.groupby("arm", sort=False)}
    intervals = pd.DataFrame([(arm, *values) for arm, values in ends.items()], columns=["arm", "mean", "low", "high"])
    return final_figure(finals, intervals, result.colours(), width=width, metric=column)


def _tuning(result: Result, width: float) -> Figure:
    from .plots.tuning import tuning_figure

    scores = result.tuning()
    return tuning_figure(scores, best_rates(scores), result.colours(), width=width, metric=result.tuned_by)


def _pairs(result: Result, width: float) -> Figure:
    from .plots.forest import pairs_figure

    pairs = result.pairs()
    if pairs.empty:
        raise ComparisonError("pairs need a second arm beside the baseline; there is one arm")
    return pairs_figure(pairs, result.colours(), width=width, metric=result.verdict_on)


def _goal(result: Result, cost: str, width: float) -> Figure:
    from .plots.goal import goal_figure

    if cost not in XS[1:]:
        raise ComparisonError(f"a goal takes updates, samples or seconds, not {cost}")
    times = result.times_to_goal().rename(columns={cost: "value"})
    times = times[[*trial_key(times), "value"]]
    unit = cost
    if cost == "seconds":
        unit = "estimated" if estimated(result.records) else "shared" if on_shared_clock(result.records) else cost
    return goal_figure(times, result.colours(), width=width, goal=str(result.goal), unit=unit)


def _scaling(result: Result, width: float) -> Figure:
    from .plots.batch_scaling import scaling_figure
    from .plots.style import arm_colours

    curves = result.scaling()
    colours = arm_colours([curve.optimizer for curve in curves])
    title = f"{result.comparison.workload.label}: what the batch size costs to {result.goal}"
    return scaling_figure(curves, colours, width=width, goal=str(result.goal), title=title)
