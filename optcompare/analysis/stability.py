"""The edge of stability: the sharpness above which gradient descent at this rate climbs instead of
settling.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..core.comparison import Arm, Comparison
from ..core.schedule import depends_on_budget, schedule_of


def stability_edges(records: pd.DataFrame, comparison: Comparison) -> pd.Series[float]:
    """For each record the edge at the rate of that moment: of ``sgd``, with or without momentum; else NaN.

    On a quadratic of curvature λ, gradient descent settles where λ < 2/lr, with momentum β where λ <
    2(1+β)/lr, with Nesterov's where λ < 2(1+β)/((1+2β)lr) (Cohen et al. 2021, "Gradient Descent on Neural
    Networks Typically Occurs at the Edge of Stability"). Weight decay adds to λ, and is taken off. Optimizers
    that scale each weight have an edge for their own scaled curvature, not for this one.
    """
    found = pd.Series(np.nan, index=records.index, dtype=float)
    budget = comparison.budget
    for arm in comparison.arms:
        rows = records["arm"] == arm.label
        factor, decay = _factor(arm)
        if not rows.any() or math.isnan(factor):
            continue
        rates = records.loc[rows, "lr"].to_numpy(float)
        if depends_on_budget(arm.schedule):
            schedule = schedule_of(arm.schedule)
            spent = {"epochs": "epoch", "updates": "update", "samples": "samples"}[budget.unit]
            shares = records.loc[rows, spent].to_numpy(float) / budget.amount
            rates = rates * [schedule(min(share, 1.0)) for share in shares]
        with np.errstate(divide="ignore"):
            edges = factor / rates - decay
        found[rows] = np.where(np.isfinite(edges) & (edges > 0), edges, np.nan)
    return found


def _factor(arm: Arm) -> tuple[float, float]:
    """The edge times the rate, and the weight decay; NaN where no edge is known."""
    values = arm.hyperparameters
    other = arm.optimizer.label.partition(":")[0] != "sgd" or arm.clip is not None
    if other or values.get("dampening") or values.get("maximize"):
        return math.nan, 0.0
    beta = float(values.get("momentum", 0.0))
    factor = 2 * (1 + beta) / ((1 + 2 * beta) if values.get("nesterov") else 1.0)
    return factor, float(values.get("weight_decay", 0.0))
