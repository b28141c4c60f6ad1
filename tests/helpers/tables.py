"""Tables of records and trials as a run would leave them, from a few numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

INF, NAN = math.inf, math.nan
Measured = tuple[list[dict[str, Any]], dict[str, Any]]


def trial(
    arm: str,
    seed: int,
    train_loss: Sequence[float],
    status: str = "finished",
    *,
    samples: Sequence[int] | None = None,
    lr: float = 0.1,
    **columns: Sequence[float],
) -> Measured:
    """One trial, measured after 0, 1, 2… updates of 10 samples and half a second, or after ``samples``."""
    samples = [10 * update for update in range(len(train_loss))] if samples is None else samples
    records = [
        {
            "arm": arm,
            "lr": lr,
            "seed": seed,
            "update": update,
            "samples": samples[update],
            "seconds": update / 2,
        }
        | {"train_loss": float(loss), **{name: float(values[update]) for name, values in columns.items()}}
        for update, loss in enumerate(train_loss)
    ]
    spent = {
        "samples": max(samples, default=0),
        "updates": len(samples) - 1,
        "train_seconds": len(samples) / 2,
    }
    return records, {"arm": arm, "lr": lr, "seed": seed, "status": status, **spent}


def tables(*trials: Measured) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials."""
    return pd.DataFrame([row for rows, _ in trials for row in rows]), pd.DataFrame([row for _, row in trials])


def ended(
    finals: Mapping[str, Sequence[float]], column: str = "train_loss"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Arms by the final values of their seeds 0, 1, 2…; infinite: that trial diverged; nan: it was never
    made.
    """
    made = []
    for seed in range(max(map(len, finals.values()))):
        for arm, values in finals.items():
            if seed < len(values) and not math.isnan(values[seed]):
                status = "diverged" if math.isinf(values[seed]) else "finished"
                losses, others = (
                    [9.0, values[seed]],
                    {} if column == "train_loss" else {column: [0.1, values[seed]]},
                )
                made.append(trial(arm, seed, losses, status, **others))
    return tables(*made)


def in_repeats(*repeats: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and trials of arms that were tuned several times, from those of each repeat."""
    numbered = [[table.assign(repeat=number) for table in pair] for number, pair in enumerate(repeats, 1)]
    records, trials = (pd.concat(tables, ignore_index=True) for tables in zip(*numbered, strict=True))
    return records, trials
