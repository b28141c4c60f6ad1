"""Draw paired differences to the baseline as a forest plot: a row for each arm, with wins, losses and p."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...core.formatting import probability
from . import scales, style
from .curve_axes import metric_name
from .final_values import Interval, draw_interval
from .layout import Heading, by_arm, counted, figure_width, name_x_axis, shown_arms, signed
from .row_chart import Rows, row_sheet
from .row_text import Cell, TextColumn
from .scales import Limits

BAND = "#DADDE2"
WIDE = 6.0
"""The width in inches from which the differences are also shown as numbers."""


def pair_limits(pairs: pd.DataFrame) -> Limits:
    """Return limits that hold zero, the control's spread, the margin, and most of the intervals.

    Intervals are shown up to four times the median extent of the arms.

    Args:
        pairs: See :func:`draw_pairs`.
    """
    ends = pairs.loc[np.isfinite(pairs["difference"]), ["difference", "low", "high"]].to_numpy(float)
    spreads = pairs[["control_spread", "margin"]].to_numpy(float)
    spread = float(spreads[np.isfinite(spreads)].max(initial=0.0))
    if not len(ends):
        return Limits(-(1.2 * spread or 1.0), 1.2 * spread or 1.0, "linear")
    extents = np.nanmax(np.abs(ends), axis=1)
    far = 4 * float(np.median(extents)) or float(extents.max()) or spread or 1.0
    low = max(min(float(np.nanmin(ends)), -min(spread, far), 0.0), -far)
    high = min(max(float(np.nanmax(ends)), min(spread, far), 0.0), far)
    air = 0.06 * (high - low)
    return Limits(low - air, high + air, "linear")


def pair_columns(pairs: pd.DataFrame, width: float) -> list[TextColumn]:
    """Return the text next to the rows: wins, losses, ties and p, and differences in a wide figure.

    Args:
        pairs: See :func:`draw_pairs`.
        width: The width of the figure in inches.
    """
    rows = by_arm(pairs)
    claimed = frozenset(arm for arm, row in rows.items() if row["claimed"])
    won = {arm: f"{row['wins']:.0f}/{row['losses']:.0f}/{row['ties']:.0f}" for arm, row in rows.items()}
    p_values = {arm: probability(float(row["p_holm"])) for arm, row in rows.items()}
    columns = [
        TextColumn("won/lost/tied" if width >= WIDE else "won/lost\n/tied", won),
        TextColumn("Holm p", p_values, claimed),
    ]
    if width < WIDE:
        return columns
    differences = {
        arm: _with_interval(row["difference"], row["low"], row["high"]) for arm, row in rows.items()
    }
    return [TextColumn("mean difference [95% interval]", differences, claimed), *columns]


def _with_interval(difference: float, low: float, high: float) -> str:
    if math.isnan(difference):
        return "–"
    return signed(difference) + (f" [{signed(low)}, {signed(high)}]" if math.isfinite(low) else "")


def pair_axis_name(pairs: pd.DataFrame, metric: str) -> str:
    """Name the x axis: what the differences are, and which side is better for the arm.

    Args:
        pairs: See :func:`draw_pairs`.
        metric: The compared column.
    """
    name = metric_name(metric)
    side = "below 0: lower loss" if metric.endswith("_loss") else "above 0: higher value"
    return f"final {name}, difference to {pairs['baseline'].iloc[0]}\n({side})"


def draw_pairs(
    ax: Axes, pairs: pd.DataFrame, colours: Mapping[str, str], *, metric: str = "train_loss"
) -> Axes:
    """Draw a row for each arm: its mean difference to the baseline with the 95% interval, and zero.

    A claimed difference is filled, thick and bold, any other is hollow and thin. A grey band around zero
    shows how far rounding alone moves one seed; dotted lines show the margin. A row without a mean shows how
    many of the shared seeds were won.

    Args:
        ax: The axes to draw on.
        pairs: The table of :func:`optcompare.analysis.paired.pairs`.
        colours: The colours by arm.
        metric: The compared column.

    Returns:
        The axes.
    """
    arms = shown_arms(list(pairs["arm"]), colours)
    table = by_arm(pairs)
    rows = Rows(ax, arms, colours, pair_columns(pairs, figure_width(ax)))
    limits = pair_limits(pairs)
    scales.scale(ax, "x", limits, rows.size)
    name_x_axis(ax, pair_axis_name(pairs, metric), rows.size)
    ax.axvline(0.0, color=style.INK, linewidth=1.0, zorder=2, label="_zero")
    for end in (-1.0, 1.0) if pairs["margin"].notna().any() else ():
        ax.axvline(
            end * float(pairs["margin"].iloc[0]), color=style.INK, linewidth=0.8, linestyle=":", zorder=2
        )
    for i, arm in enumerate(arms):
        row, colour, spread = table[arm], colours[arm], float(table[arm]["control_spread"])
        if math.isfinite(spread):
            ax.add_patch(
                Rectangle((-spread, i - 0.5), 2 * spread, 1, facecolor=BAND, edgecolor="none", zorder=1)
            )
        interval = Interval(*(float(row[name]) for name in ("difference", "low", "high")))
        if math.isnan(interval.mean):
            won = counted(int(row["wins"]), int(row["wins"] + row["losses"] + row["ties"]), "won")
            rows.write(arm, Cell(won, style.text_colour(colour), "center", box=True), 0.5)
            continue
        size, claimed = 1.15 * rows.size, bool(row["claimed"])
        draw_interval(ax, rows.middle[arm], interval, limits, colour, size=size, strong=claimed)
        if not limits.low <= interval.mean <= limits.high:
            beyond = interval.mean > limits.high
            cell = Cell(signed(interval.mean), ha="right" if beyond else "left", box=True)
            rows.write(arm, cell, float(beyond), x=-rows.size if beyond else rows.size)
    return ax


def what_is_claimed(pairs: pd.DataFrame) -> str:
    """Explain marks and band, rows without a mean, and what is missing for a claim.

    Args:
        pairs: See :func:`draw_pairs`.
    """
    sentences = ["Mean difference over paired trials with its 95% interval; claims are by exact tests."]
    claimed = pairs["claimed"].astype(bool)
    if claimed.any():
        sentences.append("Filled: claimed; hollow: not.")
    else:
        sentences.append("Nothing is claimed" + ("." if pairs["enough_seeds"].all() else ": too few seeds."))
    if np.isfinite(pairs["control_spread"]).any():
        sentences.append("Grey band: ± how far rounding alone moves one seed (standard deviation).")
    equal = list(pairs.loc[pairs["equal_claimed"].astype(bool), "arm"])
    if pairs["margin"].notna().any():
        sentences.append(f"Dotted: the margin; within it, as a test claims: {', '.join(equal) or 'none'}.")
    if pairs["difference"].isna().any():
        sentences.append("No mean is given where a seed diverged.")
    return " ".join(sentences)


def pairs_figure(
    pairs: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    metric: str = "train_loss",
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw the forest plot as a figure.

    Args:
        pairs: See :func:`draw_pairs`.
        colours: The colours by arm.
        width: The width in inches.
        metric: The compared column.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    arms = shown_arms(list(pairs["arm"]), colours)
    text = what_is_claimed(pairs)
    with style.plain():
        heading = Heading(width, None, f"{text} {note}" if note else text, caption)
        columns = pair_columns(pairs, width)
        name = pair_axis_name(pairs, metric)
        sheet, ax = row_sheet(heading, arms, width, body=17.0, x_name=name, columns=columns)
        draw_pairs(ax, pairs, colours, metric=metric)
    return sheet.figure
