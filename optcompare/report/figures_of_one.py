"""The figures of one result, each from the table that it shows, set as :class:`.paper.Paper` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..analysis.arm_intervals import arm_interval
from ..analysis.lr_scores import best_rates
from ..analysis.statistics import blown_up, estimated, final_values_to_scale, on_shared_clock, verdict_column
from ..core.columns import trial_key
from ..core.parameters import suggestion
from ..errors import USER_CODE_ERRORS, ComparisonError, PluginError, explain
from .paper import Paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .result import Result

ONE = ("loss", "paths", "final", "tuning", "pairs", "goal", "scaling")
ACROSS = ("profile", "ranks")
FIGURES = (*ONE, *ACROSS)
XS = ("epochs", "updates", "samples", "seconds")


def settings(paper: Paper) -> dict[str, Any]:
    """Width and caption, as all that draws a figure takes them."""
    return {"width": 7.0 if paper.width is None else paper.width, "caption": paper.caption}


def drawn_on(ax: Axes, draw: Callable[..., object], *values: Any, **more: Any) -> Figure:
    """Draw on someone's axes, with the fonts that texts are measured with."""
    from .plots.style import plain

    with plain():
        draw(ax, *values, **more)
    return ax.get_figure(root=True)  # type: ignore[return-value]


def loss_of(result: Result, x: str | None, paper: Paper) -> Figure:
    from .plots.comparison import comparison_figure
    from .plots.curves import draw_loss, with_status

    if x is None:
        return result.plot(paper.metric, width=paper.width, caption=paper.caption)
    metrics: Any = [paper.metric] if paper.metric else result.shown_metrics()
    if paper.ax is not None:
        records, looks = with_status(*result.reported), result.colours()
        return drawn_on(paper.ax, draw_loss, records, x=x, metric=metrics[0], colours=looks)
    more: Any = {
        "xs": [x],
        "colours": result.colours(),
        "title": result.headline(paper.metric),
        **settings(paper),
    }
    return comparison_figure(*result.reported, metric=metrics, **more)


def paths_of(result: Result, paper: Paper) -> Figure:
    from .plots.comparison import paths_figure

    if result.paths is None:
        raise ComparisonError(
            "paths can be drawn for models of two weights alone, such as those of line and quadratic"
        )
    return paths_figure(
        result.reported[0], result.paths, result.colours(), 10.0 if paper.width is None else paper.width
    )


def panel_of(result: Result, kind: str, x: str, paper: Paper) -> Figure:
    from .plots.builtin_panels import PANELS, panel_figure

    panels = {name: make() for name, make in PANELS.items()} if result.panels is None else result.panels
    if kind not in panels:
        names = (*FIGURES, *panels)
        raise ComparisonError(
            f"there is no figure '{kind}'{suggestion(kind, names)}; there are {', '.join(names)}"
        )
    panel, tables = panels[kind], result.panel_tables()
    try:
        if panel.reads not in tables or not panel.wants(tables[panel.reads]):
            raise ComparisonError(f"the panel {kind} {panel.missing()}")
        if paper.ax is not None:
            return drawn_on(paper.ax, panel.draw, tables[panel.reads], result.colours(), x)
        return panel_figure(panel, tables[panel.reads], result.colours(), x=x, **settings(paper))  # type: ignore[arg-type]
    except (ComparisonError, PluginError):
        raise
    except USER_CODE_ERRORS as error:
        if kind in PANELS:
            raise
        raise PluginError(f"panel {kind}: {explain(error)}") from error


def final_of(result: Result, paper: Paper) -> Figure:
    from .plots.final_values import draw_final, final_figure

    column = paper.metric or verdict_column(result.records)
    finals = final_values_to_scale(*result.reported, column).rename(columns={"final": "value"})
    blown = [arm for arm in result.colours() if arm in blown_up(result.reported[0], column)]
    note = f"Drawn as lost: {', '.join(blown)}, which blew up." if blown else None
    ends = {arm: arm_interval(group, "value") for arm, group in finals.groupby("arm", sort=False)}
    intervals = pd.DataFrame(
        [(arm, *values) for arm, values in ends.items()], columns=["arm", "mean", "low", "high"]
    )
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_final, finals, intervals, result.colours(), metric=column)
    return final_figure(finals, intervals, result.colours(), metric=column, note=note, **settings(paper))


def tuning_of(result: Result, paper: Paper) -> Figure:
    from .plots.tuning import draw_tuning, tuning_figure

    scores = result.tuning()
    if paper.ax is not None:
        return drawn_on(
            paper.ax, draw_tuning, scores, best_rates(scores), result.colours(), metric=result.tuned_by
        )
    return tuning_figure(
        scores, best_rates(scores), result.colours(), metric=result.tuned_by, **settings(paper)
    )


def pairs_of(result: Result, paper: Paper) -> Figure:
    from .plots.forest import draw_pairs, pairs_figure

    pairs = result.pairs()
    if pairs.empty:
        raise ComparisonError("pairs need a second arm beside the baseline; there is one arm")
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_pairs, pairs, result.colours(), metric=result.verdict_on)
    return pairs_figure(pairs, result.colours(), metric=result.verdict_on, **settings(paper))


def goal_of(result: Result, cost: str, paper: Paper) -> Figure:
    from .plots.clocks import clock_sentence
    from .plots.goal import draw_goal, goal_figure

    if cost not in XS[1:]:
        raise ComparisonError(f"a goal takes updates, samples or seconds, not {cost}")
    times = result.times_to_goal().rename(columns={cost: "value"})
    times = times[[*trial_key(times), "value"]]
    unit, note = cost, None
    if cost == "seconds":
        records = result.reported[0]
        note = clock_sentence(records) or None
        unit = "estimated" if estimated(records) else "shared" if on_shared_clock(records) else cost
        unit = cost if note else unit
    if paper.ax is not None:
        return drawn_on(paper.ax, draw_goal, times, result.colours(), goal=str(result.goal), unit=unit)
    return goal_figure(
        times, result.colours(), goal=str(result.goal), unit=unit, note=note, **settings(paper)
    )


def scaling_of(result: Result, paper: Paper) -> Figure:
    from .plots.batch_scaling import scaling_figure
    from .plots.looks import arm_colours, recoloured

    curves = result.scaling()
    if not curves:
        raise ComparisonError(f"there is nothing to draw: {result.recommendation()[0]}")
    looks = arm_colours([curve.optimizer for curve in curves])
    colours = recoloured(looks, result.appearance or {})
    title = f"{result.comparison.workload.label}: what the batch size costs to {result.goal}"
    return scaling_figure(curves, colours, goal=str(result.goal), title=title, **settings(paper))
