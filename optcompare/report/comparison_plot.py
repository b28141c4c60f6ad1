"""Draw the comparison plot of a result, with its metrics, headline, colours and panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.headline import headline
from ..analysis.stability import stability_edges
from ..errors import USER_CODE_ERRORS
from .paper import check_metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .plots.panel import Panel
    from .result import Result


def comparison_plot(
    result: Result, metric: str | None = None, *, width: float | None = None, caption: bool = True
) -> Figure:
    """Draw the comparison plot.

    Args:
        result: The result of a comparison.
        metric: A column of the records; None: as :meth:`.result.Result.plot` chooses.
        width: The width in inches; None: 10.
        caption: Whether title and explanations are drawn.

    Returns:
        The figure.

    Raises:
        ComparisonError: There is no such column.
    """
    from .plots.comparison import Content, comparison_figure

    if metric is not None:
        check_metric(metric, result.reported[0])
    missing = result.unfinished if result.is_under_way else "interrupted: results so far"
    content = Content(
        metrics=[metric] if metric else result.shown_metrics(),
        final="test_loss" if metric is None and "test_loss" in result.records else None,
        panels=wanted_panels(result),
        paths=result.paths,
    )
    return comparison_figure(
        *result.reported,
        colours_of(result),
        content=content,
        title=headline_of(result, metric),
        note=None if result.status == "finished" else missing,
        width=10.0 if width is None else width,
        caption=caption,
    )


def colours_of(result: Result) -> dict[str, str]:
    """Return the look of each arm by its label: a colour, with a marker and dashes.

    Args:
        result: The result of a comparison.
    """
    from .plots.looks import arm_colours

    chosen = result.appearance or {}
    looks = arm_colours([arm.label for arm in result.comparison.arms])
    return {arm: chosen.get(arm, colour) for arm, colour in looks.items()}


def headline_of(result: Result, metric: str | None) -> str:
    """State the finding in a few words, with the compared column if the figure shows another one.

    Args:
        result: The result of a comparison.
        metric: The column that the figure shows.
    """
    seeds = int(result.reported[1]["seed"].nunique())
    compared = result.verdict_on if metric not in (None, result.verdict_on) else ""
    goal = str(result.goal) if result.goal else ""
    return headline(result.comparison.workload.label, result.pairs(), result.baseline, seeds, goal, compared)


def wanted_panels(result: Result) -> list[tuple[str, Panel, pd.DataFrame]]:
    """Return each panel that has something to show, with its name and its table, those of plugins first.

    Args:
        result: The result of a comparison.
    """
    from .plots.builtin_panels import FIRST, PANELS

    panels = {name: make() for name, make in PANELS.items()} if result.panels is None else result.panels
    tables = panel_tables(result)
    known = [(name, panel, tables[panel.reads]) for name, panel in panels.items() if panel.reads in tables]
    order = {name: number for number, name in enumerate(FIRST)}
    return sorted((each for each in known if _wants(*each[1:])), key=lambda each: order.get(each[0], -1))


def panel_tables(result: Result) -> dict[str, pd.DataFrame]:
    """Return the tables that panels read, by name; see :class:`optcompare.Panel`.

    Args:
        result: The result of a comparison.
    """
    from .plots.curves import with_status

    records, trials = result.reported
    if records.empty:
        return {}
    records = with_status(records.assign(edge=stability_edges(records, result.comparison)), trials)
    return {"records": records} | ({} if result.plane is None else {"plane": result.plane})


def _wants(panel: Panel, table: pd.DataFrame) -> bool:
    """Return whether a panel has something to show; True if it raises, so that its failure is drawn."""
    try:
        return panel.wants(table)
    except USER_CODE_ERRORS:
        return True
