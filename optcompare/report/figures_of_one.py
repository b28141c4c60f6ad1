"""Draw the figures of one result, ``name(result, paper)``, and compute their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from ..analysis.arm_intervals import arm_interval
from ..analysis.lr_scores import best_rates
from ..analysis.statistics import blown_up, estimated, final_values_to_scale, on_shared_clock, verdict_column
from ..core.columns import trial_key
from ..errors import ComparisonError
from .comparison_plot import comparison_plot
from .paper import XS, Paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .plots.curves import X
    from .result import Result


@dataclass(frozen=True)
class FigureOfOne:
    """Describe a figure of one result.

    Attributes:
        draw: The function that draws it.
        several_panels: Whether it has several panels, and thus does not fit on axes of the caller.
        metric: Whether the caller may choose a column of the records.
    """

    draw: Callable[[Result, Paper], Figure]
    several_panels: bool = False
    metric: bool = False


def settings(paper: Paper) -> dict[str, Any]:
    """Return width and caption as keyword arguments of the functions that make a figure.

    Args:
        paper: The format of the figure.
    """
    return {"width": 7.0 if paper.width is None else paper.width, "caption": paper.caption}


def drawn_on(ax: Axes, draw: Callable[..., object], *values: Any, **more: Any) -> Figure:
    """Draw on axes of the caller, with the fonts that the layout is measured with.

    Args:
        ax: The axes to draw on.
        draw: The function that draws; its first argument is the axes.
        *values: The other positional arguments of the function.
        **more: The keyword arguments of the function.

    Returns:
        The figure of the axes.
    """
    from .plots.style import plain

    with plain():
        draw(ax, *values, **more)
    return ax.get_figure(root=True)  # type: ignore[return-value]


def loss(result: Result, paper: Paper) -> Figure:
    """Draw losses against one axis, or the comparison plot if none is chosen.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.
    """
    from .plots.comparison import Content, comparison_figure
    from .plots.curve_axes import draw_loss
    from .plots.curves import with_status

    if paper.x is None:
        return comparison_plot(result, paper.metric, width=paper.width, caption=paper.caption)
    x, colours = cast("X", paper.x), result.colours()
    metrics = [paper.metric] if paper.metric else result.shown_metrics()
    if paper.ax is not None:
        records = with_status(*result.reported)
        return drawn_on(paper.ax, draw_loss, records, x=x, metric=metrics[0], colours=colours)
    content = Content(metrics=metrics, xs=[x])
    title = result.headline(paper.metric)
    return comparison_figure(*result.reported, colours, content=content, title=title, **settings(paper))


def paths(result: Result, paper: Paper) -> Figure:
    """Draw the paths of two weights over the loss.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.

    Raises:
        ComparisonError: The model has not two weights.
    """
    from .plots.comparison import paths_figure

    if result.paths is None:
        raise ComparisonError(
            "paths can only be drawn for models of two weights, such as those of line and quadratic"
        )
    width = 10.0 if paper.width is None else paper.width
    return paths_figure(result.reported[0], result.paths, result.colours(), width)


def final(result: Result, paper: Paper) -> Figure:
    """Draw the final values of all seeds.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.
    """
    from .plots.final_values import draw_final, final_figure

    column, colours = paper.metric or verdict_column(result.records), result.colours()
    finals = final_values_to_scale(*result.reported, column).rename(columns={"final": "value"})
    lost = blown_up(result.reported[0], column)
    shown_as_lost = [arm for arm in colours if arm in lost]
    note = f"Drawn as lost: {', '.join(shown_as_lost)}, which blew up." if shown_as_lost else None
    ends = [(arm, *arm_interval(group, "value")) for arm, group in finals.groupby("arm", sort=False)]
    intervals = pd.DataFrame(ends, columns=["arm", "mean", "low", "high"])
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_final, finals, intervals, colours, metric=column)
    return final_figure(finals, intervals, colours, metric=column, note=note, **settings(paper))


def tuning(result: Result, paper: Paper) -> Figure:
    """Draw the scores of all learning rates that were tried.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.
    """
    from .plots.tuning import draw_tuning, tuning_figure

    scores, colours, metric = result.tuning(), result.colours(), result.tuned_by
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_tuning, scores, best_rates(scores), colours, metric=metric)
    return tuning_figure(scores, best_rates(scores), colours, metric=metric, **settings(paper))


def pairs(result: Result, paper: Paper) -> Figure:
    """Draw the differences to the baseline as a forest plot.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.

    Raises:
        ComparisonError: There is one arm only.
    """
    from .plots.forest import draw_pairs, pairs_figure

    table, colours, metric = result.pairs(), result.colours(), result.verdict_on
    if table.empty:
        raise ComparisonError("pairs need a second arm besides the baseline; there is one arm")
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_pairs, table, colours, metric=metric)
    return pairs_figure(table, colours, metric=metric, **settings(paper))


def goal(result: Result, paper: Paper) -> Figure:
    """Draw the cost of the goal, in ``paper.x`` or samples.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.

    Raises:
        ComparisonError: There is no goal, or ``paper.x`` is no cost.
    """
    from .plots.clocks import clock_sentence
    from .plots.goal import draw_goal, goal_figure

    unit, note = paper.x or "samples", None
    if unit not in XS[1:]:
        raise ComparisonError(f"the cost of a goal is counted in updates, samples or seconds, not {unit}")
    times = result.times_to_goal().rename(columns={unit: "value"})
    times = times[[*trial_key(times), "value"]]
    if unit == "seconds":
        records = result.reported[0]
        note = clock_sentence(records) or None
        if note is None:
            unit = "estimated" if estimated(records) else "shared" if on_shared_clock(records) else unit
    shown: dict[str, Any] = {"goal": str(result.goal), "unit": unit}
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_goal, times, result.colours(), **shown)
    return goal_figure(times, result.colours(), note=note, **shown, **settings(paper))


def scaling(result: Result, paper: Paper) -> Figure:
    """Draw the result of a batch-size study.

    Args:
        result: The result of a comparison.
        paper: The format of the figure.

    Raises:
        ComparisonError: The result is no such study, or nothing was trained.
    """
    from .plots.batch_scaling import scaling_figure
    from .plots.looks import arm_colours, recoloured

    curves = result.scaling()
    if not curves:
        raise ComparisonError(f"there is nothing to draw: {result.recommendation()[0]}")
    looks = arm_colours([curve.optimizer for curve in curves])
    colours = recoloured(looks, result.appearance or {})
    title = f"{result.comparison.workload.label}: what the batch size costs to {result.goal}"
    return scaling_figure(curves, colours, title=title, **settings(paper))


ONE: Mapping[str, FigureOfOne] = {
    "loss": FigureOfOne(loss, metric=True),
    "paths": FigureOfOne(paths, several_panels=True),
    "final": FigureOfOne(final, metric=True),
    "tuning": FigureOfOne(tuning),
    "pairs": FigureOfOne(pairs),
    "goal": FigureOfOne(goal),
    "scaling": FigureOfOne(scaling, several_panels=True),
}
"""The figures of one result by name. ``loss`` without a chosen axis has several panels too."""
