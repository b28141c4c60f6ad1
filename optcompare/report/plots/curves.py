"""Records as curves: medians over seeds, limits that no diverging arm can squash, and one panel of them.

Records become curves and limits first; what draws takes a DataFrame and an Axes, returns the Axes, and
neither shows nor saves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from ...analysis.statistics import estimated, on_shared_clock
from ...core.columns import trial_key
from ...core.goal import TRAIN, VALID
from . import scales, style
from .clocks import clock_notes
from .layout import figure_width, text_size
from .scales import Limits
from .style import Floats

X = Literal["epochs", "updates", "seconds", "samples"]
COLUMNS: dict[X, str] = {"epochs": "epoch", "updates": "update", "seconds": "seconds", "samples": "samples"}
X_NAMES: dict[X, str] = {
    "epochs": "epochs\n(passes over the training set)",
    "updates": "updates\n(optimizer steps)",
    "seconds": "training time (s)\n(measuring not counted)",
    "samples": "samples\n(gradients evaluated)",
}
ESTIMATED = "training time (s)\n(updates × time of one alone)"
SHARED = "training time (s)\n(several trials at once)"
MIXED = "training time (s; some estimated:\nupdates × time of one alone)"
"""Where arms differ in their clock, which stands beside their names."""
_SETS = {"train": "training", "valid": "validation", "test": "test"}
STOPPED = {"diverged": "x", "failed": "+"}
SIGNS = {"diverged": "× ", "failed": "+ "}


@dataclass(frozen=True)
class Curves:
    """One arm as it is drawn: points are (x, metric).

    ``trials`` has one float[n, 2] each, for at most ``style.DRAWN`` of them; ``median`` is float[m, 2] over
    all, NaN where the median is infinite; ``stopped`` gives by status the last finite point of each trial
    that diverged or failed.
    """

    trials: list[Floats]
    median: Floats
    stopped: dict[str, Floats]

    @property
    def end(self) -> tuple[float, float]:
        """The last point of the median; its loss is infinite where most seeds diverged, or none was
        measured.
        """
        if not len(self.median) or math.isnan(self.median[-1, 1]):
            return math.nan, math.inf
        return float(self.median[-1, 0]), float(self.median[-1, 1])


def with_status(records: pd.DataFrame, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """The records by mark, with a column ``status``: the trial's, or 'diverged' where its last loss is not
    finite.

    Its texts are categories: millions of those are far faster told apart, and picked.
    """
    if "status" in records:
        return records
    texts = [name for name in ("workload", "arm", "clock") if name in records]
    records = records.assign(**{name: _category(records[name]) for name in texts})
    records = records.sort_values("mark", kind="stable", ignore_index=True)
    key = trial_key(records)
    number = records.groupby(key, sort=False).ngroup().to_numpy()
    last = records.iloc[_last_places(number)][[*key, "train_loss"]]
    status = np.full(len(last), "finished", dtype=object)
    if trials is not None and not trials.empty:
        known = trials.drop_duplicates(key, keep="last")[[*key, "status"]]
        found = last[key].astype({"arm": known["arm"].dtype}).merge(known, on=key, how="left")
        status = found["status"].fillna("finished").to_numpy(object)
    status[~np.isfinite(last["train_loss"].to_numpy(float))] = "diverged"
    records["status"] = _category(pd.Series(status)).take(number)
    return records


def _category(texts: pd.Series) -> pd.Categorical[Any]:
    """As categories in the order of their appearance."""
    places, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(places, dtype=pd.CategoricalDtype(list(distinct)))


def _last_places(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Where each of the numbers, which begin at 0, stands for the last time."""
    places = np.zeros(numbers.max(initial=-1) + 1, dtype=np.int64)
    places[numbers] = np.arange(len(numbers))
    return places


def numbered_trials(rows: pd.DataFrame) -> NDArray[np.int64]:
    """For each row of an arm the same number for the same trial, rising with seeds and then with tuning
    repeats.
    """
    numbers = rows["seed"] if "repeat" not in rows else rows.groupby(["seed", "repeat"]).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def trial_counts(records: pd.DataFrame) -> pd.Series[int]:
    """How many trials each arm has."""
    if "repeat" not in records:
        return records.groupby("arm", observed=True)["seed"].nunique()
    return records.drop_duplicates(trial_key(records)).groupby("arm", observed=True).size()


def arm_curves(rows: pd.DataFrame, x: X, metric: str = "train_loss") -> Curves:
    """The curves of one arm, whose ``rows`` have a status.

    The median, of x and of the metric, is over the trials that were not cut short, at the marks where all of
    them were measured. A trial that diverged counts as +inf from there on, so that it never leaves the median
    to the luckier seeds.
    """
    marks, row = np.unique(rows["mark"].to_numpy(), return_inverse=True)
    seeds, first, column = np.unique(numbered_trials(rows), return_index=True, return_inverse=True)
    place, loss = np.full((2, len(marks), len(seeds)), np.nan)
    place[row, column] = rows[COLUMNS[x]].to_numpy(float)
    loss[row, column] = rows[metric].fillna(np.inf).to_numpy(float)
    status = rows["status"].iloc[first].to_numpy(object)
    seen = ~np.isnan(loss)
    trials = [np.column_stack([place[seen[:, i], i], loss[seen[:, i], i]]) for i in style.spread(len(seeds))]
    stopped = {name: _lasts(place, loss, status == name) for name in STOPPED}
    stopped = {name: points for name, points in stopped.items() if len(points)}
    whole = np.isin(status.astype(str), ["finished", "diverged"])
    whole = whole if whole.any() else np.ones(len(seeds), dtype=bool)
    after = np.cumsum(seen[::-1], axis=0)[::-1] == 0
    counted = np.where(after & (status == "diverged"), np.inf, loss)[:, whole]
    common = ~np.isnan(counted).any(axis=1) & ~np.isnan(place[:, whole]).all(axis=1)
    median = np.median(counted[common], axis=1)
    middle = np.nanmedian(place[:, whole][common], axis=1)
    median[~np.isfinite(median)] = np.nan
    return Curves(trials, np.column_stack([middle, median]), stopped)


def _lasts(place: Floats, loss: Floats, which: NDArray[np.bool_]) -> Floats:
    """The last finite point of each of these columns that has one, float[n, 2]."""
    finite = np.isfinite(loss) & which
    columns = np.flatnonzero(finite.any(axis=0))
    rows = len(loss) - 1 - finite[::-1, columns].argmax(axis=0)
    return np.column_stack([place[rows, columns], loss[rows, columns]])


def loss_limits(records: pd.DataFrame, metric: str = "train_loss") -> Limits:
    """The limits of the loss axis: log where all values are positive, log down to zero where some are zero.

    Those of a metric that is no loss are linear; a diagnostic's are as :func:`.scales.limits_of` finds them.
    They hold the starts, the end of each arm's median trial, and 95% of what each arm measured, with room of
    a factor of 3 (linear: half the range) for the rest: neither a diverged trial nor a spike squashes the
    others. Nothing higher than 100 times the start (linear: twice the way down above it) is shown.
    """
    key = trial_key(records)
    finite = records[[*key, "status", metric]][np.isfinite(records[metric])]
    kept = finite[finite["status"] != "diverged"]
    kept = kept if len(kept) else finite
    if kept.empty:
        return Limits(0.0, 1.0, "linear")
    if not metric.endswith("_loss"):
        return scales.limits_of(
            kept[metric].to_numpy(float), math.inf if metric.startswith((TRAIN, VALID)) else 10.0
        )
    values, by_arm = kept[metric], kept.groupby("arm", sort=False)[metric]
    trials = kept.groupby(key, sort=False)[metric]
    starts, ends = trials.first(), trials.last().groupby("arm").median()
    bulk = by_arm.quantile(0.05, interpolation="higher"), by_arm.quantile(0.95, interpolation="lower")
    core, start = pd.concat([*bulk, starts, ends], ignore_index=True), float(starts.max())
    if values.min() < 0 or values.max() <= 0:
        drop = start - float(core.min())
        low, high = _around(
            core, values, 0.5 * float(core.max() - core.min()), start + 2 * drop if drop else math.inf
        )
        return Limits(low, high, "linear")
    core = core if core.max() > 0 else values
    ceiling = math.log10(start) + 2 if start > 0 else math.inf
    low, high = _around(np.log10(core[core > 0]), np.log10(values[values > 0]), math.log10(3), ceiling)
    if values.min() > 0:
        return Limits(10**low, 10**high, "log")
    first = 10.0 ** math.floor(low)
    return Limits(-0.15 * first, 10**high, "symlog", first)


def _around(
    core: pd.Series[float], values: pd.Series[float], room: float, ceiling: float
) -> tuple[float, float]:
    low, high = max(values.min(), core.min() - room), min(values.max(), core.max() + room, ceiling)
    pad = 0.04 * (high - low) or 0.1 * (abs(high) or 1.0)
    return float(low - pad), float(high + pad)


def x_limits(records: pd.DataFrame, x: X) -> Limits:
    """The limits of an x axis: linear for epochs unless the arms end at very different ones, else log.

    On a log axis the start, where x is 0, stands at its left end.
    """
    places = records[[COLUMNS[x], "arm", "status"]][np.isfinite(records[COLUMNS[x]])]
    last = float(places[COLUMNS[x]].max()) if len(places) else 0.0
    if last <= 0:
        return Limits(-0.05, 1.0, "linear")
    ends = places[places["status"] == "finished"].groupby("arm")[COLUMNS[x]].max()
    if x == "epochs" and (ends.empty or ends.max() <= 30 * ends.min()):
        return Limits(-0.01 * last, 1.01 * last, "linear")
    first = float(places.loc[places[COLUMNS[x]] > 0, COLUMNS[x]].min())
    decades = math.log10(last / first)
    return Limits(first / 10 ** max(0.13 * decades, 0.1), last * 10 ** (0.03 * decades or 0.1), "log", first)


def draw_loss(
    ax: Axes,
    records: pd.DataFrame,
    *,
    x: X,
    metric: str = "train_loss",
    colours: Mapping[str, str],
    limits: Limits | None = None,
) -> Axes:
    """Draws each arm's trials as thin lines and their median as a thick one, against ``x``; lower is better.

    A trial that diverged or failed ends in a marker (× or +) at its last finite value, on the edge of the
    axes where that lies beyond. ``limits``: those of the loss, where they are known.
    """
    records = with_status(records)
    across, up = x_limits(records, x), limits or loss_limits(records, metric)
    draw_arms(ax, records, x=x, metric=metric, colours=colours, across=across, up=up)
    size = text_size(figure_width(ax))
    style.dress(ax, size)
    scales.scale(ax, "x", across, size)
    scales.scale(ax, "y", up, size)
    ax.set_xlabel(x_name(x, records), size=size, color=style.INK)
    ax.set_ylabel(metric_name(metric), size=min(size + 1, style.MEDIUM), color=style.INK)
    return ax


def draw_arms(
    ax: Axes,
    records: pd.DataFrame,
    *,
    x: X,
    metric: str,
    colours: Mapping[str, str],
    across: Limits,
    up: Limits,
    steps: bool = False,
) -> None:
    """The lines of every arm alone, within these limits; ``records`` have a status.

    With ``steps`` a value holds since the record before, so that its jumps are upright.
    """
    start = max(0.0, across.low)

    def line(points: Floats) -> Floats:
        return scales.stepped(np.vstack([[start, points[0, 1]], points])) if steps and len(points) else points

    dashes, crowd = style.line_styles(colours), max(1.0, len(colours) / 4)
    for order, (arm, colour) in enumerate(colours.items()):
        rows = records[records["arm"] == arm]
        if rows.empty:
            continue
        curves = arm_curves(rows, x, metric)
        if len(curves.trials) > 1:
            lines = LineCollection(
                [line(_shown(points, across, up)) for points in curves.trials],
                colors=[colour],
                linewidths=0.7,
                zorder=2,
                alpha=max(0.08, min(0.4, 1.2 / math.sqrt(len(curves.trials) * crowd))),
                rasterized=len(rows) > 20_000,
            )
            ax.add_collection(lines, autolim=False)
        median = _shown(curves.median, across, up)
        few = np.isfinite(median[:, 1]).sum() < 3
        # Apart in inches along the line, so that they stand evenly on log axes too; each arm begins
        # elsewhere.
        every = None if few else (0.02 + 0.05 * (order % 4), 0.2)
        ax.plot(
            *line(median).T,
            color=colour,
            linestyle=dashes[arm],
            linewidth=2.2 if crowd < 2 else 1.8,
            zorder=4 - 0.01 * order,
            marker=style.marker(colour),
            markersize=6.5 if style.marker(colour) in "P*" else 5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=every,
            label=arm,
        )
        for status, points in curves.stopped.items():
            place = np.clip(_shown(points, across, up), (-np.inf, up.low), (np.inf, up.high))
            ax.plot(
                *place.T,
                STOPPED[status],
                color=colour,
                markersize=6,
                markeredgewidth=1.5,
                zorder=5,
                clip_on=False,
            )


def metric_name(metric: str) -> str:
    """A column as its axis calls it: 'validation loss' of ``valid_loss``, 'validation accuracy' of
    ``valid_accuracy``.
    """
    first, _, rest = metric.partition("_")
    return f"{_SETS[first]} {rest.replace('_', ' ')}" if first in _SETS and rest else metric.replace("_", " ")


def x_name(x: X, records: pd.DataFrame) -> str:
    """What stands below the axis: what is counted, and in a second line how."""
    if x != "seconds":
        return X_NAMES[x]
    if estimated(records) and clock_notes(records):
        return MIXED
    return ESTIMATED if estimated(records) else SHARED if on_shared_clock(records) else X_NAMES[x]


def _shown(points: Floats, across: Limits, up: Limits) -> Floats:
    """Points as drawn: NaN where not finite, the start at the left end of a log axis, and none so far above
    or below a linear axis that drawing overflows.
    """
    shown = np.where(np.isfinite(points), points, np.nan)
    if across.scale == "log":
        shown[:, 0] = np.maximum(shown[:, 0], across.low)
    if up.scale == "linear":
        far = 1e3 * (up.high - up.low)
        shown[:, 1] = np.clip(shown[:, 1], up.low - far, up.high + far)
    return shown
