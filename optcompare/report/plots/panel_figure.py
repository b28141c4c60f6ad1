"""Draw a panel as a separate figure."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from . import style
from .clocks import clock_notes
from .curve_axes import ESTIMATED, MIXED, SHARED, x_name
from .curves import SIGNS, X, trial_counts
from .key import keyed_sheet
from .layout import Heading, shown_arms
from .panel import Panel

NBSP = "\u00a0"


def panel_figure(
    panel: Panel,
    table: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    x: X = "epochs",
    width: float = 7.0,
    title: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw a panel as one figure, with a key of the arms.

    Args:
        panel: The panel.
        table: The table that the panel reads; see :class:`.panel.Panel`.
        colours: The colours by arm.
        x: epochs, updates, samples or seconds.
        width: The width of the figure in inches.
        title: The title, if any.
        caption: Whether the explanation is drawn.

    Returns:
        The figure.
    """
    arms = shown_arms(list(table["arm"].unique()), colours)
    with style.plain():
        texts = [_lines(panel, table), panel.explanation(table), _clock(table) if x == "seconds" else ""]
        heading = Heading(width, title, " ".join(filter(None, texts)), caption)
        clocks = clock_notes(table) if x == "seconds" else {}
        names = {arm: f"{arm}, {clocks[arm].replace(' ', NBSP)}" if arm in clocks else arm for arm in arms}
        sheet, ax = keyed_sheet(heading, width, names, colours, panel.limits(table))
        panel.draw(ax, table, {arm: colours[arm] for arm in arms}, x)
    return sheet.figure


def _lines(panel: Panel, table: pd.DataFrame) -> str:
    """Explain thick, thin and marked lines."""
    if panel.reads != "records":
        return ""
    most, what = trial_counts(table).max(), style.what_counts(table)
    thin = f"each {what[:-1]}" if most <= style.DRAWN else style.drawn(most, what)
    lines = [f"Thick lines: median over {what}; thin lines: {thin}."] if most > 1 else []
    stopped = [sign + status for status, sign in SIGNS.items() if status in set(table["status"])]
    return " ".join([*lines, *([f"{', '.join(stopped)} (last finite value)."] if stopped else [])])


def _clock(table: pd.DataFrame) -> str:
    """Explain seconds that were not simply measured, which the short name of the axis does not mention."""
    name = x_name("seconds", table)
    clock = {ESTIMATED: "updates × time of one alone", SHARED: "several trials at once"}.get(name, "")
    if name == MIXED:
        return "Estimated time: updates × time of one alone."
    return f"Training time: {clock}." if clock else ""
