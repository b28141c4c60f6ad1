"""The panels that come along, and each as a figure of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ...core.columns import trial_key
from . import scales, style
from .clocks import clock_notes
from .curve_axes import ESTIMATED, MIXED, SHARED, x_name
from .curves import SIGNS, X, trial_counts
from .layout import Heading, figure_width, keyed_sheet, name_x_axis, shown_arms, text_size
from .panel import Panel
from .paths import END, START
from .scales import Limits
from .style import Floats

NBSP = "\u00a0"
DASH = 7.5
"""From one dash of an edge to the next, in widths of the line."""
RANDOM_WALK = "a random walk alone has 61% and 15%"


class BatchSize(Panel):
    """The mean batch size since the evaluation point before; shown where an arm changes it."""

    column = "mean_batch_size"
    name = "batch size"
    spread = 4.0
    steps = True

    def wants(self, table: pd.DataFrame) -> bool:
        made = table.loc[table["update"] > 0, ["arm", "batch_size", "samples", "epoch"]]
        whole = round(float((made["samples"] / made["epoch"]).median())) if len(made) else 0
        sizes = made.groupby("arm", sort=False, observed=True)["batch_size"].unique()
        return any(_changes({int(size) for size in found}, whole) for found in sizes)

    def missing(self) -> str:
        return "shows batch sizes that change, and no arm of this run changes its own"

    def limits(self, table: pd.DataFrame) -> Limits:
        return super().limits(with_mean_batch_size(table))

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        return super().draw(ax, with_mean_batch_size(table), colours, x)


def with_mean_batch_size(records: pd.DataFrame) -> pd.DataFrame:
    """The records with samples over updates since the trial's record before, in ``mean_batch_size``; NaN in
    its first.

    An epoch's last batch is shorter, and stands at every mark of a whole epoch: the size of the last update
    alone would show that instead.
    """
    if "mean_batch_size" in records:
        return records
    key = trial_key(records)
    ordered = records.sort_values([*key, "update"], kind="stable")
    steps = ordered.groupby(key, sort=False, observed=True)[["samples", "update"]].diff()
    mean = steps["samples"] / steps["update"].where(steps["update"] > 0)
    return records.assign(mean_batch_size=mean.reindex(records.index))


def _changes(sizes: set[int], whole: int) -> bool:
    """Whether an arm's batch sizes are other than one size and what it leaves of the training set, alone or
    merged.
    """
    return bool(sizes) and not any(
        sizes <= {size, whole % size, size + whole % size} for size in sizes if size
    )


class NoiseScale(Panel):
    """The gradient noise scale: the batch size at which a gradient's noise equals its length."""

    column = "noise_scale"
    name = "noise scale (samples)"


class GradCosine(Panel):
    """The cosine of the angle between gradients: 1 where they agree, 0 where they have nothing in common."""

    column = "grad_cosine"
    name = "gradient cosine"
    span = (-1.05, 1.05)

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        ax.axhline(0.0, color=style.MUTED, linewidth=0.8, zorder=1.5, label="_zero")
        return super().draw(ax, table, colours, x)


class Sharpness(Panel):
    """The largest eigenvalue of the Hessian, and where gradient descent becomes unstable: 2/lr, with momentum
    2(1+β)/lr.
    """

    column = "sharpness"
    name = "sharpness"

    def said(self, table: pd.DataFrame) -> str:
        if not table["edge"].notna().any():
            return ""
        return "Dashed: the edge of stability, 2/lr, with momentum 2(1+β)/lr."

    def limits(self, table: pd.DataFrame) -> Limits:
        kept = table[table["status"] != "diverged"] if (table["status"] != "diverged").any() else table
        return scales.limits_of(kept[["sharpness", "edge"]].to_numpy(float).ravel(), self.spread)

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        super().draw(ax, table, colours, x)
        rows = table[table["sharpness"].notna() & table["edge"].notna()]
        across = ax.get_xlim()
        same: dict[tuple[float, ...], list[str]] = {}
        for arm in shown_arms(list(rows["arm"].unique()), colours):
            same.setdefault(tuple(rows.loc[rows["arm"] == arm, "edge"].unique()), []).append(arm)
        turns = {arm: (turn, len(arms)) for arms in same.values() for turn, arm in enumerate(arms)}
        for arm, (turn, of) in turns.items():
            mine, colour = rows[rows["arm"] == arm], colours[arm]
            # Arms of one edge take turns, so that no line hides another.
            look: dict[str, Any] = {
                "color": colour,
                "linestyle": (DASH * (of - turn), (DASH - 2.5, DASH * of - DASH + 2.5)),
                "linewidth": 1.3,
                "zorder": 3.5,
                "label": "_edge",
            }
            repeats = [part for _, part in mine.groupby("repeat")] if "repeat" in mine else [mine]
            for of_one_rate in repeats:
                places, edges = _edge_line(of_one_rate, x, across)
                ax.plot(np.maximum(places, across[0]), edges, **look)
        return ax


def _edge_line(rows: pd.DataFrame, x: X, across: tuple[float, float]) -> tuple[Floats, Floats]:
    """Where the edge of stability lies along x: everywhere at the same height, else as on the first seed."""
    if rows["edge"].nunique() == 1:
        return np.array(across), np.full(2, float(rows["edge"].iloc[0]))
    one = rows[rows["seed"] == rows["seed"].min()].sort_values("mark", kind="stable")
    column = {"epochs": "epoch", "updates": "update"}.get(x, x)
    points = one[[column, "edge"]].to_numpy(float)
    jumps = np.diff(points[:, 1]) != 0
    # A rate that mostly stays as it is jumps now and then, and holds until it is seen to be another one (so
    # that its
    # points are stepped from the last on); one that is another each time falls along a curve.
    points = scales.stepped(points[::-1])[::-1] if jumps.mean() <= 0.5 else points
    return points[:, 0], points[:, 1]


class Plane(Panel):
    """Where the weights of each arm went, in the plane that holds most of all their ways (PCA of all arms
    together).
    """

    reads = "plane"

    def wants(self, table: pd.DataFrame) -> bool:
        return not table.empty

    def missing(self) -> str:
        return "needs the weights along the way; record them with plane"

    def said(self, table: pd.DataFrame) -> str:
        far = [str(arm) for arm in table.loc[~table["fitted"], "arm"].unique()]
        repeat = f", tuning repeat {int(table['repeat'].iloc[0])}" if "repeat" in table else ""
        seed = f"seed\u00a0{int(table['seed'].iloc[0])}{repeat}"
        text = f"Circle: start; diamonds: end ({seed}). For comparison: {RANDOM_WALK}."
        return f"{text} Far outside: {', '.join(far)}." if far else text

    def limits(self, table: pd.DataFrame) -> Limits:
        return _around(table.loc[table["fitted"], "y"])

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        size, dashes = text_size(figure_width(ax)), style.line_styles(colours)
        across, up = _around(table.loc[table["fitted"], "x"]), self.limits(table)
        far = 1e3 * np.array([across.high - across.low, up.high - up.low])
        ways = {arm: _way(table, arm, far) for arm in shown_arms(list(table["arm"]), colours)}
        # The longest way lies lowest, so that it buries none.
        for order, arm in enumerate(sorted(ways, key=lambda arm: _length(ways[arm]))):
            points = ways[arm]
            look: dict[str, Any] = {
                "colors": [colours[arm]],
                "linestyles": [dashes[arm]],
                "zorder": 4 - 0.01 * order,
                "label": arm,
            }
            ax.add_collection(LineCollection([points], linewidths=1.5, **look), autolim=False)
            dots: dict[str, Any] = {
                "marker": style.marker(colours[arm]),
                "linestyle": "none",
                "markersize": 3.0,
                "markeredgewidth": 0,
                "zorder": 4 - 0.01 * order,
            }
            ax.plot(*points.T, color=colours[arm], label="_mark", **dots)
            ax.plot(*points[:1].T, linestyle="none", zorder=5, label="_start", **{**START, "markersize": 6.0})
            ax.plot(
                *points[-1:].T, linestyle="none", zorder=6, color=colours[arm], **{**END, "markersize": 6.0}
            )
        style.dress(ax, size)
        scales.scale(ax, "x", across, size)
        scales.scale(ax, "y", up, size)
        name_x_axis(ax, _axis_name(table, "x"), size)
        ax.set_ylabel(_axis_name(table, "y"), size=size, color=style.INK, parse_math=False)
        return ax


def _way(table: pd.DataFrame, arm: str, far: Floats) -> Floats:
    """The places of an arm in the order of its updates, up to the first that is too far away to be drawn."""
    points = table[table["arm"] == arm].sort_values("update", kind="stable")[["x", "y"]].to_numpy(float)
    return points[np.logical_and.accumulate((np.abs(points) < far).all(axis=1))]


def _length(points: Floats) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _axis_name(table: pd.DataFrame, axis: str) -> str:
    which = {"x": "PCA 1", "y": "PCA 2"}[axis]
    return f"{which}: {100 * float(table[f'explained_{axis}'].iloc[0]):.3g}% of variance"


def _around(values: pd.Series[float]) -> Limits:
    low, high = float(values.min()), float(values.max())
    air = 0.06 * (high - low) or 1.0
    return Limits(low - air, high + air, "linear")


PANELS: dict[str, type[Panel]] = {
    "batch_size": BatchSize,
    "noise_scale": NoiseScale,
    "grad_cosine": GradCosine,
    "sharpness": Sharpness,
    "plane": Plane,
}
FIRST = ("plane", "batch_size", "sharpness", "noise_scale", "grad_cosine")
"""Which of them stand on the comparison plot where not all do."""


def _lines(panel: Panel, table: pd.DataFrame) -> str:
    """What thick, thin and marked lines mean."""
    if panel.reads != "records":
        return ""
    most, what = trial_counts(table).max(), style.what_counts(table)
    thin = f"each {what[:-1]}" if most <= style.DRAWN else style.drawn(most, what)
    said = [f"Thick lines: median over {what}; thin lines: {thin}."] if most > 1 else []
    stopped = [sign + status for status, sign in SIGNS.items() if status in set(table["status"])]
    return " ".join([*said, *([f"{', '.join(stopped)} (last finite value)."] if stopped else [])])


def _clock(table: pd.DataFrame) -> str:
    """How seconds that are not simply measured were found, which the short name of a panel's axis leaves
    out.
    """
    name = x_name("seconds", table)
    how = {ESTIMATED: "updates × time of one alone", SHARED: "several trials at once"}.get(name, "")
    if name == MIXED:
        return "Estimated time: updates × time of one alone."
    return f"Training time: {how}." if how else ""


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
    """A panel as one figure, ``width`` inches wide, with a key of the arms; see :class:`Panel` for the
    table.
    """
    arms = shown_arms(list(table["arm"].unique()), colours)
    with style.plain():
        said = [_lines(panel, table), panel.said(table), _clock(table) if x == "seconds" else ""]
        heading = Heading(width, title, " ".join(filter(None, said)), caption)
        clocks = clock_notes(table) if x == "seconds" else {}
        texts = {arm: f"{arm}, {clocks[arm].replace(' ', NBSP)}" if arm in clocks else arm for arm in arms}
        sheet, ax = keyed_sheet(heading, width, texts, colours, panel.limits(table))
        panel.draw(ax, table, {arm: colours[arm] for arm in arms}, x)
    return sheet.figure
