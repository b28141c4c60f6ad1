"""Tables of learning-rate tuning and of batch-size studies, as cells of text."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

import pandas as pd

from ..analysis.lr_scores import best_rates, expected_best, tuned_key
from ..core.formatting import number
from ..core.tuning import Tuning
from .table_text import Cells, lowest_to_highest, seconds_cell, whole_cell

SCALING_LEGEND = (
    "medians over seeds, a miss infinite; fit: updates of the curve",
    "*: Pareto-optimal, no other batch size takes fewer updates and fewer samples",
)


def tuning_cells(scores: pd.DataFrame, column: str) -> tuple[Cells, list[Cells]]:
    """Header and one row an arm: the best rate and its score, what the best of fewer trials is expected to
    be, the cost.

    Where arms are tuned several times, the lowest and the highest best rate, and means over the repeats.
    """
    key = tuned_key(scores)
    tried = int(scores.groupby(key, sort=False).size().max())
    counts = [k for k in (1, 2, 4, 8, 16, 32) if k < tried]
    header = ["arm", "best lr", column, *(f"best of {k}" for k in counts), "samples", "train time"]
    best = best_rates(scores)
    rows = []
    for arm, group in scores.groupby("arm", sort=False):
        found = best[best["arm"] == arm]
        repeats = [one["score"] for _, one in group.groupby(key, sort=False)]
        expected = [number(fmean(expected_best(values, k) for values in repeats)) for k in counts]
        edges = int(found["at_edge"].sum())
        where = f" (edge{f' in {edges}' if len(found) > 1 else ''})" if edges else ""
        chosen = [
            lowest_to_highest(found["lr"].min(), found["lr"].max()) + where,
            number(float(found["score"].mean())),
        ]
        rows.append(
            [
                str(arm),
                *chosen,
                *expected,
                whole_cell(group["samples"].sum()),
                seconds_cell(group["seconds"].sum()),
            ]
        )
    return header, rows


def tuning_words(tuning: Tuning) -> str:
    """What stands below :func:`tuning_cells`."""
    seeds = f"{tuning.seeds} seed{'s' if tuning.seeds > 1 else ''}"
    if not tuning.repeats:
        return f"tuned on {seeds}, separate from the reported seeds"
    return (
        f"tuned {len(tuning.repeats)} times, each on {seeds} of its own, separate from the reported seeds, "
        "and on grids "
        "shifted at random; scores are means over these repeats"
    )


def scaling_cells(table: pd.DataFrame) -> tuple[Cells, list[Cells]]:
    """Header and one row a batch size of a study, not wider than 80 columns."""
    header = ["batch size", "best lr", "reached", "updates", "samples", "time", "clock", "fit"]
    rows = [
        [
            f"{one['batch_size']}{'*' if one['front'] else ''}",
            f"{one['lr']:.4g}{' edge' if one['at_edge'] else ' jump' if one['jumps'] else ''}",
            f"{one['reached']} of {one['seeds']}",
            *(_or_miss(one[name], number) for name in ("updates", "samples")),
            _or_miss(one["seconds"], seconds_cell),
            one["clock"] or "–",
            number(one["fitted"]) if math.isfinite(one["fitted"]) else "–",
        ]
        for one in table.to_dict("records")
    ]
    return header, rows


def _or_miss(value: float, shown: Callable[[float], str]) -> str:
    return shown(value) if math.isfinite(value) else "miss" if math.isinf(value) else "–"
