"""Encode curves for the page: medians and seeds, rounded and thinned out, as one JSON text."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.statistics import final_columns, measured_columns
from ...core.columns import trial_key
from ...errors import printable
from ..plots import style
from ..plots.clocks import clock_notes
from ..plots.curve_axes import metric_name, x_name
from ..plots.curve_limits import loss_limits, x_limits
from ..plots.curves import Curves, X, arm_curves, numbered_trials, trial_counts, with_status
from ..plots.looks import MARKERS
from ..plots.style import Floats

VALUES = 450_000
"""About how many numbers a page holds: 3 MB, or 5 MB if most have eleven characters."""
POINTS = 1_000
"""The most points of a median."""
XS: tuple[X, ...] = ("epochs", "updates", "samples", "seconds")
_SETTINGS = {"seed", "repeat", "split", "mark", "update", "epoch", "samples", "seconds"}


class Pool:
    """Number arrays, and hold each distinct array once.

    All seeds share their evaluation points, which thus take no more space than those of one seed.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, values: Floats) -> int:
        """Return the number of an array.

        Args:
            values: float[n]; each is rounded to five significant digits, or null if it is not finite.
        """
        text = ",".join(f"{value:.5g}" if math.isfinite(value) else "null" for value in values.tolist())
        return self._numbers.setdefault(f"[{text}]", len(self._numbers))

    @property
    def text(self) -> str:
        """Return all arrays as JSON, in the order of their numbers."""
        return f"[{','.join(self._numbers)}]"


def kept(count: int, most: int) -> NDArray[np.int64]:
    """Choose the indices of a thinned-out line: both ends, and points spread evenly on linear and log axes.

    Args:
        count: The number of points of the line.
        most: About how many to keep.

    Returns:
        int64[k], rising; all indices if there are no more than ``most``.
    """
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, max(most // 2, 2))
    early = np.geomspace(1, count, max(most // 2 - 2, 2)) - 1
    return np.unique(np.concatenate([even, early, [count - 2]]).round().astype(np.int64))


def metrics(records: pd.DataFrame) -> list[str]:
    """Return the columns that can be drawn: losses, metrics, and other numbers that change during a trial.

    A metric on a test set has one value for each trial, and thus no curve.

    Args:
        records: The report's records.
    """
    measured, left_out = measured_columns(records), {*_SETTINGS, *final_columns(records)}
    others = [
        str(name)
        for name, column in records.items()
        if name not in {*measured, *left_out}
        and pd.api.types.is_numeric_dtype(column)
        and not column.isna().all()
    ]
    first = records.drop_duplicates("arm").set_index("arm")
    varied = [
        name for name in others if (records[name] != records["arm"].map(first[name]).astype(float)).any()
    ]
    return [*measured, *varied]


def embedded(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    metric: str,
    errors: Sequence[str] = (),
    goal: tuple[str, float] | None = None,
    values: int = VALUES,
    looks: Mapping[str, str] | None = None,
    colours: Sequence[str] | None = None,
) -> str:
    """Return the data that the page draws, as a JSON object.

    It has the keys ``xs`` and ``metrics``, with their limits; ``arms``; and ``pool``, a list of arrays to
    which all others refer by number. Each arm has a median (``x`` by axis, ``y`` by metric) and ``seeds``,
    one row for each trial: its seed (with the tuning repeat if there are several), status, ``x`` and ``y``.

    Args:
        records: The report's records.
        trials: The report's trials.
        metric: The column that is shown first.
        errors: Metrics of which less is better.
        goal: A column and its value to be reached.
        values: About how many numbers the object may hold; if there are more, the lines of seeds are thinned
            out. Medians keep ``POINTS`` points in any case.
        looks: The look of each arm, as :func:`optcompare.report.plots.looks.arm_colours` returns it.
        colours: All colours of the page.
    """
    records = with_status(records, trials)
    names = metrics(records)
    pool, seen = Pool(), list(records["arm"].unique())
    looks = style.arm_colours(seen) if looks is None else looks
    known = list(dict.fromkeys(looks.values())) if colours is None else colours
    groups = {arm: records[records["arm"] == arm] for arm in seen}
    lines = sum(min(count, style.DRAWN) for count in trial_counts(records))
    most = max(values // max(lines * (len(names) + len(XS)), 1), 12)
    clocks = clock_notes(records)
    arms = [
        {
            "name": printable(arm),
            "colour": known.index(looks[arm]),
            "dash": MARKERS.index(style.marker(looks[arm])) % len(style.DASHES),
            "note": ", ".join(filter(None, [_note(groups[arm]), clocks.get(arm, "")])),
            **_arm(groups[arm], names, errors, pool, most),
        }
        for arm in seen
    ]
    page = {
        "xs": [_axis(records, x) for x in XS],
        "metrics": [_measure(records, name, errors) for name in names],
        "first": names.index(metric) if metric in names else 0,
        "goal": {"metric": names.index(goal[0]), "value": goal[1]} if goal and goal[0] in names else None,
        "thinned": bool(records.groupby(trial_key(records), observed=True).size().max() > min(most, POINTS)),
        "arms": arms,
    }
    head = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f'{head[:-1]},"pool":{pool.text}}}'


def _arm(
    rows: pd.DataFrame, names: Sequence[str], errors: Sequence[str], pool: Pool, most: int
) -> dict[str, Any]:
    by_x = [arm_curves(rows, x, names[0]) for x in XS]
    by_metric = [_curves(rows, name, errors) for name in names]
    every, first = np.unique(numbered_trials(rows), return_index=True)
    drawn = style.spread(len(every))
    few = kept(len(by_x[0].median), POINTS)
    seeds = []
    for i, place in enumerate(drawn):
        some = kept(len(by_x[0].trials[i]), most)
        xs = [pool.add(curves.trials[i][some, 0]) for curves in by_x]
        ys = [pool.add(curves.trials[i][some, 1]) for curves in by_metric]
        one = rows.iloc[first[place]]
        name = int(one["seed"]) if "repeat" not in rows else f"{one['seed']}, repeat {one['repeat']}"
        seeds.append([name, str(one["status"]), xs, ys])
    return {
        "x": [pool.add(curves.median[few, 0]) for curves in by_x],
        "y": [pool.add(curves.median[few, 1]) for curves in by_metric],
        "count": len(every),
        "seeds": seeds,
    }


def _curves(rows: pd.DataFrame, name: str, errors: Sequence[str]) -> Curves:
    """Return the curves over epochs.

    If more is better, a diverged trial counts as the lowest value.
    """
    if name.endswith("_loss") or name.partition("_")[2] in errors or name not in measured_columns(rows):
        return arm_curves(rows, "epochs", name)
    negated = arm_curves(rows.assign(**{name: -rows[name]}), "epochs", name)
    signs = np.array([1.0, -1.0])
    return Curves([points * signs for points in negated.trials], negated.median * signs, {})


def _note(rows: pd.DataFrame) -> str:
    """Count the trials that did not finish, such as '2 of 10 diverged'; empty if all finished."""
    ended = rows.drop_duplicates(trial_key(rows))["status"]
    counts = Counter(map(str, ended))
    return ", ".join(f"{n} of {len(ended)} {status}" for status, n in counts.items() if status != "finished")


def _axis(records: pd.DataFrame, x: X) -> dict[str, Any]:
    limits = x_limits(records, x)
    name = x_name(x, records).replace("\n", " ")
    return {"key": x, "name": name, "log": limits.scale == "log", "low": limits.low, "high": limits.high}


def _measure(records: pd.DataFrame, name: str, errors: Sequence[str]) -> dict[str, Any]:
    """Describe a metric with the limits of its axes; those of the log axis are null for values below zero."""
    falls = name.endswith("_loss") or name.partition("_")[2] in errors
    shown: Mapping[str, Any] = {"key": name, "name": metric_name(name)}
    values = records.loc[records["status"] != "diverged", name] if not falls else records[name]
    finite = values[np.isfinite(values)].to_numpy(float)
    if falls and len(finite):
        limits = loss_limits(records, name)
        if limits.scale == "linear":
            return {**shown, "linear": [limits.low, limits.high], "log": None, "isLog": False}
        low = limits.first or limits.low
        bottom = 0.0 if low < 0.3 * limits.high else low
        return {**shown, "linear": [bottom, limits.high], "log": [low, limits.high], "isLog": True}
    least, greatest = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    air = 0.04 * (greatest - least) or 0.1 * (abs(greatest) or 1.0)
    positive = finite[finite > 0]
    log = [float(positive.min()) / 1.1, greatest * 1.1] if len(positive) and least >= 0 else None
    wide = log is not None and least > 0 and greatest > 100 * least
    return {**shown, "linear": [least - air, greatest + air], "log": log, "isLog": wide}
