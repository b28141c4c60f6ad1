"""Draw how much the learning rate matters: the score of every arm against the rates that tuning tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ...analysis.lr_scores import tuned_key
from ...core.formatting import number
from . import scales, style
from .curve_axes import metric_name
from .key import keyed_sheet
from .layout import Heading, figure_width, name_x_axis, shown_arms, text_size
from .scales import Limits
from .style import Floats

MANY = 6
"""The largest number of arms for which the bands of the seeds are drawn: more bands would hide each other."""
CROSS = 0.8
"""The distance from one × to the next, in heights of the text."""


def score_limits(scores: pd.DataFrame) -> Limits:
    """Return limits that hold the better half of each arm's scores.

    They reach up to thirty times the highest of these at most. The scores of rates that almost diverged are
    thus beyond the axes, and those of good rates remain distinct.

    Args:
        scores: See :func:`draw_tuning`.
    """
    finite = scores[np.isfinite(scores["score"])]
    values = finite["score"].to_numpy(float)
    if not len(values) or values.min() <= 0:
        return scales.limits_of(values, spread=math.inf if len(values) and values.min() < 0 else 10.0)
    core = float(finite.groupby("arm")["score"].median().max())
    low, high = float(values.min()), min(float(values.max()), 30 * core)
    air = max((high / low) ** 0.08, 1.05)
    return Limits(low / air, high * air, "log")


def rate_limits(scores: pd.DataFrame) -> Limits:
    """Return the limits of a log axis of all rates, with space for the marks at its ends.

    Args:
        scores: See :func:`draw_tuning`.
    """
    rates = scores["lr"].to_numpy(float)
    low, high = (float(rates.min()), float(rates.max())) if len(rates) else (0.1, 1.0)
    air = max((high / low) ** 0.05, 1.3)
    return Limits(low / air, high * air, "log")


def draw_tuning(
    ax: Axes,
    scores: pd.DataFrame,
    best: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    metric: str = "valid_loss",
) -> Axes:
    """Draw each arm's score against the learning rate, both log, with its optimum marked.

    The optimum is a large mark; at the edge of the grid it is a triangle that points to possibly better
    rates. A rate that diverged is an × at the top edge; those of several arms are stacked.

    Args:
        ax: The axes to draw on.
        scores: The columns ``arm, lr, score`` (infinite if the rate diverged, NaN if unknown), and optionally
            ``low`` and ``high``, which are drawn as a band.
        best: The columns ``arm, lr, score, at_edge``.
        colours: The colours by arm.
        metric: The name of the score.

    Returns:
        The axes.
    """
    size, arms = text_size(figure_width(ax)), shown_arms(list(scores["arm"]), colours)
    style.dress(ax, size)
    across, up = rate_limits(scores), score_limits(scores)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", up, size)
    for arm in arms:
        _draw_scores(ax, scores[scores["arm"] == arm], colours[arm], few=len(arms) <= MANY)
    _draw_diverged(ax, scores, colours, up.high, size)
    for row in best.to_dict("records"):
        if row["arm"] in arms and math.isfinite(row["score"]):
            tried = (scores[tuned_key(scores)] == [row[name] for name in tuned_key(scores)]).all(axis=1)
            rates = scores.loc[tried, "lr"].to_numpy(float)
            _draw_best(ax, rates, (row["lr"], row["score"]), colours[row["arm"]], size, row["at_edge"])
    name_x_axis(ax, "learning rate", size)
    name = metric if _to_a_goal(metric) else f"final {metric_name(metric)}"
    ax.set_ylabel(name, size=size, color=style.INK, parse_math=False)
    return ax


def _draw_scores(ax: Axes, scores: pd.DataFrame, colour: str, *, few: bool) -> None:
    """Draw the lines of one arm, and the band of its seeds where there are few arms."""
    repeats = [part for _, part in scores.groupby("repeat")] if "repeat" in scores else [scores]
    alone = len(repeats) == 1
    look: dict[str, Any] = {
        "color": colour,
        "linestyle": style.dashes(colour),
        "linewidth": 1.8 if few and alone else 1.4 if alone else 0.9,
        "marker": style.marker(colour),
        "markersize": 3.2,
        "label": scores["arm"].iloc[0],
    }
    for part in repeats:
        rows = part.sort_values("lr", kind="stable")
        rates, values = rows["lr"].to_numpy(float), rows["score"].to_numpy(float)
        ax.plot(rates, np.where(np.isfinite(values), values, np.nan), **look)
    if {"low", "high"} <= set(scores.columns) and few and alone:
        band = rows[["low", "high"]].to_numpy(float).T
        ax.fill_between(rates, *np.where(np.isfinite(band), band, np.nan), color=colour, alpha=0.13, lw=0)


def _draw_best(
    ax: Axes, rates: Floats, best: tuple[float, float], colour: str, size: float, at_edge: bool
) -> None:
    """Draw the best rate and its score as a large mark, or as a triangle at the edge of the grid."""
    ax.plot(
        *([value] for value in best),
        marker=_edge_marker(rates, best[0]) if at_edge else style.marker(colour),
        markersize=(1.15 if at_edge else 0.9) * size,
        color=colour,
        label="_best",
        markeredgecolor="white",
        markeredgewidth=0.8,
        zorder=6,
        linestyle="none",
    )


def _edge_marker(rates: Floats, rate: float) -> str:
    return ">" if rate >= rates.max() and rates.max() > rates.min() else "<"


def _diverged(scores: pd.DataFrame, colours: Mapping[str, str]) -> list[tuple[float, str]]:
    """Return rate and arm of what diverged, sorted by rate and then by the order of the arms."""
    lost = scores[np.isinf(scores["score"])]
    pairs = {
        (float(rate), str(arm)) for rate, arm in lost[["lr", "arm"]].itertuples(index=False) if arm in colours
    }
    order = {arm: i for i, arm in enumerate(colours)}
    return sorted(pairs, key=lambda pair: (pair[0], order[pair[1]]))


def crosses(scores: pd.DataFrame, colours: Mapping[str, str], width: float, size: float) -> list[int]:
    """Return the row above the axes for the × of each rate that diverged, so that no two touch.

    Args:
        scores: See :func:`draw_tuning`.
        colours: The colours by arm.
        width: The width of the axes in points.
        size: The height of the text in points.
    """
    limits = rate_limits(scores)
    places = [
        width * math.log(rate / limits.low) / math.log(limits.high / limits.low)
        for rate, _ in _diverged(scores, colours)
    ]
    return scales.stacked([(place, place) for place in places], CROSS * size)


def _draw_diverged(
    ax: Axes, scores: pd.DataFrame, colours: Mapping[str, str], top: float, size: float
) -> None:
    rows = crosses(scores, colours, scales.size(ax)[0], size)
    for (rate, arm), row in zip(_diverged(scores, colours), rows, strict=True):
        above = ax.transData + ScaledTranslation(0, row * CROSS * size / 72, ax.figure.dpi_scale_trans)
        look: dict[str, Any] = {
            "markersize": 0.6 * size,
            "markeredgewidth": 1.4,
            "zorder": 5,
            "clip_on": False,
        }
        ax.plot([rate], [top], "x", color=colours[arm], transform=above, label="_diverged", **look)


def meaning_of_infinite(metric: str) -> str:
    """Return the meaning of an infinite score: a missed goal if the goal chooses rates, else a lost trial.

    Args:
        metric: The name of the score.
    """
    return "missed the goal" if _to_a_goal(metric) else "lost"


def _to_a_goal(metric: str) -> bool:
    return metric.startswith("samples to ")


def best_texts(
    best: pd.DataFrame, colours: Mapping[str, str], arms: list[str], metric: str = "valid_loss"
) -> dict[str, str]:
    """Return each arm's best rate, and whether it is at the edge of the grid, or that every rate was lost.

    Args:
        best: See :func:`draw_tuning`.
        colours: The colours by arm.
        arms: The labels of the arms.
        metric: The name of the score.

    Returns:
        A text such as ``mini:2: best at 0.03`` by arm.
    """
    texts = {}
    for arm in shown_arms(arms, colours):
        rows = best[best["arm"] == arm]
        known = rows[np.isfinite(rows["score"])]
        if len(known):
            edges = int(known["at_edge"].sum())
            of = f" in {edges} of {len(rows)} repeats" if len(rows) > 1 else ""
            low, high = (f"{rate:.3g}" for rate in (known["lr"].min(), known["lr"].max()))
            text = f"best at {low if low == high else f'{low} to {high}'}"
            text += f", at the edge of its grid{of}" if edges else ""
        else:
            text = f"all {meaning_of_infinite(metric)}" if np.isinf(rows["score"]).any() else "not tuned"
        texts[arm] = f"{arm}: " + text.replace(" ", "\u00a0").replace(",\u00a0", ", ")
    return texts


def what_is_marked(scores: pd.DataFrame, best: pd.DataFrame, metric: str = "valid_loss") -> str:
    """Explain marks, triangles, crosses and bands.

    Args:
        scores: See :func:`draw_tuning`.
        best: See :func:`draw_tuning`.
        metric: The name of the score.
    """
    repeats = scores["repeat"].nunique() if "repeat" in scores else 1
    sentences = ["Large mark: the best rate."]
    if repeats > 1:
        sentences = [f"A line for each of {repeats} tuning repeats. Large marks: the best rates."]
    if best["at_edge"].any():
        sentences.append("Triangle: the best is at the edge of the grid, a better one may lie beyond.")
    if np.isinf(scores["score"]).any():
        reason = "" if _to_a_goal(metric) else " (diverged or failed)"
        sentences.append(f"×:\u00a0{meaning_of_infinite(metric)}{reason}.")
    finite = scores.loc[np.isfinite(scores["score"]), "score"]
    if (finite > score_limits(scores).high).any():
        sentences.append(f"Lines that leave at the top: scores up to {number(float(finite.max()))}.")
    if {"low", "high"} <= set(scores.columns) and scores["arm"].nunique() <= MANY and repeats == 1:
        sentences.append("Bands: over the tuning seeds.")
    return " ".join(sentences)


def tuning_figure(
    scores: pd.DataFrame,
    best: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    width: float = 7.0,
    metric: str = "valid_loss",
    note: str | None = None,
    caption: bool = True,
) -> Figure:
    """Draw the sensitivity to the learning rate as a figure.

    Args:
        scores: See :func:`draw_tuning`.
        best: See :func:`draw_tuning`.
        colours: The colours by arm.
        width: The width in inches.
        metric: The name of the score.
        note: Added to the caption.
        caption: Whether the caption is drawn.

    Returns:
        The figure.
    """
    explanation = what_is_marked(scores, best, metric)
    texts = best_texts(best, colours, list(scores["arm"]), metric)
    with style.plain():
        text = f"{explanation} {note}" if note else explanation
        heading = Heading(width, None, text, caption)
        size = text_size(width)
        rows = max(crosses(scores, colours, 72 * 0.55 * width, size), default=0)
        above = CROSS * size * (rows + 0.5) / 72
        sheet, ax = keyed_sheet(heading, width, texts, colours, score_limits(scores), above)
        draw_tuning(ax, scores, best, colours, metric=metric)
    return sheet.figure
