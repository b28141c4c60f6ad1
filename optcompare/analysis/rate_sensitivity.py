"""The sensitivity to the learning rate that tuning chose: the scores of the neighbouring rates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .lr_scores import best_rates, tuned_key


def neighbours(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare each arm's best learning rate with the rates that were tried next to it.

    Args:
        scores: The table of :func:`optcompare.analysis.lr_scores.rate_scores`.

    Returns:
        One row for each arm, and each repeat if there are several: ``arm, (repeat,) lr, score, lr_below,
        below, lr_above, above``. ``lr_below`` and ``lr_above`` are the next smaller and the next larger rate
        with a known score. ``below`` and ``above`` are their scores minus that of ``lr``: infinite if that
        rate diverged, nan if there is no such rate.
    """
    key, rows = tuned_key(scores), []
    groups = scores.groupby(key, sort=False)
    for (name, group), best in zip(groups, best_rates(scores).to_dict("records"), strict=True):
        known = group[group["score"].notna()].sort_values("lr")
        rates, values = known["lr"].to_numpy(float), known["score"].to_numpy(float)
        lr, score = float(best["lr"]), float(best["score"])
        index = int(np.searchsorted(rates, lr)) if len(rates) else 0
        row = dict(zip(key, name, strict=True)) | {"lr": lr, "score": score}
        for side, neighbour in (("below", index - 1), ("above", index + 1)):
            exists = 0 <= neighbour < len(rates)
            row[f"lr_{side}"] = float(rates[neighbour]) if exists else math.nan
            row[side] = _excess(float(values[neighbour]), score) if exists else math.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=[*key, "lr", "score", "lr_below", "below", "lr_above", "above"])


def rate_sensitivity(scores: pd.DataFrame) -> pd.DataFrame:
    """Measure for each arm the loss by one step of the learning rate grid.

    A difference between two arms that is smaller than this may come from their grids: a grid that is shifted
    by part of a step would miss the best rate, and contain one that scores like its better neighbour.

    Args:
        scores: The table of :func:`optcompare.analysis.lr_scores.rate_scores`.

    Returns:
        One row for each arm, in order: ``arm, repeats, below, above, loss``. ``below`` and ``above`` are
        those of :func:`neighbours`; with several repeats their medians, without repeats whose best rate is at
        that edge. ``loss`` is the smaller of the two, with several repeats the median of these: infinite if
        both neighbours diverged, nan if there is none.
    """
    found = neighbours(scores)
    found["loss"] = found[["below", "above"]].min(axis=1)
    rows = [
        {
            "arm": arm,
            "repeats": len(group),
            **{name: _median(group[name]) for name in ("below", "above", "loss")},
        }
        for arm, group in found.groupby("arm", sort=False)
    ]
    return pd.DataFrame(rows, columns=["arm", "repeats", "below", "above", "loss"])


def _excess(value: float, score: float) -> float:
    """Return the difference of two scores; nan if both are infinite."""
    return value - score if math.isfinite(score) else math.nan


def _median(values: pd.Series) -> float:
    known = values[values.notna()].to_numpy(float)
    return float(np.median(known)) if len(known) else math.nan
