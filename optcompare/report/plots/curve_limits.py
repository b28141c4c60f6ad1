"""Find limits of the axes of curves, so that a diverging arm does not squash the others."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ...core.columns import trial_key
from ...core.goal import TRAIN, VALID
from . import scales
from .curves import COLUMNS, X
from .scales import Limits


def loss_limits(records: pd.DataFrame, metric: str = "train_loss") -> Limits:
    """Find the limits of a loss axis: log for positive values, log down to zero if some are zero.

    A metric that is no loss has linear limits; a diagnostic those of :func:`.scales.limits_of`. The limits
    hold the starts, the end of each arm's median trial, and 95% of what each arm measured. They reach at most
    a factor of 3 (linear: half the range) beyond, so that neither a diverged trial nor a spike squashes the
    others. No limit is higher than 100 times the start (linear: twice the whole decrease above it).

    Args:
        records: The records with a column ``status``, see :func:`.curves.with_status`.
        metric: The name of the column.
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
    """Find the limits of an x axis.

    The axis is linear for epochs, unless arms end at very different ones, else log. On a log axis the start,
    where x is 0, is at its left end.

    Args:
        records: The records with a column ``status``, see :func:`.curves.with_status`.
        x: The quantity on the x axis.
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
