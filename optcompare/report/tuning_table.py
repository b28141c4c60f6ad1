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
    """Return the cells of the learning-rate tuning, one row for each arm.

    They hold the best rate and its score, the score to expect from the best of fewer trials, and the cost. If
    arms were tuned several times, these are the lowest and the highest best rate, and means over the repeats.

    Args:
        scores: The scores of tuning, from :func:`optcompare.analysis.lr_scores.rate_scores`.
        column: The name of the score.

    Returns:
        The header and the rows.
    """
    key = tuned_key(scores)
    tried = int(scores.groupby(key, sort=False).size().max())
    counts = [k for k in (1, 2, 4, 8, 16, 32) if k < tried]
    header = ["arm", "best lr", column, *(f"best of {k}" for k in counts), "samples", "train time"]
    best = best_rates(scores)
    rows = []
    for arm, group in scores.groupby("arm", sort=False):
        chosen = best[best["arm"] == arm]
        repeats = [one["score"] for _, one in group.groupby(key, sort=False)]
        expected = [number(fmean(expected_best(values, k) for values in repeats)) for k in counts]
        edges = int(chosen["at_edge"].sum())
        at_edge = f" (edge{f' in {edges}' if len(chosen) > 1 else ''})" if edges else ""
        rate = lowest_to_highest(chosen["lr"].min(), chosen["lr"].max()) + at_edge
        score = number(float(chosen["score"].mean()))
        cost = [whole_cell(group["samples"].sum()), seconds_cell(group["seconds"].sum())]
        rows.append([str(arm), rate, score, *expected, *cost])
    return header, rows


def tuning_words(tuning: Tuning) -> str:
    """Say on which seeds the rates were tuned, for a line below :func:`tuning_cells`.

    Args:
        tuning: How the rates were tuned.
    """
    seeds = f"{tuning.seeds} seed{'s' if tuning.seeds > 1 else ''}"
    if not tuning.repeats:
        return f"tuned on {seeds}, separate from the reported seeds"
    return (
        f"tuned {len(tuning.repeats)} times, each on {seeds} of its own, separate from the reported seeds, "
        "and on grids shifted at random; scores are means over these repeats"
    )


def scaling_cells(table: pd.DataFrame) -> tuple[Cells, list[Cells]]:
    """Return the cells of a batch-size study, one row for each batch size, at most 80 characters wide.

    Args:
        table: The table of a :class:`optcompare.analysis.batch_scaling.Curve`.

    Returns:
        The header and the rows.
    """
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
