"""The edge of stability: the sharpness above which gradient descent diverges at a learning rate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..core.comparison import Arm, Comparison
from ..core.schedule import depends_on_budget, schedule_of


def stability_edges(records: pd.DataFrame, comparison: Comparison) -> pd.Series[float]:
    """Compute the edge of stability for each record, at the learning rate of its update.

    On a quadratic of curvature λ, gradient descent converges if λ < 2/lr, with momentum β if λ < 2(1+β)/lr,
    with Nesterov momentum if λ < 2(1+β)/((1+2β)lr) (Cohen et al. 2021, "Gradient Descent on Neural Networks
    Typically Occurs at the Edge of Stability"). Weight decay adds to λ and is subtracted. Optimizers that
    scale each weight have an edge for their scaled curvature, not for this one.

    Args:
        records: Records with the columns of the budget's unit.
        comparison: The comparison of these records.

    Returns:
        The edge by record; NaN for optimizers other than ``sgd``, with or without momentum.
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
    """Return the edge times the rate, and the weight decay; NaN if no edge is known."""
    values = arm.hyperparameters
    other = arm.optimizer.label.partition(":")[0] != "sgd" or arm.clip is not None
    if other or values.get("dampening") or values.get("maximize"):
        return math.nan, 0.0
    beta = float(values.get("momentum", 0.0))
    factor = 2 * (1 + beta) / ((1 + 2 * beta) if values.get("nesterov") else 1.0)
    return factor, float(values.get("weight_decay", 0.0))
