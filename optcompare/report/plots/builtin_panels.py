"""Define the panels that optcompare brings along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ...core.columns import trial_key
from . import scales, style
from .curves import X
from .layout import figure_width, name_x_axis, shown_arms, text_size
from .panel import Panel
from .paths import END, START
from .scales import Limits
from .style import Floats

DASH = 7.5
"""The length of a dash with its gap, in widths of the line."""
RANDOM_WALK = "a random walk alone has 61% and 15%"


class BatchSize(Panel):
    """Show the mean batch size since the previous evaluation point, if an arm changes it."""

    column = "mean_batch_size"
    name = "batch size"
    spread = 4.0
    steps = True

    def wants(self, table: pd.DataFrame) -> bool:
        trained = table.loc[table["update"] > 0, ["arm", "batch_size", "samples", "epoch"]]
        whole = round(float((trained["samples"] / trained["epoch"]).median())) if len(trained) else 0
        by_arm = trained.groupby("arm", sort=False, observed=True)["batch_size"].unique()
        return any(_changes({int(size) for size in sizes}, whole) for sizes in by_arm)

    def missing(self) -> str:
        return "shows batch sizes that change, and no arm of this run changes its own"

    def limits(self, table: pd.DataFrame) -> Limits:
        return super().limits(with_mean_batch_size(table))

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        return super().draw(ax, with_mean_batch_size(table), colours, x)


def with_mean_batch_size(records: pd.DataFrame) -> pd.DataFrame:
    """Add a column ``mean_batch_size``: samples per update since the previous record of the trial.

    The batch size of the last update alone would mislead: an epoch's last batch is shorter, and the
    evaluation point of a whole epoch always follows it.

    Args:
        records: The report's records.

    Returns:
        The records with the column, NaN in the first record of each trial.
    """
    if "mean_batch_size" in records:
        return records
    key = trial_key(records)
    ordered = records.sort_values([*key, "update"], kind="stable")
    steps = ordered.groupby(key, sort=False, observed=True)[["samples", "update"]].diff()
    mean = steps["samples"] / steps["update"].where(steps["update"] > 0)
    return records.assign(mean_batch_size=mean.reindex(records.index))


def _changes(sizes: set[int], whole: int) -> bool:
    """Return whether an arm changes its batch size.

    The shorter last batch of an epoch, alone or merged with another batch, is no change.
    """
    return bool(sizes) and not any(
        sizes <= {size, whole % size, size + whole % size} for size in sizes if size
    )


class NoiseScalePanel(Panel):
    """Show the gradient noise scale: the batch size at which a gradient's noise equals its length."""

    column = "noise_scale"
    name = "noise scale (samples)"


class GradCosine(Panel):
    """Show the cosine of the angle between gradients: 1 where they agree, 0 where they are orthogonal."""

    column = "grad_cosine"
    name = "gradient cosine"
    span = (-1.05, 1.05)

    def draw(self, ax: Axes, table: pd.DataFrame, colours: Mapping[str, str], x: X = "epochs") -> Axes:
        ax.axhline(0.0, color=style.MUTED, linewidth=0.8, zorder=1.5, label="_zero")
        return super().draw(ax, table, colours, x)


class Sharpness(Panel):
    """Show the largest eigenvalue of the Hessian, and the edge of stability of gradient descent.

    Above the edge gradient descent is unstable. It is 2/lr, or 2(1+β)/lr with momentum.
    """

    column = "sharpness"
    name = "sharpness"

    def explanation(self, table: pd.DataFrame) -> str:
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
            arm_rows, colour = rows[rows["arm"] == arm], colours[arm]
            # The dashes of arms with the same edge alternate, so that no line hides another.
            look: dict[str, Any] = {
                "color": colour,
                "linestyle": (DASH * (of - turn), (DASH - 2.5, DASH * of - DASH + 2.5)),
                "linewidth": 1.3,
                "zorder": 3.5,
                "label": "_edge",
            }
            several = "repeat" in arm_rows
            repeats = [part for _, part in arm_rows.groupby("repeat")] if several else [arm_rows]
            for of_one_rate in repeats:
                places, edges = _edge_line(of_one_rate, x, across)
                ax.plot(np.maximum(places, across[0]), edges, **look)
        return ax


def _edge_line(rows: pd.DataFrame, x: X, across: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return x and height of the edge of stability, float[n] each.

    The height is that of the first seed if the edge changes during training.
    """
    if rows["edge"].nunique() == 1:
        return np.array(across), np.full(2, float(rows["edge"].iloc[0]))
    one = rows[rows["seed"] == rows["seed"].min()].sort_values("mark", kind="stable")
    column = {"epochs": "epoch", "updates": "update"}.get(x, x)
    points = one[[column, "edge"]].to_numpy(float)
    jumps = np.diff(points[:, 1]) != 0
    # A rate that mostly stays constant is drawn as steps, each reaching back to the previous record. A rate
    # that differs at most records is drawn as a curve.
    points = scales.stepped(points[::-1])[::-1] if jumps.mean() <= 0.5 else points
    return points[:, 0], points[:, 1]


class Plane(Panel):
    """Show the path of each arm's weights in the plane that holds most of the variance of all paths (PCA)."""

    reads = "plane"

    def wants(self, table: pd.DataFrame) -> bool:
        return not table.empty

    def missing(self) -> str:
        return "needs the weights along the way; record them with plane"

    def explanation(self, table: pd.DataFrame) -> str:
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
        paths = {arm: _path(table, arm, far) for arm in shown_arms(list(table["arm"]), colours)}
        # The longest path lies lowest, so that it hides no other.
        for order, arm in enumerate(sorted(paths, key=lambda arm: _length(paths[arm]))):
            points = paths[arm]
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


def _path(table: pd.DataFrame, arm: str, far: Floats) -> Floats:
    """Return the path of an arm in the order of its updates, up to the first point too far away to draw."""
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
    "noise_scale": NoiseScalePanel,
    "grad_cosine": GradCosine,
    "sharpness": Sharpness,
    "plane": Plane,
}
FIRST = ("plane", "batch_size", "sharpness", "noise_scale", "grad_cosine")
"""The order of precedence on the comparison plot, which has no room for all."""
